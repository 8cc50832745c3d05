//! What differs between two routing configs, path by path. Secrets are dots, and a changed one is
//! told as changed.

use serde::Serialize;
use serde_json::{Map, Value};

use super::canonical::comparable;
use super::routing::RoutingConfig;
use super::seal::{DOTS, Seal};

/// Most differences listed; a person reads no more in one go.
pub const MAX_LISTED: usize = 200;
/// Longest value shown, in bytes.
const MAX_VALUE: usize = 200;

/// One difference between two configs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where, as `models.a.max_concurrency`; routes by name.
    pub path: String,
    /// What was there, as JSON; absent when it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What is there; absent when it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, "~ {}: {old} → {new}", self.path),
            (None, Some(new)) => write!(f, "+ {}: {new}", self.path),
            (Some(old), None) => write!(f, "- {}: {old}", self.path),
            (None, None) => f.write_str(&self.path),
        }
    }
}

/// What has to change in `old` to make it `new`, at most [`MAX_LISTED`] of it.
pub fn between(old: &RoutingConfig, new: &RoutingConfig, seal: &Seal) -> Vec<Difference> {
    let before = by_name(comparable(old, None, seal));
    let after = by_name(comparable(new, Some(old), seal));
    let mut found = Vec::new();
    compare(&before, &after, "", &mut found);
    let names = |config: &RoutingConfig| {
        let models: Vec<&str> = config.models.keys().map(AsRef::as_ref).collect();
        let routes: Vec<&str> = config.routes.iter().map(|r| r.name.as_str()).collect();
        [("models", models.join(", ")), ("routes", routes.join(", "))]
    };
    for ((what, old_names), (_, new_names)) in names(old).into_iter().zip(names(new)) {
        let same_set = before[what].as_object().map(keys) == after[what].as_object().map(keys);
        if same_set && old_names != new_names {
            found.push(Difference {
                path: format!("{what} (order)"),
                old: Some(clip(old_names)),
                new: Some(clip(new_names)),
            });
        }
    }
    found.truncate(MAX_LISTED);
    found
}

fn keys(map: &Map<String, Value>) -> Vec<&String> {
    map.keys().collect()
}

/// Routes are a list; a route is known by its name.
fn by_name(mut config: Value) -> Value {
    if let Some(Value::Array(routes)) = config.get_mut("routes").map(Value::take) {
        let named = routes.into_iter().map(|route| {
            let name = route["name"].as_str().unwrap_or_default().to_owned();
            (name, route)
        });
        config["routes"] = Value::Object(named.collect());
    }
    config
}

fn compare(old: &Value, new: &Value, path: &str, found: &mut Vec<Difference>) {
    if found.len() >= MAX_LISTED {
        return;
    }
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        if old != new {
            found.push(Difference {
                path: path.to_owned(),
                old: show(old),
                new: show(new),
            });
        }
        return;
    };
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        let nothing = &Value::Null;
        let (old, new) = (
            before.get(name).unwrap_or(nothing),
            after.get(name).unwrap_or(nothing),
        );
        compare(old, new, &path, found);
    }
}

/// Never a secret: those are dots with a digest behind them, and the digest is cut off.
fn show(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) if text.starts_with(DOTS) => Some(DOTS.to_owned()),
        Value::Object(map) => {
            let shown = map
                .iter()
                .map(|(key, value)| match value {
                    Value::String(text) if text.starts_with(DOTS) => (key.clone(), DOTS.into()),
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_) => (key.clone(), value.clone()),
                })
                .collect();
            Some(clip(Value::Object(shown).to_string()))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Some(clip(value.to_string()))
        }
    }
}

fn clip(mut text: String) -> String {
    if text.len() > MAX_VALUE {
        text.truncate(text.floor_char_boundary(MAX_VALUE));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::between;
    use crate::config::canonical;
    use crate::config::routing::RoutingConfig;
    use crate::config::seal::Seal;

    fn routing(text: &str) -> RoutingConfig {
        crate::config::parse(text, "test").unwrap().routing
    }

    fn lines(old: &str, new: &str) -> Vec<String> {
        let seal = Seal::new([7; 32]);
        // the old one is what was agreed on, as it comes out of the log
        let old = routing(&canonical::text(&routing(old), None, &seal).unwrap());
        let found = between(&old, &routing(new), &seal);
        found.iter().map(ToString::to_string).collect()
    }

    const KEYED: &str = "models: { a: { provider: openai, model: m, api_key: sk-old } }";

    #[test]
    fn a_changed_secret_is_told_and_neither_one_is_shown() {
        let found = lines(KEYED, &KEYED.replace("sk-old", "sk-new"));
        assert_eq!(found, ["~ models.a.api_key: •••• → ••••"]);
        assert_eq!(lines(KEYED, &KEYED.replace("sk-old", "'••••'")), [""; 0]);
        let gone = lines(KEYED, "models: {}");
        assert!(
            gone[0].starts_with("- models.a: {\"api_key\":\"••••\""),
            "{gone:?}"
        );
        assert!(!gone[0].contains("sk-old"));
    }

    #[test]
    fn equal_configs_do_not_differ_however_they_are_written() {
        let spelled = "models:\n  a:\n    model: m\n    provider: openai\n    api_key: 'sk-old'\n";
        assert_eq!(lines(KEYED, spelled), [""; 0]);
    }

    #[test]
    fn paths_name_models_and_routes() {
        let old = "models: { a: { provider: demo, model: echo }, b: { provider: demo, model: echo } }\n\
                   routes: [{ name: all, targets: [a] }]\n";
        let new = "models: { a: { provider: demo, model: echo, max_concurrency: 2 }, b: { provider: demo, model: echo } }\n\
                   routes: [{ name: all, targets: [a], fallback: [b] }, { name: more, targets: [b] }]\n";
        let found = lines(old, new);
        assert_eq!(found[0], "~ models.a.max_concurrency: 64 → 2");
        assert_eq!(found[1], "+ routes.all.fallback: [\"b\"]");
        assert!(found[2].starts_with("+ routes.more: {"), "{found:?}");
    }

    #[test]
    fn another_order_of_models_is_a_difference() {
        let one =
            "models: { a: { provider: demo, model: echo }, b: { provider: demo, model: echo } }";
        let other =
            "models: { b: { provider: demo, model: echo }, a: { provider: demo, model: echo } }";
        assert_eq!(lines(one, other), ["~ models (order): a, b → b, a"]);
    }
}
