//! The other model is asked; no caller feels it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::MOST;
use crate::inference::testing::player::{Player, Step, whole};
use crate::inference::testing::{counted, engine, eventually, playing, question, request, times};
use crate::inference::{CacheStatus, Engine};
use crate::provider::Class;
use crate::types::{CacheMode, Moment};

async fn mirroring(player: &Player, shadow: Value) -> Engine {
    mirroring_to(player, shadow, json!({"capabilities": {"tools": false}})).await
}

async fn mirroring_to(player: &Player, shadow: Value, other: Value) -> Engine {
    let route = json!({"targets": ["a"], "shadow": shadow});
    let config = playing(&[("a", json!({})), ("other", other)], &route);
    engine(config, None, Arc::new(player.clone())).await
}

fn mirrored(engine: &Engine, outcome: &str) -> u64 {
    let outcome = format!("outcome=\"{outcome}\"");
    times(engine, "llm_router_mirror_calls_total{", &[&outcome])
}

#[tokio::test]
async fn the_other_model_is_asked_the_same_and_counted_apart() {
    let player = Player::default();
    player.plays("a", &[whole(&["mine"])]);
    player.plays("other", &[whole(&["other"])]);
    let engine = mirroring(&player, json!({"model": "other"})).await;
    let mut asked = request(question());
    asked.stream = false;
    let reply = engine.chat(asked).await.unwrap();
    assert_eq!(reply.meta.model.as_str(), "a");
    eventually(|| mirrored(&engine, "ok") == 1).await;
    assert_eq!(player.asked("other")[0]["messages"], question()["messages"]);
    let stats = engine.stats();
    assert_eq!((stats.total_requests, stats.successes), (1, 1));
    let cost = |name| counted(&engine, name, &[]);
    eventually(|| cost("llm_router_mirror_cost") > 0.0).await;
    assert!((cost("llm_router_mirror_cost") - 0.02).abs() < 1e-9);
    assert!((cost("llm_router_cost_total{") - 0.02).abs() < 1e-9);
    engine.stop().await;
}

#[tokio::test]
async fn a_model_that_hangs_delays_nobody_and_no_more_than_the_most_are_under_way() {
    let player = Player::default();
    player.plays("a", &[whole(&["mine"])]);
    player.plays("other", &[vec![Step::Wait(Duration::from_secs(60))]]);
    let engine = mirroring(&player, json!({"model": "other", "fraction": 1.0})).await;
    let began = Moment::now();
    for _ in 0..MOST + 4 {
        let mut asked = request(question());
        asked.stream = false;
        engine.chat(asked).await.unwrap();
    }
    assert!(Moment::now().since(began) < Duration::from_secs(20));
    assert_eq!(mirrored(&engine, "dropped"), 4);
    eventually(|| player.asked("other").len() == MOST).await;
    engine.stop().await; // takes them with it
    assert_eq!(player.running(), 0);
}

#[tokio::test]
async fn what_the_cache_answers_or_the_model_cannot_take_is_not_asked() {
    let player = Player::default();
    player.plays("a", &[whole(&["mine"])]);
    player.plays("other", &[whole(&["other"])]);
    let engine = mirroring(&player, json!({"model": "other"})).await;
    for expected in [CacheStatus::Miss, CacheStatus::Exact] {
        let mut asked = request(question());
        (asked.stream, asked.cache) = (false, CacheMode::On);
        assert_eq!(engine.chat(asked).await.unwrap().meta.cache, expected);
    }
    let mut body = question();
    body["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    let mut asked = request(body);
    asked.stream = false;
    engine.chat(asked).await.unwrap();
    assert_eq!(mirrored(&engine, "unfit"), 1);
    eventually(|| mirrored(&engine, "ok") == 1).await;
    assert_eq!(player.asked("other").len(), 1);
    engine.stop().await;
}

#[tokio::test]
async fn a_fraction_of_nothing_asks_nothing() {
    let player = Player::default();
    player.plays("a", &[whole(&["mine"])]);
    let engine = mirroring(&player, json!({"model": "other", "fraction": 0.0})).await;
    engine.chat(request(question())).await.unwrap();
    tokio::time::sleep(super::HEAD_START * 2).await;
    assert!(player.asked("other").is_empty());
    engine.stop().await;
}

#[tokio::test]
async fn half_of_a_limit_is_left_to_those_who_wait_for_answers() {
    let player = Player::default();
    player.plays("a", &[whole(&["mine"])]);
    player.plays("other", &[whole(&["other"])]);
    let other = json!({"limits": {"rpm": 4}});
    let engine = mirroring_to(&player, json!({"model": "other"}), other).await;
    for at in 1..=4 {
        engine.chat(request(question())).await.unwrap();
        let outcomes = || mirrored(&engine, "ok") + mirrored(&engine, "saturated");
        eventually(|| outcomes() == at).await;
    }
    assert_eq!(
        (mirrored(&engine, "ok"), player.asked("other").len()),
        (2, 2)
    );
    for _ in 0..2 {
        let mut body = question();
        body["model"] = json!("other");
        engine.chat(request(body)).await.unwrap();
    }
    engine.stop().await;
}

#[tokio::test]
async fn that_it_fails_is_nothing_to_the_models_own_callers() {
    let gate = Class::Gate {
        retry_after: Some(Duration::from_secs(60)),
    };
    for (class, status) in [(Class::Hard, 500), (gate, 429), (Class::Credential, 401)] {
        let player = Player::default();
        player.plays("a", &[whole(&["mine"])]);
        player.plays("other", &[vec![Step::Fail(class, Some(status), "no")]]);
        let engine = mirroring(&player, json!({"model": "other"})).await;
        for at in 1..=6 {
            engine.chat(request(question())).await.unwrap();
            eventually(|| mirrored(&engine, "failed") == at).await;
        }
        let other = engine.handle("other");
        other.shared.breaker.caught_up().await.unwrap();
        assert!(other.is_sound(Moment::now()), "{class:?}");
        let status = other.status(Moment::now());
        assert_eq!(
            (status.circuit_breaker.failure_count, status.failures),
            (0, 0)
        );
        engine.stop().await;
    }
}
