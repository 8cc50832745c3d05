//! Leaders that are killed, told to end, or hand over; requests on the survivors meanwhile.

use std::time::Duration;

use llm_router_testnet::cluster::admin::put;
use llm_router_testnet::load::Load;
use llm_router_testnet::spans::Spans;
use llm_router_testnet::{Cluster, Witness};
use tokio::time::{Instant, timeout};

use super::times;

/// Clients of each survivor.
const CLIENTS: usize = 2;
/// A write that takes longer never converged.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one try to write may take: elections are shorter.
const TRY: Duration = Duration::from_secs(3);

/// How a leader goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Told,
    HandsOver,
}

/// Measures and prints one table.
///
/// # Errors
/// When nodes do not start, or a write never converges.
pub(crate) async fn run(kills: usize, rounds: usize) -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let base = format!("models:\n{}", upstream.model("gpt", "max_concurrency: 64"));
    let mut cluster = Cluster::of(3, &base).await?;
    println!("\nfrom the end of a leader to the next agreed change, three nodes");
    let mut table = times();
    let (mut good, mut failed, mut told) = (0, 0, Vec::new());
    for (end, name, rounds) in [
        (End::Killed, "killed (-9)", kills),
        (End::Told, "told to end (SIGTERM)", rounds.min(kills)),
        (End::HandsOver, "transfer-leader", rounds),
    ] {
        let mut spans = Vec::new();
        for round in 0..rounds {
            let leader = cluster.leader().await?;
            let survivors = cluster.followers().await?;
            let loads: Vec<Load> = survivors
                .iter()
                .map(|&id| Load::start(cluster.http(id), "gpt", CLIENTS))
                .collect();
            let text = format!("{base}routes:\n  - {{ name: r-{round}, targets: [gpt] }}\n");
            spans.push(next_change(&mut cluster, end, (leader, &survivors), &text).await?);
            if end != End::HandsOver {
                cluster.restart(leader).await?;
            }
            cluster.in_step().await?;
            for load in loads {
                let tally = load.finish().await?;
                good += tally.good;
                failed += tally.failures;
                told.extend(tally.bad);
            }
        }
        let spans: Spans = spans.into_iter().collect();
        table.row(spans.row(name));
    }
    println!("{table}");
    println!("requests on the survivors meanwhile: {good} good, {failed} failed");
    for problem in told.iter().take(5) {
        println!("  {problem}");
    }
    cluster.end().await
}

async fn next_change(
    cluster: &mut Cluster,
    end: End,
    (leader, survivors): (usize, &[usize]),
    text: &str,
) -> anyhow::Result<Duration> {
    let clients: Vec<_> = survivors
        .iter()
        .map(|&id| cluster.http(id).clone())
        .collect();
    let started = Instant::now();
    let writing = async {
        for client in clients.iter().cycle() {
            if let Ok(told) = timeout(TRY, put(client, text, None)).await
                && told.agreed().is_some()
            {
                break;
            }
        }
        started.elapsed()
    };
    let ending = async {
        match end {
            End::Killed => cluster.kill(leader).await,
            End::Told => cluster.terminate(leader).await.map(|_| ()),
            End::HandsOver => cluster.transfer(survivors[0], None).await.map(|_| ()),
        }
    };
    // A change that was under way before the leader noticed would say nothing: a kill comes first.
    if end == End::Killed {
        ending.await?;
        return Ok(timeout(PATIENCE, writing).await?);
    }
    let (ended, spent) = tokio::join!(ending, async {
        // The order takes a moment to arrive; changes go on meanwhile, and the slowest counts.
        let mut longest = writing.await;
        while started.elapsed() < Duration::from_millis(600) {
            let one = Instant::now();
            if put(&clients[0], text, None).await.agreed().is_some() {
                longest = longest.max(one.elapsed());
            }
        }
        longest
    });
    ended?;
    Ok(spent)
}
