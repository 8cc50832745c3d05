//! Leaders that go on order, while somebody writes without pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use llm_router_testnet::cluster::LIMIT;
use llm_router_testnet::cluster::admin::put;
use llm_router_testnet::spans::Spans;
use llm_router_testnet::{Client, Cluster, eventually};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::super::goals::{at_most, counts, times, within};

/// Acknowledgements before the order, and after leadership has moved.
const BESIDE: usize = 5;
/// Between two tries after one that failed.
const BREATH: Duration = Duration::from_millis(2);
/// How long a transfer may interrupt the changes.
const GOAL: Duration = Duration::from_millis(200);
/// How long a leader that was ordered to go may go on to lead: longer, and it did not move.
const MOVES: Duration = Duration::from_secs(6);

/// How a leader goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// SIGTERM.
    End,
    /// `transfer-leader`.
    HandOver,
}

/// What the rounds of one order came to.
#[derive(Default)]
struct Seen {
    gaps: Vec<Duration>,
    refused: usize,
    stayed: usize,
    failed: usize,
}

/// Measures and prints one table; `rounds` of either order.
///
/// # Errors
/// When a node does not come back, or nothing is agreed any more.
pub(super) async fn run(
    cluster: &mut Cluster,
    base: &str,
    (ends, transfers): (usize, usize),
) -> anyhow::Result<()> {
    println!("\nlongest pause between two acknowledged changes around an order, three nodes");
    let (mut table, mut numbers) = (times(), counts());
    for (order, name, rounds) in [
        (Order::HandOver, "transfer-leader", transfers),
        (Order::End, "told to end (SIGTERM)", ends),
    ] {
        let mut seen = Seen::default();
        for round in 0..rounds {
            let text = format!("{base}routes:\n  - {{ name: r-{round}-");
            once(cluster, order, text, &mut seen).await.context(name)?;
        }
        let gaps: Spans = seen.gaps.into_iter().collect();
        table.row(within(name, &gaps, &[(100, GOAL)]));
        numbers.row(at_most(&format!("{name}: refused"), seen.refused, 0));
        let stayed = format!("{name}: leadership did not move");
        numbers.row(at_most(&stayed, seen.stayed, 0));
        let failed = format!("{name}: changes that failed meanwhile");
        numbers.row(at_most(&failed, seen.failed, 0));
    }
    println!("{table}");
    println!("{numbers}");
    Ok(())
}

async fn once(
    cluster: &mut Cluster,
    order: Order,
    text: String,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let leader = cluster.leader().await?;
    let survivor = cluster.followers().await?[0];
    let writer = Writer::start(cluster.http(survivor), text);
    writer.goes_on().await?;
    let ordered = Instant::now();
    let obeyed = match order {
        Order::HandOver => cluster.transfer(survivor, None).await?.status < 300,
        Order::End => cluster.terminate(leader).await? == Some(0),
    };
    seen.refused += usize::from(!obeyed);
    let moved = eventually("another node leads", MOVES, async || {
        (cluster.leader_now().await? != leader).then_some(())
    });
    seen.stayed += usize::from(moved.await.is_err());
    writer.goes_on().await?;
    let written = writer.finish().await?;
    seen.failed += written.failed;
    seen.gaps.push(written.longest_gap(ordered));
    if order == Order::End {
        cluster.launch(leader).await?;
    }
    cluster.in_step().await.map(drop)
}

/// Somebody who writes one change after the other.
struct Writer {
    stop: Arc<AtomicBool>,
    agreed: Arc<AtomicUsize>,
    task: JoinSet<Written>,
}

/// What came of it.
#[derive(Default)]
struct Written {
    acknowledged: Vec<Instant>,
    failed: usize,
    ended: Option<Instant>,
}

impl Writer {
    fn start(client: &Client, text: String) -> Self {
        let (stop, agreed) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut task = JoinSet::new();
        task.spawn(write(
            client.clone(),
            text,
            Arc::clone(&stop),
            Arc::clone(&agreed),
        ));
        Writer { stop, agreed, task }
    }

    /// Waits for some more acknowledgements.
    async fn goes_on(&self) -> anyhow::Result<()> {
        let wanted = self.agreed.load(Ordering::Relaxed) + BESIDE;
        eventually("changes are agreed", LIMIT, async || {
            (self.agreed.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await
    }

    async fn finish(mut self) -> anyhow::Result<Written> {
        self.stop.store(true, Ordering::Relaxed);
        let written = self.task.join_next().await.context("no writer")?;
        Ok(written?)
    }
}

async fn write(
    client: Client,
    text: String,
    stop: Arc<AtomicBool>,
    agreed: Arc<AtomicUsize>,
) -> Written {
    let mut written = Written::default();
    for count in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let told = put(
            &client,
            &format!("{text}{count}, targets: [gpt] }}\n"),
            None,
        )
        .await;
        if told.agreed().is_some() {
            written.acknowledged.push(Instant::now());
            agreed.fetch_add(1, Ordering::Relaxed);
        } else {
            written.failed += 1;
            sleep(BREATH).await;
        }
    }
    written.ended = Some(Instant::now());
    written
}

impl Written {
    /// From one acknowledgement to the next, of all that lie after this moment or around it.
    fn longest_gap(&self, from: Instant) -> Duration {
        let ends = self.acknowledged.iter().copied().chain(self.ended);
        let mut before = None;
        let mut longest = Duration::ZERO;
        for at in ends {
            if let Some(before) = before.filter(|_| at > from) {
                longest = longest.max(at.duration_since(before));
            }
            before = Some(at);
        }
        longest
    }
}
