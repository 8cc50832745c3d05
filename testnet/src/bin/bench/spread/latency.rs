//! What it adds to a hit that the answer lies on another node, one request at a time.
//!
//! A node says afterwards whether a hit was another node's, so each request is measured by itself.
//! Questions by meaning are asked once before, so that the node has their vector.

use std::time::Duration;

use hdrhistogram::Histogram;
use llm_router_testnet::cluster::Cluster;
use tokio::time::sleep;

use super::asker::{Asker, Part};
use super::board::Board;
use super::fleet::Fleet;
use super::stream::share;
use super::texts::Texts;

/// Answers stored.
const STORED: usize = 1500;
/// Requests of each kind that are measured.
const MEASURED: u64 = 600;
/// Between two requests.
const BREATH: Duration = Duration::from_millis(5);
/// Most that a hit on another node may take longer, in microseconds.
const MEDIAN_MORE: f64 = 500.0;
const TAIL_MORE: f64 = 5_000.0;

/// Times of hits that were stored elsewhere (on a single node: of all).
struct Times {
    exact: Histogram<u64>,
    semantic: Histogram<u64>,
}

/// Measures a single node and each number of nodes.
///
/// # Errors
/// When a node fails.
pub(super) async fn run(nodes: &[usize], texts: &Texts) -> anyhow::Result<Board> {
    let mut board = Board::default();
    let mut alone = None;
    for &n in [1].iter().chain(nodes) {
        let fleet = Fleet::start(n, n).await?;
        let some = texts.stored.len().min(STORED);
        let stored = fleet.fill(&texts.stored[..some]).await?;
        let mut times = Times {
            exact: Histogram::new(3)?,
            semantic: Histogram::new(3)?,
        };
        let before = busy();
        exact(&fleet.cluster, &stored, &mut times.exact).await?;
        semantic(&fleet.cluster, &texts.asked, &mut times.semantic).await?;
        tell(&mut board, n, &times);
        if let Some((before, after)) = before.zip(busy()) {
            let (busy, all) = (after.0 - before.0, after.1 - before.1);
            let part = share(busy, usize::try_from(all)?) * 100.0;
            board.tell(n, "the machine was busy, %", format!("{part:.0}"));
        }
        match &alone {
            None => alone = Some(times),
            Some(alone) => compare(&mut board, n, alone, &times),
        }
        fleet.cluster.end().await?;
    }
    Ok(board)
}

/// Stored questions, each through every node once: fewer than make an entry hot.
async fn exact(
    cluster: &Cluster,
    stored: &[String],
    into: &mut Histogram<u64>,
) -> anyhow::Result<()> {
    for id in cluster.ids() {
        let mut asker = Asker::of(cluster.http_address(id));
        for (number, question) in stored.iter().enumerate() {
            if number % cluster.size() == id - 1 && into.len() < MEASURED {
                measure(cluster, (id, &mut asker), (question, Part::Exact), into).await?;
            }
        }
    }
    Ok(())
}

/// Questions by meaning, each twice through one node: the second time is measured.
async fn semantic(
    cluster: &Cluster,
    asked: &[String],
    into: &mut Histogram<u64>,
) -> anyhow::Result<()> {
    for (number, question) in asked.iter().enumerate() {
        if into.len() >= MEASURED {
            break;
        }
        let id = 1 + number % cluster.size();
        let mut asker = Asker::of(cluster.http_address(id));
        if asker.ask(question).await?.part == Part::Semantic {
            measure(cluster, (id, &mut asker), (question, Part::Semantic), into).await?;
        }
    }
    Ok(())
}

async fn measure(
    cluster: &Cluster,
    (id, asker): (usize, &mut Asker),
    (question, part): (&str, Part),
    into: &mut Histogram<u64>,
) -> anyhow::Result<()> {
    let before = remote(cluster, id).await;
    sleep(BREATH).await;
    let told = asker.ask(question).await?;
    let counts = cluster.size() == 1 || remote(cluster, id).await > before;
    if told.part == part && counts {
        into.record(u64::try_from(told.took.as_micros())?)?;
    }
    Ok(())
}

/// Ticks the machine has worked, and all there were, where the system tells.
fn busy() -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let fields = stat.lines().next()?.split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    // user, nice, system, idle, waiting for disks, and the rest
    let idle = ticks.get(3)? + ticks.get(4)?;
    let all: u64 = ticks.iter().sum();
    Some((all - idle, all))
}

async fn remote(cluster: &Cluster, id: usize) -> u64 {
    let shown = cluster.cache(id).await.unwrap_or_default();
    shown["peers"]["remote_hits"].as_u64().unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of one request")]
fn at(times: &Histogram<u64>, percentile: f64) -> f64 {
    times.value_at_percentile(percentile) as f64
}

fn tell(board: &mut Board, n: usize, times: &Times) {
    let shown = |of: &Histogram<u64>| {
        let (median, tail) = (at(of, 50.0) / 1e3, at(of, 99.0) / 1e3);
        format!("{median:.2}, {tail:.2} of {}", of.len())
    };
    let both = [
        ("an exact hit, p50 and p99 ms", &times.exact),
        ("a hit by meaning, p50 and p99 ms", &times.semantic),
    ];
    for (name, times) in both {
        board.tell(n, name, shown(times));
    }
}

fn compare(board: &mut Board, n: usize, alone: &Times, times: &Times) {
    let kinds = [
        (
            ["exact: stored elsewhere adds, p50 ms", "exact: p99 ms"],
            (&times.exact, &alone.exact),
        ),
        (
            [
                "by meaning: stored elsewhere adds, p50 ms",
                "by meaning: p99 ms",
            ],
            (&times.semantic, &alone.semantic),
        ),
    ];
    for ([median, tail], (times, alone)) in kinds {
        let limits = [
            (median, "<= 0.5", 50.0, MEDIAN_MORE),
            (tail, "<= 5", 99.0, TAIL_MORE),
        ];
        for (name, goal, percentile, most) in limits {
            let more = at(times, percentile) - at(alone, percentile);
            let met = !times.is_empty() && more <= most;
            board.hold(n, (name, goal), format!("{:.2}", more / 1e3), met);
        }
    }
}
