//! Connections between requests.

use std::time::Duration;

use llm_router_testnet::raw::{Wire, status};
use llm_router_testnet::{Node, Upstream};

const LIMIT: Duration = Duration::from_secs(5);
/// Longer than any timeout for half-sent requests, shorter than clients keep connections pooled.
const PAUSE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_idle_connection_is_kept_for_the_next_request() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&upstream.config("gpt", "")).await?;
    let request = format!(
        "GET /health HTTP/1.1\r\nhost: {}\r\n\r\n",
        node.http_address()
    );
    let mut wire = Wire::open(node.http_address()).await?;
    assert_eq!(
        status(&wire.ask(request.as_bytes(), LIMIT).await?),
        Some(200)
    );

    tokio::time::sleep(PAUSE).await;

    assert_eq!(
        status(&wire.ask(request.as_bytes(), LIMIT).await?),
        Some(200)
    );
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_told_to_stop_finishes_what_it_began() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    upstream.wait_before_answering(Duration::from_secs(1))?;
    let mut node = Node::start(&upstream.config("gpt", "")).await?;
    let client = node.http().clone();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(async move {
        client
            .chat(&llm_router_testnet::chat("gpt", "the last question"))
            .await
    });
    llm_router_testnet::eventually("the upstream is asked", LIMIT, async || {
        (upstream.in_flight() == 1).then_some(())
    })
    .await?;

    assert_eq!(node.terminate().await?, Some(0), "{}", node.stderr());

    while let Some(reply) = running.join_next().await {
        assert_eq!(reply??.status, 200);
    }
    Ok(())
}
