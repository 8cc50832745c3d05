//! From a checked routing config to models in service: secrets resolved, clients built.

use llm_router_cluster::Revision;
use secrecy::{ExposeSecret, SecretString};

use crate::config::RoutingConfig;
use crate::config::env::lookup;
use crate::config::routing::ModelConfig;
use crate::config::seal::Seal;
use crate::error::{Error, Kind};
use crate::inference::{Deployment, Engine};
use crate::provider::from_config;
use crate::types::ModelName;

/// Puts a config in service under its revision; on any problem the one in service stays.
pub(super) async fn apply(
    engine: &Engine,
    seal: &Seal,
    revision: Revision,
    config: RoutingConfig,
) -> Result<(), Error> {
    let mut deployments = Vec::with_capacity(config.models.len());
    let mut problems = Vec::new();
    for (name, model) in &config.models {
        match deploy(name, model, seal) {
            Ok(deployment) => deployments.push(deployment),
            Err(problem) => problems.push(format!("models.{name}: {problem}")),
        }
    }
    if !problems.is_empty() {
        return Err(Error::new(Kind::InvalidConfig, problems.join("\n")));
    }
    engine.apply(revision, config, deployments).await
}

/// A secret that is missing is no reason to refuse the whole config: that model answers 401 from
/// its upstream, is quarantined, and its fallback takes over.
fn deploy(name: &ModelName, model: &ModelConfig, seal: &Seal) -> Result<Deployment, String> {
    let secret = model.api_key.as_ref().and_then(|reference| {
        seal.resolve(name, reference, lookup)
            .inspect_err(|missing| tracing::warn!(model = %name, %missing, "no credential"))
            .ok()
    });
    let identity = identity(model, secret.as_ref());
    let provider = from_config(model, secret).map_err(|error| error.to_string())?;
    Ok(Deployment {
        name: name.clone(),
        config: model.clone(),
        provider,
        identity,
    })
}

/// What makes a model the same upstream as before: dialect, address, upstream name, credential.
/// A digest: the credential cannot be read back from it, and it is kept in memory alone.
fn identity(model: &ModelConfig, secret: Option<&SecretString>) -> blake3::Hash {
    let mut digest = blake3::Hasher::new();
    let dialect = format!("{:?}", model.provider);
    let parts = [
        dialect.as_str(),
        model.base_url.as_deref().unwrap_or_default(),
        &model.model,
        secret.map_or("", |secret| secret.expose_secret()),
    ];
    for part in parts {
        digest.update(&(part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::identity;
    use crate::config::routing::ModelConfig;

    #[test]
    fn changed_limits_keep_the_breaker_and_a_changed_address_does_not() {
        let model = |json: &str| serde_json::from_str::<ModelConfig>(json).unwrap();
        let before = model(r#"{"provider":"ollama","model":"a","max_concurrency":2}"#);
        let limits = model(r#"{"provider":"ollama","model":"a","max_concurrency":9}"#);
        let moved = model(r#"{"provider":"ollama","model":"a","base_url":"http://10.0.0.9:1"}"#);
        assert_eq!(identity(&before, None), identity(&limits, None));
        assert_ne!(identity(&before, None), identity(&moved, None));
        let key = SecretString::from("mended");
        assert_ne!(identity(&before, None), identity(&before, Some(&key)));
    }
}
