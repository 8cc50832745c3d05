//! The routing part as the nodes agree on it: one line of JSON, keys in the order of the structs,
//! models in the order configured, secrets as references or sealed.
//!
//! Dots in the place of a secret mean the one in force, so that a config that was shown can be
//! edited and applied again. A secret that did not change keeps its sealed text, so that its
//! upstream stays the same upstream.

use indexmap::IndexMap;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;

use super::path::Path;
use super::problem::Finding;
use super::routing::{
    BreakerConfig, CacheConfig, ModelConfig, PlacementConfig, RetryConfig, RouteConfig,
    RoutingConfig, Secret,
};
use super::seal::{DOTS, Seal, Sealed, Unsealable};
use crate::types::ModelName;

/// A routing config whose secrets are written by whoever asks.
#[derive(Serialize)]
struct Written<'a> {
    models: IndexMap<&'a ModelName, WrittenModel>,
    routes: &'a [RouteConfig],
    circuit_breaker: &'a BreakerConfig,
    cache: &'a CacheConfig,
    retry: &'a RetryConfig,
    #[serde(skip_serializing_if = "PlacementConfig::is_default")]
    placement: &'a PlacementConfig,
}

#[derive(Serialize)]
struct WrittenModel {
    #[serde(flatten)]
    model: ModelConfig,
    #[serde(rename = "api_key", skip_serializing_if = "Option::is_none")]
    secret: Option<WrittenSecret>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenSecret {
    Env { env: String },
    File { file: String },
    Text(String),
}

impl WrittenSecret {
    /// References stay; a secret that stands in the config itself becomes what `cover` says.
    fn of(secret: &Secret, cover: impl FnOnce() -> String) -> Self {
        match secret {
            Secret::Env { env } => WrittenSecret::Env { env: env.clone() },
            Secret::File { file } => WrittenSecret::File { file: file.clone() },
            Secret::Sealed(_) | Secret::Literal(_) => WrittenSecret::Text(cover()),
        }
    }
}

fn write<'a>(
    routing: &'a RoutingConfig,
    mut cover: impl FnMut(&ModelName, &Secret) -> String,
) -> Written<'a> {
    let RoutingConfig {
        models,
        routes,
        circuit_breaker,
        cache,
        retry,
        placement,
    } = routing;
    let models = models.iter().map(|(name, model)| {
        let secret = model
            .api_key
            .as_ref()
            .map(|secret| WrittenSecret::of(secret, || cover(name, secret)));
        let mut model = model.clone();
        model.api_key = None;
        (name, WrittenModel { model, secret })
    });
    Written {
        models: models.collect(),
        routes,
        circuit_breaker,
        cache,
        retry,
        placement,
    }
}

/// Some secret is dots: it means the one in force.
pub fn has_dots(routing: &RoutingConfig) -> bool {
    let secrets = routing.models.values().flat_map(|model| &model.api_key);
    let mut literals = secrets.filter_map(|secret| match secret {
        Secret::Literal(text) => Some(text.trim()),
        Secret::Env { .. } | Secret::File { .. } | Secret::Sealed(_) => None,
    });
    literals.any(|text| text == DOTS)
}

/// The text to agree on. `in_force` is what dots and unchanged secrets are taken from.
///
/// # Errors
/// A finding for every secret that cannot be had: dots with nothing behind them, a sealed text of
/// another cluster or model.
pub fn text(
    routing: &RoutingConfig,
    in_force: Option<&RoutingConfig>,
    seal: &Seal,
) -> Result<String, Vec<Finding>> {
    let mut found = Vec::new();
    let written = write(routing, |name, secret| {
        let before = sealed_in_force(in_force, name);
        match sealed(name, secret, before, seal) {
            Ok(sealed) => sealed.as_str().to_owned(),
            Err(problem) => {
                let path = Path::top().key("models").key(name).key("api_key");
                found.push(Finding::new(path, problem));
                String::new()
            }
        }
    });
    let json = serde_json::to_string(&written);
    match json {
        Ok(text) if found.is_empty() => Ok(text),
        Ok(_) => Err(found),
        Err(error) => Err(vec![Finding::new(Path::top(), error.to_string())]),
    }
}

fn sealed(
    name: &ModelName,
    secret: &Secret,
    in_force: Option<&Sealed>,
    seal: &Seal,
) -> Result<Sealed, String> {
    let given = match secret {
        Secret::Sealed(sealed) => {
            return match seal.open(name, sealed) {
                Some(_) => Ok(sealed.clone()),
                None => Err("is sealed for another cluster or model; write the secret itself or a reference".to_owned()),
            };
        }
        Secret::Literal(text) => text.trim(),
        Secret::Env { .. } | Secret::File { .. } => return Err("is a reference".to_owned()),
    };
    if given == DOTS {
        return in_force.cloned().ok_or_else(|| {
            "dots stand for the secret in force, and there is none; write it, or a reference"
                .to_owned()
        });
    }
    let unchanged = in_force.filter(|before| {
        seal.open(name, before)
            .is_some_and(|before| before.expose_secret() == given)
    });
    match unchanged {
        Some(before) => Ok(before.clone()),
        None => seal
            .seal(name, given)
            .map_err(|unsealable: Unsealable| unsealable.to_string()),
    }
}

fn sealed_in_force<'a>(
    in_force: Option<&'a RoutingConfig>,
    name: &ModelName,
) -> Option<&'a Sealed> {
    match in_force?.models.get(name)?.api_key.as_ref()? {
        Secret::Sealed(sealed) => Some(sealed),
        Secret::Env { .. } | Secret::File { .. } | Secret::Literal(_) => None,
    }
}

/// A digest of the content: equal for two configs that say the same, secrets included, however
/// they are written or sealed.
pub fn digest(
    routing: &RoutingConfig,
    in_force: Option<&RoutingConfig>,
    seal: &Seal,
) -> blake3::Hash {
    let written = write(routing, |name, secret| mark(name, secret, in_force, seal));
    // these structs hold nothing that JSON cannot say
    let text = serde_json::to_vec(&written).unwrap_or_default();
    seal.digest(&text)
}

/// The content as a value in which equal secrets are equal texts that begin with dots.
pub(super) fn comparable(
    routing: &RoutingConfig,
    in_force: Option<&RoutingConfig>,
    seal: &Seal,
) -> Value {
    let written = write(routing, |name, secret| mark(name, secret, in_force, seal));
    serde_json::to_value(&written).unwrap_or_default()
}

/// Dots, and a digest by which equal secrets are equal.
fn mark(
    name: &ModelName,
    secret: &Secret,
    in_force: Option<&RoutingConfig>,
    seal: &Seal,
) -> String {
    let open = |sealed: &Sealed| seal.open(name, sealed);
    let opened = match secret {
        Secret::Sealed(sealed) => open(sealed),
        Secret::Literal(text) if text.trim() == DOTS => {
            sealed_in_force(in_force, name).and_then(open)
        }
        Secret::Literal(text) => Some(text.trim().into()),
        Secret::Env { .. } | Secret::File { .. } => None,
    };
    match opened {
        Some(opened) => {
            let digest = seal.digest(opened.expose_secret().as_bytes());
            format!("{DOTS} {digest}")
        }
        None => DOTS.to_owned(),
    }
}

/// The config says something of its own: it is not what an empty file says.
pub fn says_something(routing: &RoutingConfig) -> bool {
    let plain = |routing: &RoutingConfig| {
        serde_json::to_string(&write(routing, |_, _| DOTS.to_owned())).unwrap_or_default()
    };
    plain(routing) != plain(&RoutingConfig::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn seal() -> Seal {
        Seal::new([7; 32])
    }

    fn routing(text: &str) -> RoutingConfig {
        parse(text, "test").unwrap().routing
    }

    fn model(api_key: &str) -> RoutingConfig {
        routing(&format!(
            "models: {{ a: {{ provider: openai, model: m, api_key: {api_key} }} }}"
        ))
    }

    /// As it comes out of the log.
    fn agreed(config: &RoutingConfig) -> RoutingConfig {
        routing(&text(config, None, &seal()).unwrap())
    }

    #[test]
    fn dots_with_nothing_behind_them_are_refused_with_their_place() {
        let found = text(&model("••••"), None, &seal()).unwrap_err();
        assert_eq!(found[0].path.to_string(), "models.a.api_key");
        let elsewhere = Seal::new([8; 32]);
        let foreign = text(&model("sk-1"), None, &elsewhere).unwrap();
        let found = text(&routing(&foreign), None, &seal()).unwrap_err();
        assert!(found[0].message.contains("another cluster"), "{found:?}");
    }

    #[test]
    fn a_literal_secret_is_not_in_the_text_and_references_are() {
        let sealed = text(&model("sk-live-9"), None, &seal()).unwrap();
        assert!(sealed.contains("sealed:v1:") && !sealed.contains("sk-live-9"));
        let reference = text(&model("{ env: KEY }"), None, &seal()).unwrap();
        assert!(
            reference.contains(r#""api_key":{"env":"KEY"}"#),
            "{reference}"
        );
    }

    #[test]
    fn dots_and_an_unchanged_secret_keep_the_sealed_text() {
        let before = agreed(&model("sk-1"));
        assert!(has_dots(&model("' •••• '")) && !has_dots(&before) && !has_dots(&model("sk-1")));
        let kept = text(&before, None, &seal()).unwrap();
        assert_eq!(text(&model("••••"), Some(&before), &seal()).unwrap(), kept);
        assert_eq!(text(&model("sk-1"), Some(&before), &seal()).unwrap(), kept);
        assert_ne!(text(&model("sk-2"), Some(&before), &seal()).unwrap(), kept);
    }

    #[test]
    fn models_keep_their_order_and_the_text_reads_back_as_itself() {
        let config = routing(
            "models: { zeta: { provider: demo, model: echo }, alpha: { provider: demo, model: lorem } }",
        );
        let once = text(&config, None, &seal()).unwrap();
        assert!(once.find("zeta") < once.find("alpha"));
        assert_eq!(text(&routing(&once), None, &seal()).unwrap(), once);
    }

    #[test]
    fn the_digest_follows_the_content_and_not_how_it_is_written() {
        let digest = |config: &RoutingConfig| digest(config, None, &seal());
        let before = agreed(&model("sk-1"));
        assert_eq!(digest(&model("sk-1")), digest(&before));
        assert_eq!(digest(&model("'sk-1'")), digest(&before));
        assert_ne!(digest(&model("sk-2")), digest(&before));
        let dots = super::digest(&model("••••"), Some(&before), &seal());
        assert_eq!(dots, digest(&before));
        assert_ne!(digest(&model("{ env: KEY }")), digest(&before));
    }

    #[test]
    fn an_empty_routing_part_says_nothing() {
        assert!(!says_something(&routing("node: { id: n1 }")));
        assert!(!says_something(&routing("cache: {}")));
        assert!(says_something(&routing(
            "cache: { enabled: off_ }".replace("off_", "false").as_str()
        )));
        assert!(says_something(&model("sk-1")));
    }
}
