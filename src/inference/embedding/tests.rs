use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use llm_router_cluster::Revision;
use parking_lot::Mutex;
use serde_json::json;

use super::super::{Deployment, Engine, Parts};
use crate::bridge::Bridge;
use crate::cache::embed::fixture;
use crate::cache::{AnswerCache, Settings};
use crate::config::RoutingConfig;
use crate::error::{Error, Kind};
use crate::inference::{BreakerMode, CacheStatus, EmbedReply};
use crate::provider::{Answer, Call, Class, EmbedCall, Failure, Provider};
use crate::telemetry::Metrics;
use crate::types::{EmbedRequest, Embeddings, Inputs, Moment, Priority, RequestId, Usage};

/// An upstream that makes a vector of each text's length, three texts at a time.
#[derive(Default)]
struct Lengths {
    /// Fails so many calls first.
    fails: AtomicUsize,
    /// How many inputs each call had.
    batches: Mutex<Vec<usize>>,
}

#[async_trait]
impl Provider for Lengths {
    fn kind(&self) -> &'static str {
        "lengths"
    }
    async fn generate(&self, _call: Call) -> Result<Answer, Failure> {
        Err(Failure::new(Class::Hard, "makes vectors only"))
    }
    fn embeds(&self) -> bool {
        true
    }
    fn embed_batch(&self) -> usize {
        3
    }
    #[expect(clippy::cast_precision_loss, reason = "texts are short")]
    async fn embed(&self, call: EmbedCall) -> Result<Embeddings, Failure> {
        let Inputs::Texts(texts) = &*call.inputs else {
            return Err(Failure::new(Class::Caller, "takes no token ids"));
        };
        self.batches.lock().push(texts.len());
        let left = self.fails.load(Ordering::SeqCst);
        if left > 0 {
            self.fails.store(left - 1, Ordering::SeqCst);
            return Err(Failure::new(Class::Hard, "http 503"));
        }
        Ok(Embeddings {
            model: call.model.to_string(),
            vectors: texts
                .iter()
                .map(|text| vec![text.len() as f32, 1.0])
                .collect(),
            usage: Some(Usage::new(texts.len() as u64, 0)),
        })
    }
    async fn health(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// A provider that makes no vectors and must never be asked for any.
struct Chats;

#[async_trait]
impl Provider for Chats {
    fn kind(&self) -> &'static str {
        "chats"
    }
    async fn generate(&self, _call: Call) -> Result<Answer, Failure> {
        Err(Failure::new(Class::Hard, "not asked here"))
    }
    async fn embed(&self, _call: EmbedCall) -> Result<Embeddings, Failure> {
        panic!("a model without vectors was asked for some");
    }
    async fn health(&self) -> Result<(), Failure> {
        Ok(())
    }
}

const MODEL: &str = r#"{"provider": "demo", "model": "up"}"#;

async fn engine(models: Vec<(&str, Arc<dyn Provider>)>, cache: AnswerCache) -> Engine {
    let parts = Parts {
        cache,
        metrics: Metrics::detached(),
        bridge: Bridge::alone(),
    };
    let engine = Engine::start(parts).await.unwrap();
    let mut config = RoutingConfig::default();
    let price = json!({"input_per_mtok": 1_000_000.0, "output_per_mtok": 0.0});
    let mut deployments = Vec::new();
    for (name, provider) in models {
        let mut model: crate::config::routing::ModelConfig = serde_json::from_str(MODEL).unwrap();
        model.price = serde_json::from_value(price.clone()).unwrap();
        config.models.insert(name.into(), model.clone());
        deployments.push(Deployment {
            name: name.into(),
            config: model,
            provider,
            identity: blake3::hash(name.as_bytes()),
        });
    }
    engine
        .apply(Revision(1), config, deployments)
        .await
        .unwrap();
    engine
}

fn asking(model: &str, texts: &[&str]) -> EmbedRequest {
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    EmbedRequest {
        id: RequestId::generate(),
        tenant: "acme".into(),
        priority: Priority::Normal,
        model: model.into(),
        tags: Vec::new(),
        deadline: Moment::now() + Duration::from_secs(20),
        inputs: Arc::new(Inputs::Texts(texts)),
        dimensions: None,
        user: None,
        left_out: vec!["truncate".into()],
    }
}

async fn embed(engine: &Engine, request: EmbedRequest) -> Result<EmbedReply, Error> {
    engine.embed(request).await
}

#[tokio::test]
async fn inputs_go_upstream_in_batches_and_come_back_in_order() {
    let lengths = Arc::new(Lengths::default());
    let models: Vec<(&str, Arc<dyn Provider>)> = vec![("v", Arc::clone(&lengths) as _)];
    let engine = engine(models, AnswerCache::disabled()).await;
    let texts = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff", "ggggggg"];
    let reply = embed(&engine, asking("v", &texts)).await.unwrap();
    assert_eq!(*lengths.batches.lock(), [3, 3, 1]);
    let lengths: Vec<f32> = reply.made.vectors.iter().map(|vector| vector[0]).collect();
    assert_eq!(lengths, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    assert_eq!(reply.made.usage, Some(Usage::new(7, 0)));
    assert_eq!((reply.meta.model.as_str(), reply.meta.attempts), ("v", 1));
    assert_eq!(reply.meta.cache, CacheStatus::Bypass);
    assert_eq!(reply.meta.cost_usd, Some(7.0));
    assert_eq!(reply.meta.dropped_params().as_deref(), Some("truncate"));
    let stats = engine.stats();
    assert_eq!((stats.total_requests, stats.successes), (1, 1));
}

#[tokio::test]
async fn a_batch_that_was_the_breakers_probe_lets_the_next_one_go() {
    let lengths = Arc::new(Lengths::default());
    let models: Vec<(&str, Arc<dyn Provider>)> = vec![("v", Arc::clone(&lengths) as _)];
    let engine = engine(models, AnswerCache::disabled()).await;
    for mode in [BreakerMode::ForceOpen, BreakerMode::Auto] {
        let author = llm_router_cluster::Author::new("test");
        engine.force_breaker("v", mode, author).await.unwrap();
    }
    let v = engine.handle("v").status(Moment::now());
    assert_eq!(v.circuit_breaker.state, "half_open");
    let reply = embed(&engine, asking("v", &["a", "bb", "ccc", "dddd"])).await;
    assert_eq!(reply.unwrap().made.vectors.len(), 4);
    assert_eq!(*lengths.batches.lock(), [3, 1]);
}

#[tokio::test]
async fn a_model_that_makes_none_is_passed_over_and_one_that_fails_is_tried_again() {
    let lengths = Arc::new(Lengths::default());
    lengths.fails.store(1, Ordering::SeqCst);
    let models: Vec<(&str, Arc<dyn Provider>)> =
        vec![("chat", Arc::new(Chats)), ("v", Arc::clone(&lengths) as _)];
    let engine = engine(models, AnswerCache::disabled()).await;
    let reply = embed(&engine, asking("auto", &["a"])).await.unwrap();
    assert_eq!((reply.meta.model.as_str(), reply.meta.attempts), ("v", 2));
    let error = embed(&engine, asking("chat", &["a"])).await.unwrap_err();
    assert_eq!(error.kind, Kind::InvalidRequest);
    assert!(error.message.contains("makes no embeddings"), "{error}");
    let error = embed(&engine, asking("nobody", &["a"])).await.unwrap_err();
    assert_eq!(error.kind, Kind::UnknownModel);
}

#[tokio::test]
async fn without_weights_the_nodes_own_model_says_what_to_do_and_is_not_listed() {
    let engine = engine(Vec::new(), AnswerCache::disabled()).await;
    let asked = asking("local/all-MiniLM-L6-v2", &["a"]);
    let error = embed(&engine, asked).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("llm-router model pull"), "{error}");
    assert!(
        !engine
            .model_names()
            .iter()
            .any(|name| name.starts_with("local/"))
    );
}

#[tokio::test]
async fn the_nodes_own_model_is_there_without_any_config_and_with_the_cache_off() {
    let Some(embedder) = fixture::embedder() else {
        return;
    };
    let settings = Settings {
        dir: None,
        embedder: Some(Arc::new(embedder)),
        config: crate::config::routing::CacheConfig {
            enabled: false,
            ..Default::default()
        },
        secret: None,
    };
    let engine = engine(Vec::new(), AnswerCache::open(settings).unwrap()).await;
    let name = "local/all-MiniLM-L6-v2";
    assert!(engine.model_names().iter().any(|known| known == name));
    let reply = embed(&engine, asking(name, &["hello", "world"]))
        .await
        .unwrap();
    assert_eq!(reply.made.vectors.len(), 2);
    assert_eq!(reply.made.vectors[0].len(), 384);
    assert_eq!(reply.meta.model.as_str(), name);
    assert!(
        engine
            .metrics()
            .render()
            .unwrap()
            .contains(&format!("model=\"{name}\""))
    );
    let mut wide = asking(name, &["hello"]);
    wide.dimensions = Some(512);
    let error = embed(&engine, wide).await.unwrap_err();
    assert_eq!(error.param.as_deref(), Some("dimensions"));
    let mut ids = asking(name, &[]);
    ids.inputs = Arc::new(Inputs::Tokens(vec![vec![1, 2]]));
    assert_eq!(
        embed(&engine, ids).await.unwrap_err().param.as_deref(),
        Some("input")
    );
}
