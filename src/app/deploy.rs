//! From a checked routing config to models in service: secrets resolved, clients built.

use std::collections::BTreeMap;
use std::sync::Arc;

use llm_router_cluster::Revision;
use secrecy::{ExposeSecret, SecretString};

use crate::config::path::Path;
use crate::config::problem::Finding;

use crate::config::RoutingConfig;
use crate::config::env::lookup;
use crate::config::routing::ModelConfig;
use crate::config::seal::Seal;
use crate::error::{Error, Kind};
use crate::inference::{Deployment, Engine};
use crate::provider::{Provider, from_config};
use crate::routing::RoutingTable;
use crate::types::ModelName;

/// The providers in service. One whose settings a revision leaves alone is kept, and with it the
/// connections to its upstream.
#[derive(Default)]
pub(super) struct Providers(BTreeMap<ModelName, (blake3::Hash, Arc<dyn Provider>)>);

impl Providers {
    /// Puts a config in service under its revision; on any problem the one in service stays.
    pub(super) async fn apply(
        &mut self,
        engine: &Engine,
        seal: &Seal,
        revision: Revision,
        config: RoutingConfig,
    ) -> Result<(), Error> {
        let mut deployments = Vec::with_capacity(config.models.len());
        let (mut next, mut problems) = (BTreeMap::new(), Vec::new());
        for (name, model) in &config.models {
            match self.deploy(name, model, seal) {
                Ok((wiring, deployment)) => {
                    let provider = Arc::clone(&deployment.provider);
                    next.insert(name.clone(), (wiring, provider));
                    deployments.push(deployment);
                }
                Err(problem) => problems.push(format!("models.{name}: {problem}")),
            }
        }
        if !problems.is_empty() {
            return Err(Error::new(Kind::InvalidConfig, problems.join("\n")));
        }
        engine.apply(revision, config, deployments).await?;
        self.0 = next;
        Ok(())
    }

    /// A secret that is missing is no reason to refuse the whole config: that model answers 401 from
    /// its upstream, is quarantined, and its fallback takes over.
    fn deploy(
        &self,
        name: &ModelName,
        model: &ModelConfig,
        seal: &Seal,
    ) -> Result<(blake3::Hash, Deployment), String> {
        let secret = model.api_key.as_ref().and_then(|reference| {
            seal.resolve(name, reference, lookup)
                .inspect_err(|missing| tracing::warn!(model = %name, %missing, "no credential"))
                .ok()
        });
        let identity = identity(model, secret.as_ref());
        let wiring = wiring(identity, model);
        let provider = match self.0.get(name) {
            Some((known, provider)) if *known == wiring => Arc::clone(provider),
            Some(_) | None => from_config(model, secret).map_err(|error| error.to_string())?,
        };
        let deployment = Deployment {
            name: name.clone(),
            config: model.clone(),
            provider,
            identity,
        };
        Ok((wiring, deployment))
    }
}

/// Everything a provider is built from; the rest of a model's settings is the node's own business.
fn wiring(identity: blake3::Hash, model: &ModelConfig) -> blake3::Hash {
    let mut digest = blake3::Hasher::new();
    digest.update(identity.as_bytes());
    let health = model
        .health
        .as_ref()
        .and_then(|health| health.path.as_ref());
    let rest = (&model.options, health, model.timeouts.connect.get());
    digest.update(format!("{rest:?}").as_bytes());
    digest.finalize()
}

/// Stands for a secret that only its own node can look up.
const SOME_SECRET: &str = "secret";

/// What no node could put in service, so that it is refused before it is agreed on. Secrets count as
/// there: whether this node can look one up says nothing about the others.
pub(super) fn unservable(config: &RoutingConfig, seal: &Seal) -> Vec<Finding> {
    let models = Path::top().key("models");
    let mut found = Vec::new();
    for (name, model) in &config.models {
        let secret = model.api_key.as_ref().map(|reference| {
            let known = seal.resolve(name, reference, |_| None);
            known.unwrap_or_else(|_| SOME_SECRET.into())
        });
        if let Err(problem) = from_config(model, secret) {
            found.push(Finding::new(models.key(name), problem.to_string()));
        }
    }
    if let Err(problem) = RoutingTable::compile(config) {
        found.push(Finding::new(Path::top().key("routes"), problem.to_string()));
    }
    found
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

    use std::sync::Arc;

    use super::{Providers, identity, unservable, wiring};
    use crate::config::routing::ModelConfig;
    use crate::config::seal::Seal;

    #[test]
    fn what_no_node_could_serve_is_found_and_a_secret_missing_here_is_not() {
        let found = |text: &str| {
            let config = crate::config::parse(text, "test").unwrap().routing;
            let found = unservable(&config, &Seal::new([7; 32]));
            let line = |finding: crate::config::problem::Finding| {
                format!("{}: {}", finding.path, finding.message)
            };
            found.into_iter().map(line).collect::<Vec<_>>()
        };
        let model = |rest: &str| format!("models: {{ a: {{ model: echo, {rest} }} }}");
        let speed = found(&model("provider: demo, options: { speed: 1 }"));
        assert!(
            speed[0].starts_with("models.a: ") && speed[0].contains("speed"),
            "{speed:?}"
        );
        for fine in [
            "provider: demo",
            "provider: openai, api_key: { env: NOWHERE_TO_BE_FOUND }",
            "provider: openai, api_key: { file: /nowhere/key }",
            "provider: openai, api_key: '••••'",
        ] {
            assert_eq!(found(&model(fine)), [""; 0], "{fine}");
        }
    }

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

    #[test]
    fn a_provider_whose_settings_stay_is_kept_with_its_connections() {
        let model = |json: &str| serde_json::from_str::<ModelConfig>(json).unwrap();
        let before = model(r#"{"provider":"ollama","model":"a","max_concurrency":2}"#);
        let limits = model(r#"{"provider":"ollama","model":"a","max_concurrency":9}"#);
        let warmer = model(r#"{"provider":"ollama","model":"a","options":{"temperature":1}}"#);
        let seal = Seal::new([7; 32]);
        let name = crate::types::ModelName::from("m");
        let mut providers = Providers::default();
        let (known, first) = providers.deploy(&name, &before, &seal).unwrap();
        providers
            .0
            .insert(name.clone(), (known, Arc::clone(&first.provider)));
        let kept = |model: &ModelConfig| {
            let (_, deployment) = providers.deploy(&name, model, &seal).unwrap();
            Arc::ptr_eq(&deployment.provider, &first.provider)
        };
        assert!(kept(&before) && kept(&limits));
        assert!(!kept(&warmer));
        let of = |model: &ModelConfig| wiring(identity(model, None), model);
        assert_ne!(of(&before), of(&warmer));
    }
}
