//! Rules of one model.

use reqwest::Url;

use super::{DEMO_MODELS, bad_name, declared};
use crate::config::path::Path;
use crate::config::problem::Finding;
use crate::config::routing::{ModelConfig, ProviderKind, Secret};
use crate::config::secret::is_variable;
use crate::config::suggest::nearest;
use crate::provider::is_private;
use crate::types::ModelName;

pub(super) fn check(name: &ModelName, model: &ModelConfig, found: &mut Vec<Finding>) {
    let path = Path::top().key("models").key(name);
    if let Some(problem) = bad_name(name.as_str()) {
        found.push(Finding::new(path.clone(), problem));
    }
    declared(model, &path, found);
    if model.provider == ProviderKind::Demo && !DEMO_MODELS.contains(&model.model.as_str()) {
        let message = format!("the demo provider has {}", DEMO_MODELS.join(", "));
        let finding = Finding::new(path.key("model"), message);
        found.push(match nearest(&model.model, DEMO_MODELS) {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None => finding,
        });
    }
    let own = model.provider == ProviderKind::Plugin;
    match &model.base_url {
        Some(url) => {
            let problem = match url.strip_prefix("unix:") {
                Some(file) if own => bad_socket(file),
                Some(_) | None => bad_url(url),
            };
            found.extend(problem.map(|text| Finding::new(path.key("base_url"), text)));
        }
        None if own => found.push(
            Finding::new(path.key("base_url"), "must say where the plugin is")
                .help("such as http://127.0.0.1:9000 or unix:/run/plugin.sock"),
        ),
        None => {}
    }
    if let (Some(url), Some(_)) = (&model.base_url, &model.api_key)
        && url.starts_with("http://")
        && !is_private(url)
    {
        let message = "must be https: a key is never sent to a public host in clear text";
        found.push(Finding::new(path.key("base_url"), message));
    }
    if let Some(secret) = &model.api_key
        && let Some(problem) = bad_secret(secret)
    {
        found.push(Finding::new(path.key("api_key"), problem));
    }
    let health_path = model
        .health
        .as_ref()
        .and_then(|health| health.path.as_deref());
    if own && health_path.is_some() {
        let message = "a plugin's health is asked for over gRPC, without a path";
        found.push(Finding::new(path.keys("health.path"), message));
    }
    if health_path.is_some_and(|given| !given.starts_with('/') || given.len() > 256) {
        let message = "must start with `/` and have at most 256 characters";
        found.push(Finding::new(path.keys("health.path"), message));
    }
}

/// Why a plugin's socket cannot be there.
fn bad_socket(file: &str) -> Option<&'static str> {
    (!file.starts_with('/')).then_some("must be unix: and an absolute path")
}

/// Why an address cannot be an upstream's or a collector's, if it cannot.
pub(super) fn bad_url(text: &str) -> Option<&'static str> {
    let Ok(url) = Url::parse(text) else {
        return Some("is not an address such as http://127.0.0.1:11434");
    };
    if !matches!(url.scheme(), "http" | "https") {
        Some("must start with http:// or https://")
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("must not hold a user or password; credentials belong in `api_key`")
    } else if url.host_str().is_none_or(str::is_empty) {
        Some("names no host")
    } else if url.query().is_some() || url.fragment().is_some() {
        Some("must not have a query or fragment")
    } else {
        None
    }
}

fn bad_secret(secret: &Secret) -> Option<&'static str> {
    match secret {
        Secret::Env { env } if !is_variable(env) => {
            Some("is not the name of an environment variable")
        }
        Secret::File { file } if file.is_empty() => Some("names no file"),
        Secret::Literal(text) if text.trim().is_empty() => Some("must not be empty"),
        Secret::Env { .. } | Secret::File { .. } | Secret::Sealed(_) | Secret::Literal(_) => None,
    }
}
