use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::{Author, Revision};

use super::{BreakerMode, Engine, Parts};
use crate::bridge::testing::Stand;
use crate::bridge::{self, Bridge};
use crate::cache::AnswerCache;
use crate::config::RoutingConfig;
use crate::error::{Kind, Retry};
use crate::inference::{Deployment, Reply};
use crate::provider::Demo;
use crate::telemetry::Metrics;
use crate::types::{ChatRequest, Moment, RequestId, TenantId};

async fn engine(bridge: Bridge, revision: u64, config: &str) -> Engine {
    let parts = Parts {
        cache: AnswerCache::disabled(),
        metrics: Metrics::detached(),
        bridge,
    };
    let engine = Engine::start(parts).await.unwrap();
    let config: RoutingConfig = serde_json::from_str(config).unwrap();
    let deployments = config
        .models
        .iter()
        .map(|(name, model)| Deployment {
            name: name.clone(),
            config: model.clone(),
            provider: Arc::new(Demo::new("echo")),
            identity: blake3::hash(name.as_str().as_bytes()),
        })
        .collect();
    let agreed = Revision(revision);
    engine.apply(agreed, config, deployments).await.unwrap();
    engine
}

async fn ask(engine: &Engine, model: &str) -> Result<Reply, crate::Error> {
    let given = crate::Request::prompt("hi");
    let messages = [("user".to_owned(), "hi".to_owned())];
    let body = crate::dialect::openai::ChatBody::from_messages(model, &messages).unwrap();
    let request = ChatRequest {
        id: RequestId::generate(),
        tenant: TenantId::default(),
        priority: given.priority,
        model: model.into(),
        tags: Vec::new(),
        cache: crate::CacheMode::Off,
        min_similarity: None,
        deadline: Moment::now() + Duration::from_secs(5),
        features: body.features(),
        body: Arc::new(body),
        stream: false,
        include_usage: false,
    };
    engine.chat(request).await
}

const ONE: &str = r#"{"models": {"a": {"provider": "demo", "model": "echo"}}}"#;

#[tokio::test]
async fn a_config_is_shown_under_its_agreed_revision_and_told_to_the_leader_to_be() {
    let stand = Stand::new(3);
    let engine = engine(Bridge::over(stand.clone()), 17, ONE).await;
    let (revision, config) = engine.config();
    assert_eq!(revision, Revision(17));
    assert_eq!(stand.policy(), bridge::policy(&config));
    engine.stop().await;
}

#[tokio::test]
async fn an_operators_word_is_agreed_on_and_holds_here_when_it_is_answered() {
    let engine = engine(Bridge::over(Stand::new(3)), 1, ONE).await;
    let state = || engine.models()[0].1.circuit_breaker.state;
    engine
        .force_breaker("a", BreakerMode::ForceOpen, Author::new("key k"))
        .await
        .unwrap();
    assert_eq!(state(), "open");
    assert_eq!(ask(&engine, "a").await.unwrap_err().kind, Kind::Unavailable);
    engine
        .force_breaker("a", BreakerMode::Auto, Author::new("key k"))
        .await
        .unwrap();
    assert_eq!(state(), "closed");
    assert!(ask(&engine, "a").await.is_ok());
    let missing = engine
        .force_breaker("b", BreakerMode::Auto, Author::new("key k"))
        .await
        .unwrap_err();
    assert_eq!(missing.kind, Kind::UnknownModel);
    engine.stop().await;
}

#[tokio::test]
async fn a_spent_budget_sends_on_to_the_next_model_and_all_spent_mean_429_with_a_time() {
    let config = r#"{"models": {
            "a": {"provider": "demo", "model": "echo", "limits": {"rpm": 1}},
            "b": {"provider": "demo", "model": "echo", "limits": {"rpm": 1}}},
        "routes": [{"name": "r", "targets": ["a", "b"]}]}"#;
    let engine = engine(Bridge::alone(), 1, config).await;
    let mut answered = Vec::new();
    for _ in 0..2 {
        let reply = ask(&engine, "auto").await.unwrap();
        answered.push(reply.meta.model.as_str().to_owned());
    }
    assert_eq!(answered, ["a", "b"]);
    let limited = ask(&engine, "auto").await.unwrap_err();
    assert_eq!(limited.kind, Kind::RateLimited);
    let Retry::After(wait) = limited.retry else {
        panic!("{limited:?}");
    };
    assert!(wait > Duration::from_secs(50), "{wait:?}");
    let text = engine.metrics().render().unwrap();
    let counted = |model: &str| {
        let label = format!(r#"model="{model}""#);
        text.lines()
            .any(|line| line.starts_with("llm_router_limit_refusals") && line.contains(&label))
    };
    assert!(counted("a") && counted("b"));
    engine.stop().await;
}

#[tokio::test]
async fn a_node_of_a_cluster_shows_its_agreed_epoch_and_its_parts() {
    let stand = Stand::new(2);
    let engine = engine(Bridge::over(stand.clone()), 1, ONE).await;
    let target = bridge::target(&"a".into(), &engine.config().1.models["a"]);
    stand.reported(|_| true).await;
    let record = llm_router_cluster::state::BreakerRecord {
        epoch: 9,
        ..Default::default()
    };
    stand.agree(&target, record);
    let shown = async || {
        let text = engine.metrics().render().unwrap();
        let has = |start: &str, end: &str| {
            text.lines()
                .any(|line| line.starts_with(start) && line.ends_with(end))
        };
        has("llm_router_breaker_epoch", " 9")
            && has("llm_router_breaker_agreed_state", " 0")
            && has("llm_router_limit_share", " 32")
    };
    for _ in 0..200 {
        if shown().await {
            return engine.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{}", engine.metrics().render().unwrap());
}
