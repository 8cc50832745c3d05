//! One whole answer or a clean error, whatever dies and whoever carries on.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::error::Kind;
use crate::inference::testing::player::{Player, Step, cut, dies, says, whole};
use crate::inference::testing::{Got, counted, engine, playing, question, read, request};
use crate::inference::{CacheStatus, Engine, ReplyBody};
use crate::provider::Class;
use crate::types::{CacheMode, Event, Moment, Usage};

/// `a` answers first, `b` after it; what `b` continues depends on `prefill`.
async fn two(player: &Player, prefill: bool) -> Engine {
    let b = json!({"capabilities": {"prefill": prefill}});
    let config = playing(
        &[("a", json!({})), ("b", b)],
        &json!({"targets": ["a", "b"]}),
    );
    engine(config, None, Arc::new(player.clone())).await
}

async fn ask(engine: &Engine, body: Value) -> Got {
    read(engine.chat(request(body)).await.unwrap()).await
}

fn recovered(engine: &Engine, how: &str) -> f64 {
    let how = format!("how=\"{how}\"");
    counted(engine, "llm_router_streams_recovered_total{", &[&how])
}

#[tokio::test]
async fn a_model_that_continues_is_given_the_beginning_and_the_client_gets_one_answer() {
    let player = Player::default();
    player.plays("a", &[cut(&["one two three ", "four "])]);
    player.plays("b", &[whole(&["fi", "ve"])]);
    let engine = two(&player, true).await;
    let got = ask(&engine, question()).await;
    assert!(got.error.is_none(), "{:?}", got.error);
    assert_eq!(got.text, "one two three four five");
    assert!(got.is_one_answer(), "{:?}", got.chunks);
    assert_eq!(got.finishes(), ["stop"]);
    let sent = &player.asked("b")[0]["messages"];
    assert_eq!(
        sent[1],
        json!({"role": "assistant", "content": "one two three four "})
    );
    assert_eq!(got.end.recovered.unwrap().as_str(), "b");
    assert!((recovered(&engine, "prefill") - 1.0).abs() < 0.1);
    assert_eq!(player.running(), 0);
    engine.stop().await;
}

#[tokio::test]
async fn usage_and_cost_are_those_of_both_attempts_told_once() {
    let player = Player::default();
    player.plays("a", &[cut(&["one two three ", "fourr "])]);
    player.plays("b", &[whole(&["five"])]);
    let engine = two(&player, true).await;
    let asked = request(question());
    let prompt = asked.features.prompt_tokens;
    let got = read(engine.chat(asked).await.unwrap()).await;
    // twenty bytes are five tokens; the continuation's are its upstream's word
    let sum = Usage::new(prompt + 10, 5 + 10);
    assert_eq!(got.usages(), [&json!(sum)]);
    let dollars = (prompt + 10 + 15) as f64 / 1000.0;
    assert!(
        (got.end.cost_usd.unwrap() - dollars).abs() < 1e-9,
        "{:?}",
        got.end
    );
    engine.stop().await;
}

#[tokio::test]
async fn a_model_that_answers_anew_joins_wherever_the_first_was_cut() {
    let words = ["one ", "two ", "thrée ", "four"];
    for at in 1..=words.len() {
        let player = Player::default();
        player.plays("a", &[cut(&words[..at])]);
        player.plays("b", &[whole(&["one t", "wo th", "rée fo", "ur"])]);
        let engine = two(&player, false).await;
        let got = ask(&engine, question()).await;
        assert!(got.error.is_none(), "{at}: {:?}", got.error);
        assert_eq!(got.text, words.concat());
        assert!(got.is_one_answer() && got.finishes() == ["stop"]);
        let sent = &player.asked("b")[0]["messages"];
        assert_eq!(sent.as_array().unwrap().len(), 1);
        assert!((recovered(&engine, "regenerate") - 1.0).abs() < 0.1);
        engine.stop().await;
    }
}

#[tokio::test]
async fn another_answer_is_never_sewn_on() {
    // the last one was given the beginning, begins anew and goes on otherwise
    for (says, prefill) in [
        ("One two three four", false),
        ("one", false),
        ("one two three four dreizehn", true),
    ] {
        let player = Player::default();
        player.plays("a", &[cut(&["one two three ", "four drei "])]);
        player.plays("b", &[whole(&[says])]);
        let engine = two(&player, prefill).await;
        let got = ask(&engine, question()).await;
        assert_eq!(got.text, "one two three four drei ", "{says}");
        let error = got.error.as_ref().unwrap();
        assert_eq!(error.kind, Kind::UpstreamFailed);
        assert!(error.message.contains("connection reset"), "{error}");
        assert!(got.finishes().is_empty());
        assert_eq!(player.running(), 0);
        engine.stop().await;
    }
}

#[tokio::test]
async fn what_is_more_than_text_is_not_carried_on() {
    let call = Step::Say(Event::ToolCall {
        index: 0,
        id: "c".into(),
        name: "f".into(),
        signature: None,
    });
    let refusal = Step::Say(Event::Refusal("I will".into()));
    for beyond in [call, refusal] {
        let player = Player::default();
        player.plays("a", &[vec![says("one "), beyond.clone(), dies()]]);
        player.plays("b", &[whole(&["two"])]);
        let engine = two(&player, true).await;
        let got = ask(&engine, question()).await;
        assert!(got.error.is_some(), "{beyond:?}");
        assert_eq!((got.text.as_str(), player.asked("b").len()), ("one ", 0));
        engine.stop().await;
    }
    for (key, value) in [("n", json!(2)), ("logprobs", json!(true))] {
        let player = Player::default();
        player.plays("a", &[cut(&["one "])]);
        player.plays("b", &[whole(&["two"])]);
        let engine = two(&player, true).await;
        let mut body = question();
        body[key] = value;
        let got = ask(&engine, body).await;
        assert!(got.error.is_some() && player.asked("b").is_empty(), "{key}");
        engine.stop().await;
    }
}

#[tokio::test]
async fn a_stream_that_stalls_is_carried_on() {
    let player = Player::default();
    let silence = Step::Wait(Duration::from_secs(60));
    player.plays("a", &[vec![says("one "), silence]]);
    player.plays("b", &[whole(&["one two"])]);
    let a = json!({"timeouts": {"idle": "50ms"}});
    let b = json!({"capabilities": {"prefill": true}});
    let config = playing(
        &[("a", a), ("b", b)],
        &json!({"targets": ["a"], "fallback": ["b"]}),
    );
    let engine = engine(config, None, Arc::new(player.clone())).await;
    let got = ask(&engine, question()).await;
    assert_eq!((got.text.as_str(), got.error.is_none()), ("one two", true));
    assert_eq!(player.running(), 0, "the stalled connection is gone");
    engine.stop().await;
}

#[tokio::test]
async fn nobody_else_left_the_same_model_is_asked_once_more() {
    let player = Player::default();
    player.plays("a", &[cut(&["one "]), whole(&["one two"])]);
    let config = playing(&[("a", json!({}))], &json!({}));
    let engine = engine(config, None, Arc::new(player.clone())).await;
    let got = ask(&engine, question()).await;
    assert_eq!((got.text.as_str(), got.error.is_none()), ("one two", true));
    // and no more than once
    player.plays("a", &[cut(&["one "])]);
    let asked = player.asked("a").len();
    let got = ask(&engine, question()).await;
    assert!(got.error.is_some() && got.text == "one ");
    assert_eq!(player.asked("a").len() - asked, 2);
    engine.stop().await;
}

#[tokio::test]
async fn it_is_not_asked_again_where_it_asks_for_patience_was_waited_for_or_was_asked_enough() {
    let gate = Class::Gate { retry_after: None };
    let slow_down = vec![says("one "), Step::Fail(gate, Some(429), "slow down")];
    let stalls = vec![says("one "), Step::Wait(Duration::from_secs(60))];
    for (first, most) in [(slow_down, 3), (stalls, 3), (cut(&["one "]), 1)] {
        let player = Player::default();
        player.plays("a", &[first.clone(), whole(&["one two"])]);
        let models = [("a", json!({"timeouts": {"idle": "50ms"}}))];
        let mut config = playing(&models, &json!({}));
        config["retry"]["max_attempts"] = json!(most);
        let engine = engine(config, None, Arc::new(player.clone())).await;
        let got = ask(&engine, question()).await;
        assert!(got.error.is_some() && got.text == "one ", "{first:?}");
        assert_eq!(player.asked("a").len(), 1, "{first:?}");
        engine.stop().await;
    }
}

#[tokio::test]
async fn an_answer_is_carried_on_twice_at_most() {
    let player = Player::default();
    let models = ["a", "b", "c", "d"];
    for model in models {
        player.plays(model, &[cut(&[&*model.repeat(16)])]);
    }
    let continues = json!({"capabilities": {"prefill": true}});
    let settings = models.map(|model| (model, continues.clone()));
    let config = playing(&settings, &json!({"targets": models}));
    let engine = engine(config, None, Arc::new(player.clone())).await;
    let got = ask(&engine, question()).await;
    assert!(got.error.is_some());
    let text = ["a", "b", "c"].map(|model| model.repeat(16)).concat();
    assert_eq!((got.text, player.asked("d").len()), (text, 0));
    engine.stop().await;
}

#[tokio::test]
async fn one_that_takes_no_beginning_is_asked_anew_and_one_that_fails_is_passed_over() {
    let player = Player::default();
    player.plays("a", &[cut(&["one two three four "])]);
    player.plays("b", &[vec![Step::Fail(Class::Hard, Some(500), "http 500")]]);
    let refuses = vec![Step::Fail(Class::Caller, Some(400), "no prefill")];
    player.plays("c", &[refuses, whole(&["one two three four five"])]);
    let c = json!({"capabilities": {"prefill": true}});
    let models = [("a", json!({})), ("b", json!({})), ("c", c)];
    let config = playing(&models, &json!({"targets": ["a", "b", "c"]}));
    let engine = engine(config, None, Arc::new(player.clone())).await;
    let got = ask(&engine, question()).await;
    assert!(got.error.is_none() && got.text == "one two three four five");
    assert_eq!((player.asked("b").len(), player.asked("c").len()), (1, 2));
    engine.stop().await;
}

#[tokio::test]
async fn where_it_is_switched_off_or_the_clients_time_is_over_the_stream_ends_in_an_error() {
    let player = Player::default();
    let silence = Step::Wait(Duration::from_secs(60));
    player.plays("a", &[cut(&["one "]), vec![says("one "), silence]]);
    player.plays("b", &[whole(&["one two"])]);
    let models = [("a", json!({})), ("b", json!({}))];
    let route = json!({"targets": ["a", "b"], "stream_recovery": "off"});
    let engine_off = engine(playing(&models, &route), None, Arc::new(player.clone())).await;
    assert!(ask(&engine_off, question()).await.error.is_some());
    engine_off.stop().await;
    let engine = two(&player, false).await;
    let mut late = request(question());
    late.deadline = Moment::now() + Duration::from_millis(200);
    let got = read(engine.chat(late).await.unwrap()).await;
    assert_eq!(got.error.unwrap().kind, Kind::DeadlineExceeded);
    assert!(player.asked("b").is_empty());
    engine.stop().await;
}

#[tokio::test]
async fn a_recovered_answer_is_not_kept_and_the_next_request_goes_upstream() {
    let player = Player::default();
    player.plays("a", &[cut(&["one "]), whole(&["one two"])]);
    player.plays("b", &[whole(&["one two"])]);
    let engine = two(&player, true).await;
    for _ in 0..2 {
        let mut asked = request(question());
        asked.cache = CacheMode::On;
        let reply = engine.chat(asked).await.unwrap();
        assert_eq!(reply.meta.cache, CacheStatus::Miss);
        assert_eq!(read(reply).await.text, "one two");
    }
    assert_eq!(player.asked("a").len(), 2);
    engine.stop().await;
}

#[tokio::test]
async fn who_reads_along_is_told_of_it_too_and_nobody_joins_any_more() {
    let pause = || Step::Wait(Duration::from_millis(500));
    let player = Player::default();
    let dying = vec![says("one "), pause(), dies()];
    player.plays("a", &[dying, whole(&["one two three"])]);
    let mut rest = whole(&["one two ", "three"]);
    rest.insert(1, pause());
    player.plays("b", &[rest]);
    let engine = two(&player, false).await;
    let ask = || {
        let mut asked = request(question());
        asked.cache = CacheMode::On;
        engine.chat(asked)
    };
    let (first, second) = (ask().await.unwrap(), ask().await.unwrap());
    assert_eq!(second.meta.cache, CacheStatus::Exact, "it reads along");
    let ReplyBody::Stream(mut chunks) = first.body else {
        panic!("asked for a stream")
    };
    while let Some(Ok(chunk)) = chunks.next().await {
        if chunk.tap.text.contains("two") {
            break;
        }
    }
    let third = ask().await.unwrap();
    assert_eq!(third.meta.cache, CacheStatus::Miss);
    assert!(read(third).await.end.recovered.is_none());
    let second = read(second).await;
    assert_eq!(second.text, "one two three");
    assert_eq!(second.end.recovered.unwrap().as_str(), "b");
    while let Some(chunk) = chunks.next().await {
        chunk.unwrap();
    }
    assert_eq!(chunks.end().recovered.unwrap().as_str(), "b");
    drop(chunks);
    engine.stop().await;
}

#[tokio::test]
async fn thinking_of_the_second_is_kept_back_and_its_sealed_call_is_an_error() {
    let thinks = |text: &str| Step::Say(Event::Thinking(text.into()));
    let player = Player::default();
    let told = "one two three four ";
    player.plays("a", &[vec![thinks("hm"), says(told), dies()]]);
    let mut second = whole(&["five"]);
    second.insert(0, thinks("once more"));
    player.plays("b", &[second]);
    let engine = two(&player, true).await;
    let got = ask(&engine, question()).await;
    assert!(got.error.is_none() && got.text == "one two three four five");
    let shown = serde_json::to_string(&got.chunks).unwrap();
    assert!(shown.contains("hm") && !shown.contains("once more"));
    let call = Event::ToolCall {
        index: 0,
        id: "c".into(),
        name: "f".into(),
        signature: None,
    };
    let sealed = vec![
        thinks("x"),
        Step::Say(Event::Signature("s".into())),
        Step::Say(call),
        dies(),
    ];
    player.plays("a", &[vec![says(told), dies()]]);
    player.plays("b", &[sealed]);
    let got = ask(&engine, question()).await;
    assert!(got.error.is_some() && got.text == told);
    engine.stop().await;
}
