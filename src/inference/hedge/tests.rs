//! The first word wins; what a second attempt costs is bounded and told.

use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::MemberId;
use llm_router_cluster::state::{BreakerRecord, Phase};
use serde_json::{Value, json};

use crate::bridge::Bridge;
use crate::bridge::testing::Stand;
use crate::error::Kind;
use crate::inference::testing::player::{Player, Step, says, whole};
use crate::inference::testing::{engine_over, eventually, playing, question, read, request, times};
use crate::inference::{BreakerMode, Engine};
use crate::provider::Class;
use crate::queue::Ticket;
use crate::types::{Event, Finish, Moment};

/// `a` is known to begin within ten milliseconds.
async fn hedging(player: &Player, budget: f64) -> Engine {
    let models = [("a", json!({})), ("b", json!({}))];
    hedging_among(player, (&models, budget), Bridge::alone()).await
}

/// The same with these models.
async fn hedging_among(
    player: &Player,
    (models, budget): (&[(&str, Value)], f64),
    bridge: Bridge,
) -> Engine {
    let names: Vec<_> = models.iter().map(|(name, _)| *name).collect();
    let route = json!({"targets": names, "hedge": {"percentile": 95, "budget": budget}});
    let engine = engine_over(playing(models, &route), Arc::new(player.clone()), bridge).await;
    let a = engine.handle("a");
    let mut waits = a.shared.waits.lock();
    (0..40).for_each(|_| waits.note(true, Duration::from_millis(10)));
    drop(waits);
    engine
}

fn after(millis: u64, words: &[&str]) -> Vec<Step> {
    let mut steps = whole(words);
    steps.insert(0, Step::Wait(Duration::from_millis(millis)));
    steps
}

fn hedged(engine: &Engine, outcome: &str) -> u64 {
    let outcome = format!("outcome=\"{outcome}\"");
    times(engine, "llm_router_hedges_total{", &[&outcome])
}

#[tokio::test]
async fn the_second_answers_where_the_first_dawdles_and_the_first_is_given_up_without_blame() {
    let player = Player::default();
    player.plays("a", &[after(60_000, &["late"])]);
    player.plays("b", &[whole(&["quick"])]);
    let engine = hedging(&player, 1.0).await;
    let asked = request(question());
    let prompt = asked.features.prompt_tokens;
    let reply = engine.chat(asked).await.unwrap();
    assert_eq!((reply.meta.model.as_str(), reply.meta.attempts), ("b", 2));
    let got = read(reply).await;
    assert_eq!(got.text, "quick");
    // the winner's own tokens, and the loser's prompt besides
    let dollars = (20 + prompt) as f64 / 1000.0;
    assert!(
        (got.end.cost_usd.unwrap() - dollars).abs() < 1e-9,
        "{:?}",
        got.end
    );
    assert_eq!(hedged(&engine, "won"), 1);
    eventually(|| player.running() == 0).await;
    let a = engine.handle("a").status(Moment::now());
    assert_eq!((a.circuit_breaker.failure_count, a.failures), (0, 0));
    engine.stop().await;
}

#[tokio::test]
async fn a_first_that_speaks_after_all_wins() {
    let player = Player::default();
    player.plays("a", &[after(100, &["mine"])]);
    player.plays("b", &[after(60_000, &["late"])]);
    let engine = hedging(&player, 1.0).await;
    let reply = engine.chat(request(question())).await.unwrap();
    assert_eq!((reply.meta.model.as_str(), reply.meta.attempts), ("a", 2));
    assert_eq!(read(reply).await.text, "mine");
    assert_eq!((hedged(&engine, "lost"), player.asked("b").len()), (1, 1));
    eventually(|| player.running() == 0).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_second_that_fails_leaves_the_first_its_time() {
    let player = Player::default();
    player.plays("a", &[after(100, &["mine"])]);
    player.plays("b", &[vec![Step::Fail(Class::Hard, Some(500), "http 500")]]);
    let engine = hedging(&player, 1.0).await;
    let reply = engine.chat(request(question())).await.unwrap();
    assert_eq!((reply.meta.model.as_str(), reply.meta.attempts), ("a", 2));
    assert_eq!(hedged(&engine, "failed"), 1);
    engine.stop().await;
}

#[tokio::test]
async fn a_first_that_fails_meanwhile_leaves_the_second_to_answer() {
    let player = Player::default();
    let slow_death = vec![
        Step::Wait(Duration::from_millis(60)),
        Step::Fail(Class::Hard, Some(500), "http 500"),
    ];
    player.plays("a", &[slow_death]);
    player.plays("b", &[after(150, &["mine"])]);
    let engine = hedging(&player, 1.0).await;
    let reply = engine.chat(request(question())).await.unwrap();
    assert_eq!((reply.meta.model.as_str(), reply.meta.attempts), ("b", 2));
    assert_eq!((player.asked("a").len(), player.asked("b").len()), (1, 1));
    engine.stop().await;
}

#[tokio::test]
async fn no_more_second_attempts_are_made_than_the_budget_allows() {
    let player = Player::default();
    player.plays("a", &[after(60, &["slow"])]);
    player.plays("b", &[whole(&["quick"])]);
    let engine = hedging(&player, 0.25).await;
    for _ in 0..8 {
        // the slow ones make the model slower in its own eyes: it is kept as it was
        let a = engine.handle("a");
        (0..256).for_each(|_| a.shared.waits.lock().note(true, Duration::from_millis(10)));
        let reply = engine.chat(request(question())).await.unwrap();
        read(reply).await;
    }
    assert_eq!(player.asked("b").len(), 2);
    assert_eq!((hedged(&engine, "won"), hedged(&engine, "budget")), (2, 6));
    engine.stop().await;
}

#[tokio::test]
async fn a_model_whose_breaker_is_not_closed_or_that_asked_for_patience_is_no_company() {
    let player = Player::default();
    player.plays("a", &[after(60, &["slow"])]);
    player.plays("b", &[whole(&["quick"])]);
    let engine = hedging(&player, 1.0).await;
    let author = llm_router_cluster::Author::new("test");
    let forced = engine.force_breaker("b", BreakerMode::ForceOpen, author);
    forced.await.unwrap();
    let reply = engine.chat(request(question())).await.unwrap();
    assert_eq!(reply.meta.model.as_str(), "a");
    assert!(player.asked("b").is_empty());
    assert_eq!(player.asked("a").len(), 2, "its own second attempt instead");
    engine.stop().await;
}

#[tokio::test]
async fn too_few_times_known_or_a_quick_first_word_hedge_nothing() {
    let player = Player::default();
    let begun = vec![
        says("quick"),
        Step::Wait(Duration::from_millis(60)),
        Step::Say(Event::Finish(Finish::Stop)),
    ];
    player.plays("a", &[begun]);
    player.plays("b", &[whole(&["no"])]);
    let engine = hedging(&player, 1.0).await;
    let reply = engine.chat(request(question())).await.unwrap();
    assert_eq!(read(reply).await.text, "quick");
    // whole answers have times of their own, and none is known
    player.plays("a", &[after(60, &["whole"])]);
    let mut whole = request(question());
    whole.stream = false;
    assert_eq!(engine.chat(whole).await.unwrap().meta.attempts, 1);
    assert!(player.asked("b").is_empty());
    engine.stop().await;
}

/// Says nothing for as long as it takes to get company, and fails.
fn slow_death() -> Vec<Step> {
    vec![
        Step::Wait(Duration::from_millis(100)),
        Step::Fail(Class::Hard, Some(500), "http 500"),
    ]
}

#[tokio::test]
async fn a_second_that_refused_the_request_or_our_credential_is_not_asked_once_more() {
    let filtered = r#"{"error":{"code":"content_filter"}}"#;
    let refusals = [
        (Class::Caller, 400, filtered, Kind::UpstreamRejected, 1),
        (Class::Credential, 401, "http 401", Kind::UpstreamFailed, 3),
    ];
    for (class, status, why, kind, tries) in refusals {
        let player = Player::default();
        player.plays("a", &[slow_death()]);
        player.plays("b", &[vec![Step::Fail(class, Some(status), why)]]);
        let engine = hedging(&player, 1.0).await;
        let error = engine.chat(request(question())).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        let asked = (player.asked("a").len(), player.asked("b").len());
        assert_eq!(asked, (tries, 1), "{error}");
        engine.stop().await;
    }
}

#[tokio::test]
async fn a_window_that_was_too_small_for_the_second_is_too_small_for_others() {
    let player = Player::default();
    let body = r#"{"error":{"code":"context_length_exceeded"}}"#;
    player.plays("a", &[slow_death()]);
    player.plays("b", &[vec![Step::Fail(Class::Caller, Some(400), body)]]);
    player.plays("c", &[whole(&["never asked"])]);
    player.plays("d", &[whole(&["one"])]);
    let window = |tokens: u64| json!({"context_window": tokens});
    let models = [
        ("a", json!({})),
        ("b", window(8000)),
        ("c", window(8000)),
        ("d", window(8001)),
    ];
    let engine = hedging_among(&player, (&models, 1.0), Bridge::alone()).await;
    let reply = engine.chat(request(question())).await.unwrap();
    assert_eq!(reply.meta.model.as_str(), "d");
    assert_eq!((player.asked("b").len(), player.asked("c").len()), (1, 0));
    engine.stop().await;
}

#[tokio::test]
async fn a_first_that_turns_out_to_be_the_probe_of_a_lease_is_let_speak() {
    let player = Player::default();
    player.plays("a", &[after(150, &["mine"])]);
    player.plays("b", &[whole(&["quick"])]);
    let models = [("a", json!({"max_concurrency": 1})), ("b", json!({}))];
    let stand = Stand::new(1);
    let engine = hedging_among(&player, (&models, 1.0), Bridge::over(stand.clone())).await;
    let a = engine.handle("a");
    let ticket = Ticket {
        tenant: "t".into(),
        priority: request(question()).priority,
        deadline: Moment::now() + Duration::from_secs(20),
        cost: 1,
        bytes: 1,
    };
    let place = a.shared.queue.admit(ticket).await.unwrap();
    let asker = engine.clone();
    let asking = async move { asker.chat(request(question())).await };
    let asking = tokio::runtime::Handle::current().spawn(asking);
    eventually(|| a.shared.queue.depth() == 1).await;
    // while it waits, the breaker opens and this node is lent the right to probe
    let leased = BreakerRecord {
        epoch: 2,
        phase: Phase::HalfOpen,
        holder: Some(MemberId(1)),
        cooldown_ms: 60_000,
        lease_ms: 60_000,
        need_ok: 3,
        ..BreakerRecord::default()
    };
    stand.agree(&a.spec.target, leased);
    eventually(|| a.status(Moment::now()).circuit_breaker.state == "half_open").await;
    drop(place);
    let reply = asking.await.unwrap().unwrap();
    assert_eq!((reply.meta.model.as_str(), reply.meta.attempts), ("a", 1));
    assert!(player.asked("b").is_empty());
    engine.stop().await;
}
