//! An engine over one scripted provider, for tests.

pub(super) mod player;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use llm_router_cluster::Revision;
use serde_json::json;

use super::{Deployment, Engine, Parts, Reply, ReplyBody, StreamEnd};
use crate::bridge::Bridge;
use crate::cache::{AnswerCache, Settings, TextEmbedder};
use crate::config::RoutingConfig;
use crate::dialect::openai::ChatBody;
use crate::error::Error;
use crate::provider::Provider;
use crate::telemetry::Metrics;
use crate::types::{CacheMode, ChatRequest, Moment, Priority, RequestId};

/// An engine with this routing config, whose models are all `provider`, and whose cache is in memory.
pub(super) async fn engine(
    config: serde_json::Value,
    embedder: Option<Arc<dyn TextEmbedder>>,
    provider: Arc<dyn Provider>,
) -> Engine {
    engine_with(config, (embedder, Bridge::alone()), provider).await
}

/// The same without an embedder, on a node of a cluster.
pub(super) async fn engine_over(
    config: serde_json::Value,
    provider: Arc<dyn Provider>,
    bridge: Bridge,
) -> Engine {
    engine_with(config, (None, bridge), provider).await
}

async fn engine_with(
    config: serde_json::Value,
    (embedder, bridge): (Option<Arc<dyn TextEmbedder>>, Bridge),
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
        bridge,
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

/// A config whose models all play under their own names; more of a model's settings beside it.
pub(super) fn playing(
    models: &[(&str, serde_json::Value)],
    route: &serde_json::Value,
) -> serde_json::Value {
    let models = models.iter().map(|(name, more)| {
        let mut model = json!({"provider": "demo", "model": name, "max_concurrency": 64,
            "price": {"input_per_mtok": 1000.0, "output_per_mtok": 1000.0}});
        for (key, value) in more.as_object().into_iter().flatten() {
            model[key] = value.clone();
        }
        ((*name).to_owned(), model)
    });
    let mut rule = json!({"name": "r", "targets": ["a"]});
    for (key, value) in route.as_object().into_iter().flatten() {
        rule[key] = value.clone();
    }
    json!({
        "models": models.collect::<serde_json::Map<_, _>>(),
        "routes": [rule],
        "retry": {"max_attempts": 3, "backoff": {"base": "1ms", "max": "200ms"}, "budget": 1.0},
    })
}

/// The one question of a test.
pub(super) fn question() -> serde_json::Value {
    json!({"model": "auto", "messages": [{"role": "user", "content": "count to three"}]})
}

/// What a client got of a stream.
#[derive(Debug, Default)]
pub(super) struct Got {
    pub(super) text: String,
    pub(super) chunks: Vec<serde_json::Value>,
    pub(super) error: Option<Error>,
    pub(super) end: StreamEnd,
}

impl Got {
    /// Its chunks' usage fields.
    pub(super) fn usages(&self) -> Vec<&serde_json::Value> {
        let usages = self.chunks.iter().map(|chunk| &chunk["usage"]);
        usages.filter(|usage| usage.is_object()).collect()
    }

    /// Its finish reasons.
    pub(super) fn finishes(&self) -> Vec<&str> {
        let reasons = self.chunks.iter();
        let reasons = reasons.map(|chunk| chunk["choices"][0]["finish_reason"].as_str());
        reasons.flatten().collect()
    }

    /// Every chunk has the same of these.
    pub(super) fn is_one_answer(&self) -> bool {
        let same = |key: &str| self.chunks.iter().all(|c| c[key] == self.chunks[0][key]);
        ["id", "model", "created"].into_iter().all(same)
    }
}

pub(super) async fn read(reply: Reply) -> Got {
    let ReplyBody::Stream(mut stream) = reply.body else {
        panic!("asked for a stream")
    };
    let mut got = Got::default();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => {
                got.text.push_str(&chunk.tap.text);
                got.chunks.push(serde_json::from_slice(&chunk.raw).unwrap());
            }
            Err(error) => got.error = Some(error),
        }
    }
    got.end = stream.end();
    got
}

/// The sum of a metric's series whose line holds all of these.
pub(super) fn counted(engine: &Engine, name: &str, labels: &[&str]) -> f64 {
    let text = engine.metrics().render().unwrap();
    let lines = text.lines().filter(|line| line.starts_with(name));
    let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// The same of a metric that counts.
pub(super) fn times(engine: &Engine, name: &str, labels: &[&str]) -> u64 {
    let text = engine.metrics().render().unwrap();
    let lines = text.lines().filter(|line| line.starts_with(name));
    let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

pub(super) async fn eventually(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("it holds within ten seconds");
}
