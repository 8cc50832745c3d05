//! Rules a configuration must keep beyond its shape. Pure: a config in, findings out.
//!
//! Limits of one value are declared beside the field (`garde`); what two values say about each other
//! is here.

mod cluster;
mod model;
mod node;
mod route;
pub(super) mod rule;
mod warning;

pub use cluster::reach;
pub use node::node;
pub use warning::warnings;

use std::collections::HashSet;

use garde::Validate;

use super::path::Path;
use super::problem::Finding;
use super::routing::RoutingConfig;

/// The name that leaves the choice of a model to the router.
pub const AUTO: &str = "auto";
/// Built-in models, named `demo/…`; they need no declaration.
pub const DEMO_MODELS: [&str; 4] = ["echo", "lorem", "tools", "flaky"];
/// Most models of one config.
pub const MAX_MODELS: usize = 1000;
/// Most routes of one config.
pub const MAX_ROUTES: usize = 1000;
/// Longest name in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// Everything wrong with a routing config.
pub fn routing(config: &RoutingConfig) -> Vec<Finding> {
    let mut found = Vec::new();
    let top = Path::top();
    if config.models.len() > MAX_MODELS {
        found.push(Finding::new(
            top.key("models"),
            format!("at most {MAX_MODELS} models"),
        ));
    }
    if config.routes.len() > MAX_ROUTES {
        found.push(Finding::new(
            top.key("routes"),
            format!("at most {MAX_ROUTES} routes"),
        ));
    }
    for (name, model) in config.models.iter().take(MAX_MODELS) {
        model::check(name, model, &mut found);
    }
    let mut names = HashSet::new();
    for (index, route) in config.routes.iter().take(MAX_ROUTES).enumerate() {
        let path = top.key("routes").index(index);
        if !names.insert(&route.name) {
            let message = format!("another route is named `{}` already", route.name);
            found.push(Finding::new(path.key("name"), message));
        }
        route::check(route, &path, config, &mut found);
    }
    declared(
        &config.circuit_breaker,
        &top.key("circuit_breaker"),
        &mut found,
    );
    declared(&config.cache, &top.key("cache"), &mut found);
    judge(config, &top, &mut found);
    declared(&config.retry, &top.key("retry"), &mut found);
    declared(&config.placement, &top.key("placement"), &mut found);
    let backoff = &config.retry.backoff;
    if backoff.max < backoff.base {
        found.push(Finding::new(
            top.keys("retry.backoff.max"),
            "must not be less than `base`",
        ));
    }
    found
}

/// The cache's judge is a model there is.
fn judge(config: &RoutingConfig, top: &Path, found: &mut Vec<Finding>) {
    let Some(judge) = config.cache.judge.model else {
        return;
    };
    if !config.models.contains_key(judge.as_str()) && !is_demo(judge.as_str()) {
        let path = top.keys("cache.judge.model");
        found.push(route::unknown(path, &judge.as_str().into(), config));
    }
}

/// The name is one of the built-in models.
pub fn is_demo(name: &str) -> bool {
    name.strip_prefix("demo/")
        .is_some_and(|model| DEMO_MODELS.contains(&model))
}

/// Findings of the limits declared beside the fields of `value`, which stands at `path`.
fn declared<T: Validate>(value: &T, path: &Path, found: &mut Vec<Finding>)
where
    T::Context: Default,
{
    let Err(report) = value.validate() else {
        return;
    };
    for (field, error) in report.iter() {
        let field = field.to_string();
        let path = if field.is_empty() {
            path.clone()
        } else {
            path.keys(&field)
        };
        found.push(Finding::new(path, rule::words(error.message())));
    }
}

/// The text can be the name of a model or a route.
pub fn is_name(text: &str) -> bool {
    bad_name(text).is_none()
}

/// Why a name cannot be a name, if it cannot.
fn bad_name(name: &str) -> Option<String> {
    let clean = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b));
    if name == AUTO {
        Some(format!(
            "`{AUTO}` is taken: it leaves the choice to the router"
        ))
    } else if name.is_empty() || name.len() > MAX_NAME_BYTES || !clean {
        Some("a name has 1 to 128 letters, digits or any of . _ : / @ -".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
