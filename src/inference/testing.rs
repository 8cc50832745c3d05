//! An engine over one scripted provider, for tests.

use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::Revision;

use super::{Deployment, Engine, Parts};
use crate::bridge::Bridge;
use crate::cache::{AnswerCache, Settings, TextEmbedder};
use crate::config::RoutingConfig;
use crate::dialect::openai::ChatBody;
use crate::provider::Provider;
use crate::telemetry::Metrics;
use crate::types::{CacheMode, ChatRequest, Moment, Priority, RequestId};

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

/// A streamed request with this body, past the cache, for twenty seconds.
pub(super) fn request(body: serde_json::Value) -> ChatRequest {
    let body = ChatBody::parse(body.to_string().as_bytes()).unwrap();
    ChatRequest {
        id: RequestId::generate(),
        tenant: "t".into(),
        priority: Priority::Normal,
        model: body.model().into(),
        tags: Vec::new(),
        cache: CacheMode::Off,
        min_similarity: None,
        deadline: Moment::now() + Duration::from_secs(20),
        stream: true,
        include_usage: true,
        features: body.features(),
        body: Arc::new(body),
    }
}
