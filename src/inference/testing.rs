//! An engine over one scripted provider, for tests.

use std::sync::Arc;

use llm_router_cluster::Revision;

use super::{Deployment, Engine, Parts};
use crate::bridge::Bridge;
use crate::cache::{AnswerCache, Settings, TextEmbedder};
use crate::config::RoutingConfig;
use crate::provider::Provider;
use crate::telemetry::Metrics;

/// An engine with this routing config, whose models are all `provider`, and whose cache is in memory.
pub(super) async fn engine(
    config: serde_json::Value,
    embedder: Option<Arc<dyn TextEmbedder>>,
    provider: Arc<dyn Provider>,
) -> Engine {
    let config: RoutingConfig = serde_json::from_value(config).unwrap();
    let settings = Settings {
        dir: None,
        embedder,
        config: config.cache,
        secret: None,
    };
    let parts = Parts {
        cache: AnswerCache::open(settings).unwrap(),
        metrics: Metrics::detached(),
        bridge: Bridge::alone(),
    };
    let engine = Engine::start(parts).await.unwrap();
    let deployments = config.models.iter().map(|(name, model)| Deployment {
        name: name.clone(),
        config: model.clone(),
        provider: Arc::clone(&provider),
        identity: blake3::hash(name.as_str().as_bytes()),
    });
    let deployments = deployments.collect();
    engine
        .apply(Revision(1), config, deployments)
        .await
        .unwrap();
    engine
}
