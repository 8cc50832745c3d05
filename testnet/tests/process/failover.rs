//! What a client sees of an upstream that dies, errs, or stops in the middle: as little as can be.

use std::time::Duration;

use llm_router_testnet::client::{chat, chat_stream};
use llm_router_testnet::sse::Frame;
use llm_router_testnet::{Client, Node, Upstream, eventually};
use serde_json::json;
use tokio::task::JoinSet;

use llm_router_testnet::load::Load;

const LIMIT: Duration = Duration::from_secs(15);

fn config(primary: &Upstream, backup: &Upstream, recovery: &str) -> String {
    format!(
        "models:\n{}{}\
         routes:\n  - {{ name: pair, targets: [primary], fallback: [backup] }}\n\
         circuit_breaker: {{ failure_threshold: 3, recovery_timeout: {recovery}, success_threshold: 1 }}\n\
         retry: {{ max_attempts: 1 }}\n",
        primary.model("primary", ""),
        backup.model("backup", ""),
    )
}

async fn breaker_becomes(client: &Client, state: &str) -> anyhow::Result<()> {
    eventually(&format!("the breaker is {state}"), LIMIT, async || {
        let status = client.model_status("primary").await.ok()?;
        (status["circuit_breaker"]["state"] == state).then_some(())
    })
    .await
}

#[tokio::test]
async fn nothing_fails_when_the_primary_dies_under_load() -> anyhow::Result<()> {
    let (primary, backup) = (Upstream::start().await?, Upstream::start().await?);
    let node = Node::start(&config(&primary, &backup, "500ms")).await?;
    assert_eq!(
        node.http().model_status("primary").await?["circuit_breaker"]["state"],
        "closed"
    );
    let load = Load::start(node.http(), "pair", 4);
    eventually("the primary works", LIMIT, async || {
        (load.answered() > 50).then_some(())
    })
    .await?;

    primary.stop().await;
    breaker_becomes(node.http(), "open").await?;
    let before = load.answered();
    eventually("the backup works", LIMIT, async || {
        (load.answered() > before + 50).then_some(())
    })
    .await?;
    primary.restart().await?;
    breaker_becomes(node.http(), "closed").await?;

    let tally = load.finish().await?;
    assert!(
        tally.bad.is_empty(),
        "{} good, bad: {:?}",
        tally.good,
        tally.bad
    );
    assert!(backup.requests() > 0);
    Ok(())
}

#[tokio::test]
async fn a_half_open_breaker_sends_exactly_one_probe() -> anyhow::Result<()> {
    let (primary, backup) = (Upstream::start().await?, Upstream::start().await?);
    let node = Node::start(&config(&primary, &backup, "1s")).await?;
    primary.stop().await;
    for number in 0..3 {
        let reply = node
            .http()
            .chat(&chat("pair", &format!("trip {number}")))
            .await?;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("x-llm-router-attempts"), "2");
    }
    breaker_becomes(node.http(), "open").await?;
    primary.restart().await?;
    // so long is it half open, and seen to be
    primary.wait_before_answering(Duration::from_secs(5))?;
    let seen = primary.requests();
    // before it is asked by the node itself, for want of anybody else
    breaker_becomes(node.http(), "half_open").await?;

    let mut asked = JoinSet::new();
    for number in 0..10 {
        let client = node.http().clone();
        asked.spawn(async move { client.chat(&chat("pair", &format!("probe {number}"))).await });
    }
    while let Some(reply) = asked.join_next().await {
        assert_eq!(reply??.status, 200);
    }

    assert_eq!(
        primary.requests() - seen,
        1,
        "only the probe may reach the primary"
    );
    breaker_becomes(node.http(), "closed").await?;
    primary.wait_before_answering(Duration::ZERO)?;
    let reply = node.http().chat(&chat("pair", "after the probe")).await?;
    assert_eq!(reply.header("x-llm-router-model"), "primary");
    Ok(())
}

#[tokio::test]
async fn an_upstream_error_goes_to_the_fallback_unseen() -> anyhow::Result<()> {
    let (primary, backup) = (Upstream::start().await?, Upstream::start().await?);
    primary.answer_with_status(503);
    let node = Node::start(&config(&primary, &backup, "60s")).await?;

    let whole = node.http().chat(&chat("pair", "whole")).await?;
    assert_eq!(
        (whole.status, whole.header("x-llm-router-model")),
        (200, "backup")
    );
    let streamed = node.http().stream(&chat_stream("pair", "streamed")).await?;
    assert_eq!(streamed.status, 200);
    assert_eq!(streamed.headers["x-llm-router-model"], "backup");
    Ok(())
}

#[tokio::test]
async fn a_refusal_of_the_request_itself_is_passed_on_and_not_retried() -> anyhow::Result<()> {
    let (primary, backup) = (Upstream::start().await?, Upstream::start().await?);
    primary.answer_with_status(422);
    let node = Node::start(&config(&primary, &backup, "60s")).await?;
    let reply = node.http().chat(&chat("pair", "bad for everyone")).await?;
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert_eq!((primary.requests(), backup.requests()), (1, 0));
    let status = node.http().model_status("primary").await?;
    assert_eq!(
        status["circuit_breaker"]["failure_count"], 0,
        "the caller's mistake is no failure"
    );
    Ok(())
}

#[tokio::test]
async fn only_rate_limits_give_429_with_retry_after() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    upstream.answer_with_status(429);
    let node = Node::start(&upstream.config("gpt", "retry: { max_attempts: 1 }\n")).await?;
    let reply = node.http().chat(&chat("gpt", "hello")).await?;
    assert_eq!(reply.status, 429, "{}", reply.text());
    assert!(
        !reply.header("retry-after").is_empty(),
        "{:?}",
        reply.headers
    );
    Ok(())
}

#[tokio::test]
async fn every_candidate_down_is_one_clear_error() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    upstream.answer_with_status(500);
    let node = Node::start(&upstream.config("gpt", "retry: { max_attempts: 1 }\n")).await?;
    let reply = node.http().chat(&chat("gpt", "hello")).await?;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert_eq!(reply.header("x-should-retry"), "false");
    assert_eq!(reply.json()["error"]["code"], "upstream_error");
    Ok(())
}

#[tokio::test]
async fn a_cut_off_stream_says_so_and_is_not_cached() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    upstream.cut_after(2);
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let question = chat_stream("gpt", "tell me all of it");

    let mut events = node.http().stream(&question).await?;
    let mut frames = Vec::new();
    while let Some(frame) = events.next().await {
        frames.push(frame);
    }

    let data: Vec<&str> = frames.iter().filter_map(Frame::data).collect();
    let last = data.last().copied().unwrap_or("");
    let error: serde_json::Value = serde_json::from_str(last)?;
    assert!(error["error"]["message"].is_string(), "{last}");
    assert!(error["error"]["code"].is_string(), "{last}");
    assert!(!data.contains(&"[DONE]"), "{data:?}");

    upstream.heal();
    let again = node.http().stream(&question).await?;
    assert_eq!(again.headers["x-llm-router-cache"], "miss");
    // nobody else could carry it on, so the model itself was asked once more
    assert_eq!(upstream.requests(), 3);
    Ok(())
}

#[tokio::test]
async fn a_cut_off_whole_answer_is_an_error() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    upstream.cut_after(0);
    let node = Node::start(&upstream.config("gpt", "retry: { max_attempts: 1 }\n")).await?;
    let reply = node.http().chat(&chat("gpt", "hello")).await?;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert_eq!(reply.json()["error"]["type"], json!("api_error"));
    Ok(())
}
