//! One breaker for all nodes.

use std::time::Duration;

use llm_router_testnet::check::breaker::most_at_once;
use llm_router_testnet::client::chat;
use llm_router_testnet::cluster::{Break, LIMIT};
use llm_router_testnet::load::Load;
use llm_router_testnet::witness::{Manner, Visit};
use llm_router_testnet::{Cluster, Witness, eventually};
use tokio::time::{Instant, sleep};

use crate::orders::until_told;

/// Far more than a verdict takes to be agreed; the bench has the figures.
const SOON: Duration = Duration::from_secs(3);
/// Requests let go before a breaker opened arrive until then.
const ARRIVE: Duration = Duration::from_millis(200);
/// How long the breaker stays open at first.
const COOL_DOWN: Duration = Duration::from_millis(1_500);

fn config(upstream: &Witness) -> String {
    format!(
        "models:\n{}circuit_breaker: {{ failure_threshold: 5, recovery_timeout: {}ms, \
         success_threshold: 3 }}\nretry: {{ max_attempts: 1 }}\n",
        upstream.model("gpt", "max_concurrency: 32"),
        COOL_DOWN.as_millis(),
    )
}

async fn ask(cluster: &Cluster, id: usize) -> u16 {
    let asked = cluster
        .http(id)
        .chat_with(&[("cache", "off")], &chat("gpt", "hello"))
        .await;
    asked.map_or(0, |reply| reply.status)
}

async fn everywhere(cluster: &Cluster, wanted: &str) -> anyhow::Result<()> {
    let what = format!("the breaker is {wanted} on every node");
    eventually(&what, LIMIT, async || {
        for id in cluster.running() {
            let (state, _) = cluster.breaker(id, "gpt").await?;
            (state == wanted).then_some(())?;
        }
        Some(())
    })
    .await
}

/// Waits until every node goes by an agreed record by which the upstream is to be left alone: on its own
/// word a node may have opened before, and probes as it likes.
async fn agreed_to_leave_it(cluster: &Cluster) -> anyhow::Result<()> {
    eventually("every node knows that it is dead", LIMIT, async || {
        for id in cluster.running() {
            let (epoch, state) = cluster.agreed_breaker(id, "gpt").await?;
            (epoch > 0 && state != "closed").then_some(())?;
        }
        Some(())
    })
    .await
}

/// The parts of visits that lie after `from`, for [`most_at_once`].
fn stays(visits: &[Visit], from: Instant) -> Vec<(Duration, Duration)> {
    visits
        .iter()
        .filter(|visit| visit.at >= from)
        .map(|visit| {
            let until = visit.answered.unwrap_or_else(Instant::now);
            (visit.at - from, until - from)
        })
        .collect()
}

#[tokio::test]
async fn a_dead_upstream_is_left_alone_by_all_probed_by_one_and_taken_up_by_all()
-> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let cluster = Cluster::of(3, &config(&upstream)).await?;
    for id in cluster.ids() {
        assert_eq!(ask(&cluster, id).await, 200);
    }
    upstream.take(Duration::from_millis(20));
    upstream.forget();
    upstream.behave(Manner::Status(500));
    let loads: Vec<Load> = cluster
        .ids()
        .map(|id| Load::start(cluster.http(id), "gpt", 1))
        .collect();
    everywhere(&cluster, "open").await?;
    let wasted = upstream.count();
    // Five decide, and each node has one client: what was in flight comes on top.
    assert!(
        wasted <= 5 + 3 + 10,
        "{wasted} requests went to a dead upstream"
    );

    // While it is dead, probes go on: one at a time over all nodes, although all are asked.
    agreed_to_leave_it(&cluster).await?;
    sleep(ARRIVE).await;
    let left_alone = Instant::now();
    sleep(COOL_DOWN * 3).await;
    let probes = stays(&upstream.visits(), left_alone);
    assert!(!probes.is_empty(), "nobody probed");
    assert!(most_at_once(&probes) <= 1, "{probes:?}");
    assert!(probes.len() <= 6, "{} probes", probes.len());

    upstream.behave(Manner::Good);
    everywhere(&cluster, "closed").await?;
    for id in cluster.ids() {
        eventually("it serves again", SOON, async || {
            (ask(&cluster, id).await == 200).then_some(())
        })
        .await?;
    }
    for load in loads {
        load.finish().await?;
    }
    eventually("all nodes are at the same epoch", LIMIT, async || {
        let first = cluster.breaker(1, "gpt").await?;
        for id in [2, 3] {
            (cluster.breaker(id, "gpt").await? == first).then_some(())?;
        }
        Some(())
    })
    .await?;
    cluster.end().await
}

#[tokio::test]
async fn one_nodes_broken_path_opens_nothing_for_the_others() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let cluster = Cluster::of(3, &config(&upstream)).await?;
    let loads: Vec<Load> = [1, 2]
        .map(|id| Load::start(cluster.http(id), "gpt", 1))
        .into();
    eventually("the others reach it", SOON, async || {
        (loads.iter().all(|load| load.answered() > 20)).then_some(())
    })
    .await?;
    upstream.behave_to("n3", Manner::Sever);
    upstream.forget();
    for _ in 0..30 {
        ask(&cluster, 3).await;
        sleep(Duration::from_millis(20)).await;
    }
    let mine = |visit: &Visit| visit.caller == "n3";
    let visits = upstream.visits();
    let tried = visits.iter().filter(|visit| mine(visit)).count();
    assert!(tried <= 12, "n3 went on: {tried} of 30");
    for load in loads {
        let tally = load.finish().await?;
        assert_eq!(tally.failures, 0, "{:?}", tally.bad);
    }
    for id in [1, 2] {
        let (state, epoch) = cluster.breaker(id, "gpt").await.unwrap();
        assert_eq!((state.as_str(), epoch), ("closed", 0), "n{id}");
    }
    upstream.behave(Manner::Good);
    eventually("n3 finds its way back", LIMIT, async || {
        (ask(&cluster, 3).await == 200).then_some(())
    })
    .await?;
    cluster.end().await
}

#[tokio::test]
async fn a_node_alone_judges_by_itself_and_goes_by_the_cluster_once_healed() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let cluster = Cluster::of(3, &config(&upstream)).await?;
    let alone = cluster.followers().await?[0];
    cluster.isolate(alone, Break::Drop);
    eventually("it knows", SOON, async || {
        (cluster.status(alone).await?["connected"] == false).then_some(())
    })
    .await?;

    upstream.behave_to(&format!("n{alone}"), Manner::Status(500));
    upstream.forget();
    for _ in 0..20 {
        ask(&cluster, alone).await;
    }
    let tried = upstream.count();
    assert!((5..=7).contains(&tried), "{tried} of 20");
    for id in cluster.ids().filter(|&id| id != alone) {
        assert_eq!(ask(&cluster, id).await, 200, "n{id}");
    }

    upstream.behave(Manner::Good);
    cluster.heal();
    cluster.in_step().await?;
    eventually("it serves again", LIMIT, async || {
        (ask(&cluster, alone).await == 200).then_some(())
    })
    .await?;
    cluster.end().await
}

#[tokio::test]
async fn an_operators_word_holds_on_every_node() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let cluster = Cluster::of(3, &config(&upstream)).await?;
    let say = async |mode: &str| {
        until_told(async || {
            let order = cluster
                .http(2)
                .request(http::Method::PUT, "/admin/v1/models/gpt/breaker")
                .json(&serde_json::json!({ "mode": mode }));
            llm_router_testnet::client::whole(order).await
        })
        .await
    };
    assert_eq!(say("force_open").await?.status, 200);
    for id in cluster.ids() {
        eventually("it refuses", SOON, async || {
            (ask(&cluster, id).await == 503).then_some(())
        })
        .await?;
    }
    assert_eq!(say("auto").await?.status, 200);
    for id in cluster.ids() {
        eventually("it serves", SOON, async || {
            (ask(&cluster, id).await == 200).then_some(())
        })
        .await?;
    }
    cluster.end().await
}
