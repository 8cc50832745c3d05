//! The leader ends, in one way or another.

use std::time::Duration;

use llm_router_testnet::cluster::trace::Syscall;
use llm_router_testnet::cluster::{Faults, LIMIT};
use llm_router_testnet::load::Load;
use llm_router_testnet::signal::{self, Signal};
use llm_router_testnet::{Cluster, Witness, eventually};
use tokio::time::Instant;

use crate::orders::until_told;

/// Far more than an election takes; the bench has the figures.
const SOON: Duration = Duration::from_secs(6);
/// How long an answer takes that a leader has to finish: handing over and a change fit in, on a busy
/// machine too.
const SLOW: Duration = Duration::from_secs(10);

fn config(upstream: &Witness, mark: &str) -> String {
    format!(
        "models:\n{}routes:\n  - {{ name: {mark}, targets: [gpt] }}\n",
        upstream.model("gpt", "max_concurrency: 64")
    )
}

/// Writes through `id` until it is agreed; says how long that took.
async fn next_write(cluster: &Cluster, id: usize, text: &str) -> anyhow::Result<Duration> {
    let started = Instant::now();
    cluster.put_until(id, text).await?;
    Ok(started.elapsed())
}

#[tokio::test]
async fn a_killed_leader_fails_no_request_elsewhere_and_comes_back_in_step() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let mut cluster = Cluster::of(3, &config(&upstream, "start")).await?;
    for round in 0..3 {
        let (leader, survivors) = cluster.roles().await?;
        let loads: Vec<Load> = survivors
            .iter()
            .map(|&id| Load::start(cluster.http(id), "gpt", 2))
            .collect();
        let before: u64 = loads.iter().map(Load::answered).sum();
        cluster.kill(leader).await?;
        let text = config(&upstream, &format!("round-{round}"));
        next_write(&cluster, survivors[round % 2], &text).await?;
        cluster.restart(leader).await?;
        cluster.in_step().await?;
        let after: u64 = loads.iter().map(Load::answered).sum();
        assert!(after > before, "no request was made meanwhile");
        for load in loads {
            let tally = load.finish().await?;
            assert_eq!(tally.failures, 0, "{:?}", tally.bad);
        }
    }
    cluster.end().await
}

#[tokio::test]
async fn a_leader_told_to_end_hands_over_first_and_finishes_what_runs() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let mut cluster = Cluster::of(3, &config(&upstream, "start")).await?;
    let (leader, survivors) = cluster.roles().await?;
    upstream.take(SLOW);
    let slow = cluster.http(leader).clone();
    let question = llm_router_testnet::chat("gpt", "slowly");
    let (answered, ended) = tokio::join!(slow.chat(&question), async {
        eventually("the request runs", LIMIT, async || {
            (upstream.in_flight() > 0).then_some(())
        })
        .await?;
        let text = config(&upstream, "meanwhile");
        handed_over_while_it_lives(&mut cluster, (leader, survivors[0]), &text).await?;
        cluster.ends(leader, SLOW + SOON).await
    });
    assert_eq!(answered?.status, 200);
    assert_eq!(ended?, Some(0));
    upstream.take(Duration::ZERO);
    next_write(&cluster, survivors[0], &config(&upstream, "after")).await?;
    cluster.launch(leader).await?;
    cluster.in_step().await?;
    cluster.end().await
}

/// A leader that is told to end, and still has something to finish, leads no more: another one does,
/// and what that one agrees on is agreed before the process is gone.
async fn handed_over_while_it_lives(
    cluster: &mut Cluster,
    (leader, survivor): (usize, usize),
    text: &str,
) -> anyhow::Result<()> {
    signal::send(Signal::Term, cluster.pid(leader)).await?;
    eventually("another node leads", SOON, async || {
        (cluster.leader_now().await? != leader).then_some(())
    })
    .await?;
    next_write(cluster, survivor, text).await?;
    assert!(!cluster.has_ended(leader)?, "it ended before it answered");
    Ok(())
}

#[tokio::test]
async fn a_transfer_on_order_moves_leadership_where_it_is_told() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let cluster = Cluster::of(3, &config(&upstream, "start")).await?;
    let followers = cluster.followers().await?;
    // an election in between may undo it, or leave nobody to order it from
    eventually("it leads by order", LIMIT, async || {
        let reply = cluster.transfer(followers[1], Some(followers[0])).await;
        (reply.ok()?.status < 300).then_some(())?;
        (cluster.leader_now().await? == followers[0]).then_some(())
    })
    .await?;
    next_write(&cluster, followers[1], &config(&upstream, "after")).await?;
    let nowhere = until_told(async || cluster.transfer(followers[1], Some(77)).await).await?;
    assert!(matches!(nowhere.status, 404 | 409), "{}", nowhere.text());
    cluster.end().await
}

#[tokio::test]
async fn a_sync_that_fails_ends_the_node_and_nothing_acknowledged_is_lost() -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let mut cluster = Cluster::of(3, &config(&upstream, "start")).await?;

    let (leader, survivors) = cluster.roles().await?;
    cluster.faults(leader, &Faults::default().with("fsync error 1"))?;
    next_write(&cluster, survivors[0], &config(&upstream, "by-fail-point")).await?;
    let code = cluster.ends(leader, SOON).await?;
    assert_eq!(code, Some(74), "{}", cluster.log(leader));
    // the fail point counts anew in each process
    cluster.faults(leader, &Faults::default())?;
    cluster.restart(leader).await?;
    let revision = cluster.in_step().await?;

    let (leader, followers) = cluster.roles().await?;
    let follower = followers[0];
    if let Some(_attached) = cluster.inject(follower, Syscall::SyncFails).await? {
        next_write(&cluster, leader, &config(&upstream, "by-the-system")).await?;
        let code = cluster.ends(follower, SOON).await?;
        assert_eq!(code, Some(74), "{}", cluster.log(follower));
        cluster.launch(follower).await?;
        assert!(cluster.in_step().await? > revision);
    }
    cluster.end().await
}
