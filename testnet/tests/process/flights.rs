//! Identical requests at once are one upstream call, and nobody's leaving spoils it for the others.

use std::time::Duration;

use llm_router_testnet::client::Client;
use llm_router_testnet::{Node, Upstream, eventually};
use tokio::task::JoinSet;
use tokio::time::sleep;

const PROMPT: &str = "one two three four five six seven eight";
const LIMIT: Duration = Duration::from_secs(10);
/// How long an answer is held back for everybody to be in flight, on a busy machine too.
const HELD: Duration = Duration::from_secs(5);
/// Whoever was seen at the door has joined the flight by then.
const JOINED: Duration = Duration::from_millis(500);

/// What one client was told: the cache's part, and the text.
async fn ask(client: Client, stream: bool) -> anyhow::Result<(String, String)> {
    client.told("gpt", PROMPT, stream).await
}

async fn asked(upstream: &Upstream) -> anyhow::Result<()> {
    eventually("the upstream is asked", LIMIT, async || {
        (upstream.in_flight() == 1).then_some(())
    })
    .await
}

#[tokio::test]
async fn fifty_identical_requests_at_once_cause_one_upstream_call() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    upstream.wait_before_the_first_token(Duration::from_millis(500))?;
    upstream.wait_between_tokens(Duration::from_millis(50))?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let mut asking = JoinSet::new();
    for number in 0..50 {
        asking.spawn(ask(node.http().clone(), number % 2 == 0));
    }
    let mut misses = 0;
    while let Some(told) = asking.join_next().await {
        let (part, text) = told??;
        assert_eq!(text, PROMPT);
        match part.as_str() {
            "miss" => misses += 1,
            other => assert_eq!(other, "exact"),
        }
    }
    assert_eq!((misses, upstream.requests()), (1, 1));
    let stats = node.http().get("/admin/v1/stats").await?.json();
    assert_eq!(stats["cache_hits"], 49, "{stats}");
    Ok(())
}

#[tokio::test]
async fn when_the_first_client_goes_away_the_others_get_everything() -> anyhow::Result<()> {
    // side by side: the answer of each is long in coming
    tokio::try_join!(goes_away(true), goes_away(false))?;
    Ok(())
}

/// The first of eleven clients leaves before the answer has begun.
async fn goes_away(streams: bool) -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    upstream.wait_before_the_first_token(HELD)?;
    upstream.wait_between_tokens(Duration::from_millis(50))?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let mut first = JoinSet::new();
    first.spawn(ask(node.http().clone(), streams));
    asked(&upstream).await?;
    let mut others = JoinSet::new();
    for number in 0..10 {
        others.spawn(ask(node.http().clone(), number % 2 == 0));
    }
    eventually("all are in flight", LIMIT, async || {
        let stats = node.http().get("/admin/v1/stats").await.ok()?.json();
        (stats["in_flight"] == 11).then_some(())
    })
    .await?;
    sleep(JOINED).await;
    first.shutdown().await;
    while let Some(told) = others.join_next().await {
        assert_eq!(told??, ("exact".to_owned(), PROMPT.to_owned()));
    }
    assert_eq!((upstream.requests(), upstream.aborted()), (1, 0));
    Ok(())
}
