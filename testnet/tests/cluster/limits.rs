//! Limits of the whole cluster, counted where they matter: at the upstream.

use std::time::Duration;

use llm_router_testnet::client::chat;
use llm_router_testnet::cluster::Break;
use llm_router_testnet::load::Load;
use llm_router_testnet::{Cluster, Witness, eventually};
use serde_json::json;
use tokio::time::{Instant, sleep};

const SOON: Duration = Duration::from_secs(15);
/// A leader that came meanwhile lends nothing for as long as somebody may hold a share.
const GRANTED: Duration = Duration::from_secs(4);
const LIMIT: u64 = 6;

/// Waits until a node goes by a share below what it would use on its own: it was lent its first.
async fn lent(cluster: &Cluster, id: usize, (limit, own): (&str, u64)) -> anyhow::Result<()> {
    eventually("its first share", SOON, async || {
        let share = cluster.share(id, "gpt", limit).await?;
        (share < own).then_some(())
    })
    .await
}

async fn finish(loads: Vec<Load>) -> anyhow::Result<u64> {
    let mut good = 0;
    for load in loads {
        good += load.finish().await?.good;
    }
    Ok(good)
}

#[tokio::test]
async fn max_concurrency_is_one_limit_that_follows_demand() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    upstream.take(Duration::from_millis(40));
    let keys = format!("max_concurrency: {LIMIT}, max_queue_depth: 200");
    let config = format!("models:\n{}", upstream.model("gpt", &keys));
    let cluster = Cluster::of(3, &config).await?;

    // All the demand is on one node: it is lent all the shares.
    let mut loads = vec![Load::start(cluster.http(1), "gpt", 12)];
    eventually("one node uses all of it", SOON, async || {
        (upstream.in_flight() == LIMIT).then_some(())
    })
    .await?;
    // Demand everywhere: shares move, and the sum stays. Told that nothing is left for it, a node
    // begins nothing; one that was told nothing yet would go by its even part.
    for id in [2, 3] {
        lent(&cluster, id, ("concurrency", 1)).await?;
    }
    for id in [2, 3] {
        loads.push(Load::start(cluster.http(id), "gpt", 12));
    }
    sleep(Duration::from_secs(4)).await;
    for (load, id) in loads.iter().zip(1..) {
        eventually(&format!("n{id} does not starve"), GRANTED, async || {
            (load.answered() > 0).then_some(())
        })
        .await?;
    }
    // Another leads: what nodes hold goes on.
    cluster.transfer(1, None).await?;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(upstream.most_in_flight(), LIMIT);

    // Alone, a node uses its even part, and the others at most the whole.
    let alone = cluster.followers().await?[0];
    cluster.isolate(alone, Break::Drop);
    sleep(Duration::from_secs(4)).await;
    upstream.forget();
    sleep(Duration::from_secs(2)).await;
    let most = upstream.most_in_flight();
    assert!(most <= LIMIT + LIMIT / 3, "{most}");
    cluster.heal();
    assert!(finish(loads).await? > 0);
    cluster.end().await
}

#[tokio::test]
async fn requests_per_minute_are_counted_over_all_nodes() -> anyhow::Result<()> {
    const RPM: usize = 30;
    let upstream = Witness::start().await?;
    let keys = format!("limits: {{ rpm: {RPM} }}");
    let config = format!(
        "models:\n{}retry: {{ max_attempts: 1 }}\n",
        upstream.model("gpt", &keys)
    );
    let cluster = Cluster::of(3, &config).await?;
    for id in cluster.ids() {
        lent(&cluster, id, ("requests", RPM as u64 / 3)).await?;
    }
    let loads: Vec<Load> = cluster
        .ids()
        .map(|id| Load::start(cluster.http(id), "gpt", 2))
        .collect();
    sleep(Duration::from_secs(8)).await;
    let sent = upstream.count();
    assert!(sent <= RPM, "{sent} requests of at most {RPM} a minute");
    assert!(sent >= RPM / 2, "only {sent} of {RPM} were let through");
    drop(loads);
    cluster.end().await
}

#[tokio::test]
async fn tokens_per_minute_are_counted_over_all_nodes() -> anyhow::Result<()> {
    const TPM: usize = 600;
    /// What the upstream says every answer cost.
    const COST: usize = 12;
    let upstream = Witness::start().await?;
    let keys = format!("limits: {{ tpm: {TPM} }}");
    let config = format!(
        "models:\n{}retry: {{ max_attempts: 1 }}\n",
        upstream.model("gpt", &keys)
    );
    let cluster = Cluster::of(3, &config).await?;
    let mut question = chat("gpt", "how much is this?");
    question["max_tokens"] = json!(4);
    // until it is lent its first share, a node goes by its even part
    for id in cluster.ids() {
        let first = cluster
            .http(id)
            .chat_with(&[("cache", "off")], &question)
            .await?;
        assert_eq!(first.status, 200, "{}", first.text());
    }
    for id in cluster.ids() {
        lent(&cluster, id, ("tokens", TPM as u64 / 3)).await?;
    }
    let (began, mut refused) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(8) {
        for id in cluster.ids() {
            let reply = cluster
                .http(id)
                .chat_with(&[("cache", "off")], &question)
                .await?;
            if reply.status != 200 {
                assert_eq!(reply.status, 429, "{}", reply.text());
                assert!(!reply.header("retry-after").is_empty());
                refused += 1;
            }
        }
    }
    let spent = upstream.count() * COST;
    assert!(refused > 0, "{spent} tokens and nobody was refused");
    // One at a time is asked: no more than one can cost more than was thought.
    assert!(spent <= TPM + COST, "{spent} of at most {TPM} a minute");
    assert!(spent >= TPM / 2, "only {spent} of {TPM} were let through");
    cluster.end().await
}
