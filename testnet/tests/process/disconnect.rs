//! A client that leaves takes its upstream request with it, in whatever phase it was.

use std::time::Duration;

use llm_router_testnet::client::{chat, chat_stream};
use llm_router_testnet::{Node, Upstream, eventually};
use tokio::task::JoinSet;

/// A departure is seen upstream within this, with room for a busy machine.
const PROMPTLY: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(10);
/// Far longer than that: whatever ends by then has not ended by itself.
const LONG: Duration = Duration::from_secs(30);

async fn in_flight(upstream: &Upstream) -> anyhow::Result<()> {
    eventually("the upstream is asked", LIMIT, async || {
        (upstream.in_flight() == 1).then_some(())
    })
    .await
}

async fn aborted(upstream: &Upstream) -> anyhow::Result<()> {
    eventually("the upstream request is aborted", PROMPTLY, async || {
        (upstream.aborted() == 1 && upstream.in_flight() == 0).then_some(())
    })
    .await
}

#[tokio::test]
async fn leaving_before_the_first_token_aborts_the_upstream() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    upstream.wait_before_the_first_token(LONG)?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let client = node.http().clone();
    let mut asking = JoinSet::new();
    asking.spawn(async move { client.stream(&chat_stream("gpt", "x")).await.map(drop) });
    in_flight(&upstream).await?;
    asking.abort_all();
    aborted(&upstream).await
}

#[tokio::test]
async fn leaving_a_whole_answer_aborts_the_upstream() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    upstream.wait_before_answering(LONG)?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let client = node.http().clone();
    let mut asking = JoinSet::new();
    asking.spawn(async move { client.chat(&chat("gpt", "x")).await.map(drop) });
    in_flight(&upstream).await?;
    asking.abort_all();
    aborted(&upstream).await
}

#[tokio::test]
async fn leaving_a_running_stream_aborts_the_upstream() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    // the first comes at once, the second long after the client has left
    upstream.wait_between_tokens(LONG)?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let mut events = node
        .http()
        .stream(&chat_stream("gpt", "one two three four five six"))
        .await?;
    assert!(events.next_text().await.is_some());
    in_flight(&upstream).await?;
    drop(events);
    aborted(&upstream).await
}

#[tokio::test]
async fn leaving_the_queue_frees_the_place_and_never_reaches_the_upstream() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    upstream.wait_before_answering(LONG)?;
    let model = upstream.model("gpt", "max_concurrency: 1");
    let node = Node::start(&format!("models:\n{model}")).await?;
    let (first, second) = (node.http().clone(), node.http().clone());
    let mut running = JoinSet::new();
    running.spawn(async move { first.chat(&chat("gpt", "holds the slot")).await.map(drop) });
    in_flight(&upstream).await?;
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { second.chat(&chat("gpt", "waits")).await.map(drop) });
    depth_is(&node, 1, LIMIT).await?;

    waiting.abort_all();

    depth_is(&node, 0, PROMPTLY).await?;
    // whoever comes next gets the slot, not the one that left
    upstream.wait_before_answering(Duration::ZERO)?;
    running.abort_all();
    let reply = node.http().chat(&chat("gpt", "comes after")).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(upstream.requests(), 2);
    Ok(())
}

async fn depth_is(node: &Node, depth: u64, limit: Duration) -> anyhow::Result<()> {
    eventually(&format!("queue depth {depth}"), limit, async || {
        let status = node.http().model_status("gpt").await.ok()?;
        (status["queue_depth"] == depth).then_some(())
    })
    .await
}
