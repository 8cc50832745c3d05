use llm_router_cluster::policy::{LimitId, LimitKind};

use super::{policy, target};
use crate::config::RoutingConfig;
use crate::config::routing::ModelConfig;

fn model(json: &str) -> ModelConfig {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_target_changes_with_the_upstream_and_not_with_a_limit_or_the_secret_itself() {
    let id = |json: &str| target(&"m".into(), &model(json));
    let before = id(r#"{"provider":"ollama","model":"a","max_concurrency":2}"#);
    assert_eq!(
        before,
        id(r#"{"provider":"ollama","model":"a","max_concurrency":9}"#)
    );
    assert_ne!(before, id(r#"{"provider":"ollama","model":"b"}"#));
    assert_ne!(
        before,
        id(r#"{"provider":"ollama","model":"a","api_key":{"env":"K"}}"#)
    );
    assert_eq!(
        id(r#"{"provider":"openai","model":"a","api_key":"one"}"#),
        id(r#"{"provider":"openai","model":"a","api_key":"two"}"#),
        "nothing of a literal secret is in the id"
    );
    let (name, digest) = before.0.split_once('@').unwrap();
    assert_eq!((name, digest.len()), ("m", 16));
}

#[test]
fn the_policy_names_groups_and_every_limit_given() {
    let config: RoutingConfig = serde_json::from_str(
        r#"{"models": {
              "a": {"provider":"demo","model":"echo","max_concurrency":3,"limits":{"rpm":60}},
              "b": {"provider":"demo","model":"echo","limits":{"tpm":1000}},
              "c": {"provider":"demo","model":"echo"}},
            "routes": [{"name":"r","targets":["a","b"],"fallback":["b"]}],
            "circuit_breaker": {"failure_threshold": 4, "recovery_timeout": "2s"}}"#,
    )
    .unwrap();
    let policy = policy(&config);
    let [a, b, c] = ["a", "b", "c"].map(|name| target(&name.into(), &config.models[name]));
    assert_eq!(
        policy.groups,
        [vec![a.clone(), b.clone()], vec![a.clone(), b.clone(), c]]
    );
    let limit = |target: &_, kind| {
        let target = Clone::clone(target);
        policy.limits.get(&LimitId { target, kind }).copied()
    };
    assert_eq!(limit(&a, LimitKind::Concurrency), Some(3));
    assert_eq!(limit(&a, LimitKind::Requests), Some(60));
    assert_eq!(limit(&a, LimitKind::Tokens), None);
    assert_eq!(limit(&b, LimitKind::Tokens), Some(1000));
    let breaker = policy.breakers[&a];
    assert_eq!((breaker.failure_threshold, breaker.recovery_ms), (4, 2000));
}
