//! From the failure that decides to the last node that knows, and from the last good probe back.

use std::time::Duration;

use anyhow::Context;
use llm_router_testnet::check::breaker::most_at_once;
use llm_router_testnet::load::Load;
use llm_router_testnet::spans::Spans;
use llm_router_testnet::witness::{Manner, Visit};
use llm_router_testnet::{Cluster, Witness};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::times;

const NODES: usize = 5;
const THRESHOLD: usize = 5;
const PROBES: usize = 3;
const COOL_DOWN_MS: u64 = 500;
/// How often each node is asked how its breaker stands; it adds half of that on average.
const LOOK: Duration = Duration::from_millis(4);
const PATIENCE: Duration = Duration::from_secs(20);

/// What one round saw.
struct Round {
    opened: Duration,
    closed: Duration,
    wasted: usize,
    probes_at_once: usize,
}

/// Measures and prints one table. Each round has a model of its own, for a breaker that opens again
/// waits longer each time.
///
/// # Errors
/// When nodes do not start, or a breaker does not move.
pub(crate) async fn run(rounds: usize) -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let models: String = (0..rounds)
        .map(|round| upstream.model(&format!("m{round}"), ""))
        .collect();
    let config = format!(
        "models:\n{models}circuit_breaker: {{ failure_threshold: {THRESHOLD}, \
         recovery_timeout: {COOL_DOWN_MS}ms, success_threshold: {PROBES} }}\n\
         retry: {{ max_attempts: 1 }}\n"
    );
    let cluster = Cluster::of(NODES, &config).await?;
    println!("\nbreakers, {NODES} nodes, {THRESHOLD} failures decide, {PROBES} probes bring back");
    let mut seen = Vec::new();
    for round in 0..rounds {
        let model = format!("m{round}");
        seen.push(measure(&cluster, &upstream, &model).await.context(model)?);
    }
    let mut table = times();
    let opened: Spans = seen.iter().map(|round| round.opened).collect();
    table.row(opened.row("open on every node after the deciding failure"));
    let closed: Spans = seen.iter().map(|round| round.closed).collect();
    table.row(closed.row("closed on every node after the last good probe"));
    println!("{table}");
    let mut wasted: Vec<usize> = seen.iter().map(|round| round.wasted).collect();
    wasted.sort_unstable();
    println!(
        "requests to the dead upstream: {:?} at the median, {:?} at most; the {THRESHOLD} that decide \
         and what was in flight included",
        wasted.get(wasted.len() / 2).unwrap_or(&0),
        wasted.last().unwrap_or(&0)
    );
    let most = seen.iter().map(|round| round.probes_at_once).max();
    println!("probes at once: {} at most", most.unwrap_or(0));
    cluster.end().await
}

async fn measure(cluster: &Cluster, upstream: &Witness, model: &str) -> anyhow::Result<Round> {
    upstream.behave(Manner::Good);
    upstream.take(Duration::from_millis(10));
    let loads: Vec<Load> = cluster
        .ids()
        .map(|id| Load::start(cluster.http(id), model, 1))
        .collect();
    sleep(Duration::from_millis(300)).await;
    upstream.forget();
    upstream.behave(Manner::Status(500));
    let opened = everywhere(cluster, model, "open").await?;
    let bad = |visit: &&Visit| visit.manner != Manner::Good;
    let visits = upstream.visits();
    let deciding = visits.iter().filter(bad).filter_map(|visit| visit.answered);
    let deciding = deciding.min_nth(THRESHOLD).context("too few failures")?;
    let wasted = visits.iter().filter(bad).count();

    upstream.forget();
    upstream.behave(Manner::Good);
    let closed = everywhere(cluster, model, "closed").await?;
    let visits = upstream.visits();
    let good = visits.iter().filter(|visit| visit.manner == Manner::Good);
    let last = good.filter_map(|visit| visit.answered).min_nth(PROBES);
    let last = last.context("too few probes")?;
    let probes: Vec<(Duration, Duration)> = visits
        .iter()
        .filter(|visit| visit.at < last)
        .map(|visit| {
            let from = visit.at - visits[0].at;
            (from, from + (visit.answered.unwrap_or(last) - visit.at))
        })
        .collect();
    for load in loads {
        load.finish().await?;
    }
    Ok(Round {
        opened: opened.saturating_duration_since(deciding),
        closed: closed.saturating_duration_since(last),
        wasted,
        probes_at_once: most_at_once(&probes),
    })
}

/// When the last node showed its breaker in this state.
async fn everywhere(cluster: &Cluster, model: &str, wanted: &str) -> anyhow::Result<Instant> {
    let mut watchers = JoinSet::new();
    for id in cluster.ids() {
        let client = cluster.http(id).clone();
        let (model, wanted) = (model.to_owned(), wanted.to_owned());
        watchers.spawn(async move {
            loop {
                let status = client.model_status(&model).await.unwrap_or_default();
                if status["circuit_breaker"]["state"] == wanted.as_str() {
                    return Instant::now();
                }
                sleep(LOOK).await;
            }
        });
    }
    let all = async {
        let mut last = Instant::now();
        while let Some(seen) = watchers.join_next().await {
            last = last.max(seen?);
        }
        anyhow::Ok(last)
    };
    timeout(PATIENCE, all)
        .await
        .with_context(|| format!("not {wanted} everywhere"))?
}

trait MinNth: Iterator<Item = Instant> + Sized {
    /// The n-th smallest, from 1.
    fn min_nth(self, n: usize) -> Option<Instant> {
        let mut all: Vec<Instant> = self.collect();
        all.sort_unstable();
        all.get(n.checked_sub(1)?).copied()
    }
}

impl<I: Iterator<Item = Instant>> MinNth for I {}
