//! What works and is probably not meant.

use crate::config::path::Path;
use crate::config::problem::Finding;
use crate::config::routing::{ModelConfig, ProviderKind, RoutingConfig, Secret, Strategy, Target};
use crate::config::seal::DOTS;

/// Things worth a look. `is_set` tells whether an environment variable is set.
pub fn warnings(config: &RoutingConfig, is_set: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, model) in &config.models {
        let path = Path::top().key("models").key(name);
        credential(model, &path, &is_set, &mut found);
        let inside = matches!(model.provider, ProviderKind::Demo | ProviderKind::Local);
        if inside && model.base_url.is_some() {
            let word = if model.provider == ProviderKind::Demo {
                "demo"
            } else {
                "local"
            };
            let message = format!("the {word} provider uses no network");
            found.push(Finding::new(path.key("base_url"), message));
        }
    }
    for (index, route) in config.routes.iter().enumerate() {
        let path = Path::top().key("routes").index(index).key("targets");
        let weighs = |target: &Target| match target {
            Target::Name(_) => false,
            Target::Weighted(target) => target.weight != 1,
        };
        if route.strategy != Strategy::Weighted && route.targets.iter().any(weighs) {
            let message = format!(
                "weights do not count with `strategy: {}`",
                route.strategy.as_str()
            );
            found.push(Finding::new(path, message).help("add `strategy: weighted`"));
        }
    }
    found
}

fn credential(
    model: &ModelConfig,
    path: &Path,
    is_set: impl Fn(&str) -> bool,
    found: &mut Vec<Finding>,
) {
    let path = path.key("api_key");
    match &model.api_key {
        Some(Secret::Literal(text)) if text != DOTS => found.push(
            Finding::new(path, "the file holds a secret")
                .help("better `{ env: NAME }` or `{ file: PATH }`"),
        ),
        Some(Secret::Env { env }) if !is_set(env) => {
            found.push(Finding::new(
                path,
                format!("environment variable {env} is not set"),
            ));
        }
        None if model.base_url.is_none() => {
            let (host, variable) = match model.provider {
                ProviderKind::OpenAi => ("api.openai.com", "OPENAI_API_KEY"),
                ProviderKind::Anthropic => ("api.anthropic.com", "ANTHROPIC_API_KEY"),
                ProviderKind::Gemini => ("generativelanguage.googleapis.com", "GEMINI_API_KEY"),
                ProviderKind::Ollama
                | ProviderKind::Local
                | ProviderKind::Demo
                | ProviderKind::Plugin
                | ProviderKind::Custom => return,
            };
            found.push(
                Finding::new(path, format!("no credential for {host}"))
                    .help(format!("add `api_key: {{ env: {variable} }}`")),
            );
        }
        Some(Secret::Env { .. } | Secret::File { .. } | Secret::Sealed(_) | Secret::Literal(_))
        | None => {}
    }
}
