//! What each way of failing leads to.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bridge::Bridge;
use crate::bridge::testing::Stand;
use crate::error::Kind;
use crate::inference::testing::player::{Player, Step, cut, dies, says, whole};
use crate::inference::testing::{counted, engine, engine_over, playing, question, read, request};
use crate::inference::{Engine, Reply};
use crate::provider::Class;
use crate::types::{Event, Finish, Moment};

async fn engine_of(player: &Player, models: &[(&str, Value)]) -> Engine {
    let names: Vec<&str> = models.iter().map(|(name, _)| *name).collect();
    let mut config = playing(models, &json!({"targets": names}));
    config["retry"]["max_attempts"] = json!(10);
    config["circuit_breaker"] = json!({"failure_threshold": 100});
    engine(config, None, Arc::new(player.clone())).await
}

async fn ask(engine: &Engine) -> Reply {
    engine.chat(request(question())).await.unwrap()
}

fn fails(class: Class, status: u16, why: &'static str) -> Vec<Step> {
    vec![Step::Fail(class, Some(status), why)]
}

#[tokio::test]
async fn a_first_token_waited_for_in_vain_is_not_waited_for_again() {
    let silence = vec![Step::Wait(Duration::from_secs(60))];
    let pause = Duration::from_millis(5);
    let start = || Event::Start {
        id: String::new(),
        model: String::new(),
    };
    // announcements and empty deltas are no answer
    let announcing = vec![Step::Repeat(start(), pause)];
    let empty = vec![Step::Repeat(Event::Text(String::new()), pause)];
    for script in [silence, announcing, empty] {
        let player = Player::default();
        player.plays("a", &[script]);
        player.plays("b", &[whole(&["one"])]);
        let a = json!({"timeouts": {"first_token": "100ms"}});
        let engine = engine_of(&player, &[("a", a), ("b", json!({}))]).await;
        let began = Moment::now();
        let reply = ask(&engine).await;
        assert_eq!((reply.meta.model.as_str(), reply.meta.attempts), ("b", 2));
        assert_eq!(player.asked("a").len(), 1);
        assert!(Moment::now().since(began) >= Duration::from_millis(95));
        engine.stop().await;
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_again_and_an_unavailable_model_thrice_at_most() {
    let player = Player::default();
    player.plays("a", &[vec![dies()], whole(&["one"])]);
    player.plays("b", &[whole(&["two"])]);
    let models = [("a", json!({})), ("b", json!({}))];
    let engine = engine_of(&player, &models).await;
    let reply = ask(&engine).await;
    assert_eq!((reply.meta.model.as_str(), reply.meta.attempts), ("a", 2));
    let asked = player.asked("a").len();
    player.plays("a", &[fails(Class::Hard, 503, "http 503")]);
    let reply = ask(&engine).await;
    assert_eq!((reply.meta.model.as_str(), reply.meta.attempts), ("b", 4));
    assert_eq!(
        player.asked("a").len() - asked,
        3,
        "whatever max_attempts says"
    );
    engine.stop().await;
}

#[tokio::test]
async fn one_that_asks_for_patience_is_left_alone_by_everybody_until_then() {
    let player = Player::default();
    let retry_after = Some(Duration::from_millis(150));
    let gate = fails(Class::Gate { retry_after }, 429, "http 429");
    player.plays("a", &[gate, whole(&["one"])]);
    player.plays("b", &[whole(&["two"])]);
    let models = [("a", json!({})), ("b", json!({}))];
    let engine = engine_of(&player, &models).await;
    let began = Moment::now();
    assert_eq!(ask(&engine).await.meta.model.as_str(), "b");
    tokio::time::sleep(Duration::from_millis(20)).await; // the breaker's actor hears of it
    while Moment::now().since(began) < Duration::from_millis(120) {
        assert_eq!(ask(&engine).await.meta.model.as_str(), "b");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(player.asked("a").len(), 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ask(&engine).await.meta.model.as_str(), "a");
    engine.stop().await;
}

#[tokio::test]
async fn with_nobody_else_to_ask_retry_after_is_waited_out() {
    let player = Player::default();
    let retry_after = Some(Duration::from_millis(150));
    let gate = fails(Class::Gate { retry_after }, 429, "http 429");
    player.plays("a", &[gate.clone(), whole(&["one"])]);
    let engine = engine_of(&player, &[("a", json!({}))]).await;
    let began = Moment::now();
    assert_eq!(ask(&engine).await.meta.attempts, 2);
    assert!(Moment::now().since(began) >= Duration::from_millis(150));
    player.plays("a", &[gate]);
    let asked = player.asked("a").len();
    let error = engine.chat(request(question())).await.unwrap_err();
    assert_eq!(error.kind, Kind::RateLimited);
    assert!(player.asked("a").len() - asked <= 3);
    engine.stop().await;
}

#[tokio::test]
async fn on_a_node_of_a_cluster_its_own_spread_gate_is_waited_out_too() {
    let player = Player::default();
    let retry_after = Some(Duration::from_millis(50));
    let gate = fails(Class::Gate { retry_after }, 429, "http 429");
    player.plays("a", &[gate, whole(&["one"])]);
    let config = playing(&[("a", json!({}))], &json!({}));
    let bridge = Bridge::over(Stand::new(1));
    let engine = engine_over(config, Arc::new(player.clone()), bridge).await;
    assert_eq!(ask(&engine).await.meta.attempts, 2);
    engine.stop().await;
}

#[tokio::test]
async fn a_request_too_long_for_one_goes_only_to_a_larger_window() {
    let player = Player::default();
    let body = r#"{"error":{"code":"context_length_exceeded"}}"#;
    let too_long = fails(Class::Caller, 400, body);
    player.plays("a", std::slice::from_ref(&too_long));
    player.plays("b", &[whole(&["never asked"])]);
    player.plays("c", &[too_long]);
    player.plays("d", &[whole(&["one"])]);
    let window = |tokens: u64| json!({"context_window": tokens});
    let models = [
        ("a", window(8000)),
        ("b", window(8000)),
        ("c", json!({})),
        ("d", window(8001)),
    ];
    let engine = engine_of(&player, &models).await;
    let reply = ask(&engine).await;
    assert_eq!((reply.meta.model.as_str(), reply.meta.attempts), ("d", 3));
    assert!(player.asked("b").is_empty());
    engine.stop().await;
    let engine = engine_of(&player, &models[..2]).await;
    let error = engine.chat(request(question())).await.unwrap_err();
    assert_eq!(error.kind, Kind::UpstreamRejected, "{error}");
    assert_eq!(error.tried.len(), 2, "the smaller one is named: {error}");
    engine.stop().await;
}

#[tokio::test]
async fn what_a_content_filter_refuses_is_asked_of_nobody_else() {
    let player = Player::default();
    let body = r#"{"error":{"code":"content_filter","message":"no"}}"#;
    player.plays("a", &[fails(Class::Caller, 400, body)]);
    player.plays("b", &[whole(&["one"])]);
    let engine = engine_of(&player, &[("a", json!({})), ("b", json!({}))]).await;
    let error = engine.chat(request(question())).await.unwrap_err();
    let rejection = error.rejection.unwrap();
    assert_eq!(
        (rejection.status, &rejection.body[..]),
        (400, body.as_bytes())
    );
    assert_eq!((player.asked("a").len(), player.asked("b").len()), (1, 0));
    engine.stop().await;
}

#[tokio::test]
async fn an_endless_stream_ends_at_the_total_limit() {
    let player = Player::default();
    let endless = Step::Repeat(Event::Text("la ".into()), Duration::from_millis(1));
    player.plays("a", &[vec![endless]]);
    let a = json!({"timeouts": {"total": "300ms"}});
    let engine = engine_of(&player, &[("a", a)]).await;
    let got = read(ask(&engine).await).await;
    assert_eq!(got.error.unwrap().kind, Kind::DeadlineExceeded);
    assert!(got.text.starts_with("la la "));
    engine.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_whole_is_no_failure_whatever_breaks_after_it() {
    let player = Player::default();
    let finish = Step::Say(Event::Finish(Finish::Stop));
    player.plays("a", &[vec![says("one"), finish, dies()]]);
    let engine = engine_of(&player, &[("a", json!({}))]).await;
    let got = read(ask(&engine).await).await;
    assert!(got.error.is_none(), "{:?}", got.error);
    assert_eq!(
        (got.text.as_str(), &got.finishes()[..]),
        ("one", &["stop"][..])
    );
    let a = engine.handle("a").status(Moment::now());
    assert_eq!((a.circuit_breaker.failure_count, a.failures), (0, 0));
    assert_eq!(player.asked("a").len(), 1);
    engine.stop().await;
}

#[tokio::test]
async fn attempts_that_failed_are_no_completions_in_the_books() {
    let player = Player::default();
    player.plays("a", &[cut(&[])]);
    player.plays("b", &[whole(&["one"])]);
    let engine = engine_of(&player, &[("a", json!({})), ("b", json!({}))]).await;
    let got = read(ask(&engine).await).await;
    assert!((got.end.cost_usd.unwrap() - 0.02).abs() < 1e-9);
    assert!((counted(&engine, "llm_router_cost_total{", &["model=\"b\""]) - 0.02).abs() < 1e-9);
    engine.stop().await;
}

#[tokio::test]
async fn what_an_upstream_has_not_counted_is_estimated_and_said_to_be() {
    let player = Player::default();
    let finish = Step::Say(Event::Finish(Finish::Stop));
    player.plays("a", &[vec![says("eight by"), finish]]);
    let engine = engine_of(&player, &[("a", json!({}))]).await;
    let asked = request(question());
    // two tokens of text
    let dollars = (asked.features.prompt_tokens + 2) as f64 / 1000.0;
    let got = read(engine.chat(asked).await.unwrap()).await;
    assert!((got.end.cost_usd.unwrap() - dollars).abs() < 1e-9);
    assert!(got.end.estimated && got.usages().is_empty());
    let note = ("x-llm-router-estimated", "usage".to_owned());
    assert!(got.end.notes().contains(&note));
    let mut asked = request(question());
    asked.stream = false;
    let meta = engine.chat(asked).await.unwrap().meta;
    assert!(meta.estimated && (meta.cost_usd.unwrap() - dollars).abs() < 1e-9);
    // the other way round: counted, nothing is said
    player.plays("a", &[whole(&["one"])]);
    assert!(!read(ask(&engine).await).await.end.estimated);
    engine.stop().await;
}
