//! Links break.

use std::time::Duration;

use llm_router_testnet::client::{chat, whole};
use llm_router_testnet::cluster::Break;
use llm_router_testnet::cluster::admin::{Put, put};
use llm_router_testnet::{Cluster, Witness, eventually};
use tokio::time::{Instant, sleep};

const SOON: Duration = Duration::from_secs(6);
/// A node without a quorum says so within half a second; a busy machine gets as much again.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The same where it has to find out first, and one try is all there is; one that waited for its quorum
/// would take five seconds.
const FOUND_OUT: Duration = Duration::from_secs(4);
/// Time for five elections of a node that needs nobody's consent to stand for one.
const ELECTIONS: Duration = Duration::from_secs(2);

fn config(upstream: &Witness, mark: &str) -> String {
    format!(
        "models:\n{}routes:\n  - {{ name: {mark}, targets: [gpt] }}\n",
        upstream.model("gpt", "")
    )
}

#[tokio::test]
async fn a_minority_serves_refuses_changes_at_once_and_is_equal_once_healed() -> anyhow::Result<()>
{
    let upstream = Witness::start().await?;
    let cluster = Cluster::of(3, &config(&upstream, "start")).await?;
    for how in [Break::Drop, Break::Reset, Break::Swallow] {
        let (alone, others) = cluster.roles().await?;
        cluster.isolate(alone, how);
        let refused = Instant::now();
        let lost = put(cluster.http(alone), &config(&upstream, "never"), None).await;
        let spent = refused.elapsed();
        assert!(matches!(lost, Put::Unknown(_)), "{lost:?}");
        assert!(spent < FOUND_OUT, "{how:?}: {spent:?}");

        let text = config(&upstream, "without-it");
        let revision = cluster.put_until(others[0], &text).await?;
        alone_it_serves_and_says_so(&cluster, &upstream, alone).await?;

        cluster.heal();
        let healed = cluster.in_step().await?;
        assert!(healed >= revision, "{healed} and {revision}");
        let seen = cluster.http(alone).get("/admin/v1/config").await?.text();
        assert!(!seen.contains("never"), "{seen}");
    }
    cluster.end().await
}

async fn alone_it_serves_and_says_so(
    cluster: &Cluster,
    upstream: &Witness,
    alone: usize,
) -> anyhow::Result<()> {
    let client = cluster.http(alone);
    let reply = client
        .chat_with(&[("cache", "off")], &chat("gpt", "still there?"))
        .await?;
    assert_eq!(reply.status, 200, "{}", reply.text());

    // a machine that stands still for a moment spoils one try, a node that dawdles all of them
    let mut spent = Vec::new();
    for _ in 0..3 {
        let started = Instant::now();
        let request = client
            .request(http::Method::PUT, "/admin/v1/config")
            .body(config(upstream, "never"));
        let refused = whole(request).await?;
        spent.push(started.elapsed());
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(!refused.header("retry-after").is_empty());
    }
    assert!(spent.iter().any(|&spent| spent < AT_ONCE), "{spent:?}");

    let path = "/admin/v1/config?consistency=linearizable";
    assert_eq!(client.get(path).await?.status, 503);
    let path = "/admin/v1/config?consistency=local";
    assert_eq!(client.get(path).await?.status, 200);
    let status = cluster.status(alone).await.unwrap_or_default();
    assert_eq!(status["connected"], false, "{status}");
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_not_heard_does_not_disturb_the_others() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let cluster = Cluster::of(3, &config(&upstream, "start")).await?;
    let (leader, followers) = cluster.roles().await?;
    let follower = followers[0];

    // It hears nobody, and would be heard: pre-vote keeps its elections from the others.
    for other in cluster.ids().filter(|&id| id != follower) {
        cluster.one_way(other, follower, Break::Drop);
    }
    let term = term_alone(&cluster, follower).await?;
    // a machine that stands still for a moment spoils one try, a node that disturbs all of them
    let mut calm = false;
    for round in 0..3 {
        let before = term_of(&cluster, leader).await?;
        let text = config(&upstream, &format!("round-{round}"));
        cluster.put(leader, &text).await?;
        sleep(ELECTIONS).await;
        calm |= term_of(&cluster, leader).await? == before;
    }
    assert!(calm, "the others elected again and again");
    // it hears of nobody else's: a term that grew is its own doing, and would depose the leader
    let later = term_alone(&cluster, follower).await?;
    assert_eq!(later, term, "it stood for election unasked");
    cluster.heal();
    cluster.in_step().await?;
    cluster.end().await
}

async fn term_of(cluster: &Cluster, id: usize) -> anyhow::Result<u64> {
    eventually("it says its term", SOON, async || {
        cluster.status(id).await?["term"].as_u64()
    })
    .await
}

/// The term of a node, once it knows that it is alone.
async fn term_alone(cluster: &Cluster, id: usize) -> anyhow::Result<u64> {
    eventually("it knows that it is alone", SOON, async || {
        let status = cluster.status(id).await?;
        let term = status["term"].as_u64()?;
        (status["connected"] == false).then_some(term)
    })
    .await
}

#[tokio::test]
async fn all_of_five_nodes_stay_one_cluster_with_two_of_them_away() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let mut cluster = Cluster::of(5, &config(&upstream, "start")).await?;
    let followers = cluster.followers().await?;
    let (away, dead) = (followers[0], followers[1]);
    let rest: Vec<usize> = cluster
        .ids()
        .filter(|&id| id != away && id != dead)
        .collect();
    cluster.kill(dead).await?;
    cluster.partition(&[&rest, &[away]], Break::Drop);
    cluster.put(rest[0], &config(&upstream, "by-three")).await?;
    cluster.heal();
    cluster.restart(dead).await?;
    cluster.in_step().await?;
    cluster.end().await
}
