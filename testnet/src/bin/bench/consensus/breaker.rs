//! From the failure that decides to the last node that knows, and from the last good probe back.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use llm_router_testnet::check::breaker::most_at_once;
use llm_router_testnet::load::Load;
use llm_router_testnet::spans::Spans;
use llm_router_testnet::witness::{Manner, Visit};
use llm_router_testnet::{Cluster, Witness};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::goals::{at_least, at_most, counts, times, told, within};

const NODES: usize = 5;
const THRESHOLD: usize = 5;
const PROBES: usize = 3;
const COOL_DOWN: Duration = Duration::from_millis(500);
/// How long the upstream stays dead: a breaker moves once a second at most, and then is probed.
const DEAD: Duration = Duration::from_millis(1_800);
/// How often each node is asked how its breaker stands; it adds half of that on average.
const LOOK: Duration = Duration::from_millis(4);
const PATIENCE: Duration = Duration::from_secs(20);

/// How soon every node is to know.
const KNOWN: Duration = Duration::from_millis(250);
/// How many requests may go to a dead upstream beside what was in flight as it was decided; with
/// five breakers of their own it were twenty-five.
const WASTED: usize = 10;

/// What one round saw.
struct Round {
    opened: Duration,
    closed: Duration,
    /// Every request that went to the dead upstream until all nodes knew.
    failed: usize,
    /// Of those, without what was in flight when the deciding one failed.
    wasted: usize,
    failing_probes: usize,
    probes_at_once: usize,
    /// Nodes went by different epochs, or were open before the deciding failure.
    wrong: usize,
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
         recovery_timeout: {}ms, success_threshold: {PROBES} }}\n\
         retry: {{ max_attempts: 1 }}\n",
        COOL_DOWN.as_millis(),
    );
    let cluster = Cluster::of(NODES, &config).await?;
    println!("\nbreakers, {NODES} nodes, {THRESHOLD} failures decide, {PROBES} probes bring back");
    let mut seen = Vec::new();
    for round in 0..rounds {
        let model = format!("m{round}");
        seen.push(measure(&cluster, &upstream, &model).await.context(model)?);
    }
    print(&seen);
    cluster.end().await
}

fn print(seen: &[Round]) {
    let mut table = times();
    let opened: Spans = seen.iter().map(|round| round.opened).collect();
    let name = "open on every node after the deciding failure";
    table.row(within(name, &opened, &[(99, KNOWN)]));
    let closed: Spans = seen.iter().map(|round| round.closed).collect();
    let name = "closed on every node after the last good probe";
    table.row(within(name, &closed, &[(99, KNOWN)]));
    println!("{table}");
    let most = |of: fn(&Round) -> usize| seen.iter().map(of).max().unwrap_or(0);
    let sum = |of: fn(&Round) -> usize| seen.iter().map(of).sum();
    let mut table = counts();
    let name = "most requests to the dead upstream in one round";
    table.row(told(name, most(|round| round.failed)));
    let mut all: Vec<usize> = seen.iter().map(|round| round.failed).collect();
    all.sort_unstable();
    let median = all.get(all.len() / 2).copied().unwrap_or(0);
    table.row(told("at the median of the rounds", median));
    let name = "of the most, without what was in flight at the deciding failure";
    table.row(at_most(name, most(|round| round.wasted), WASTED));
    let name = "and without the failures that decide";
    let beside = most(|round| round.wasted.saturating_sub(THRESHOLD));
    table.row(at_most(name, beside, WASTED));
    let name = "probes while it was dead, in all rounds";
    table.row(at_least(
        name,
        sum(|round| round.failing_probes),
        seen.len(),
    ));
    let name = "most probes at once, good and failing ones";
    table.row(at_most(name, most(|round| round.probes_at_once), 1));
    let name = "rounds with different epochs, or open too early";
    table.row(at_most(name, sum(|round| round.wrong), 0));
    println!("{table}");
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
    let (opened, epochs) = everywhere(cluster, model, ("open", 1)).await?;
    let visits = upstream.visits();
    let bad: Vec<&Visit> = visits.iter().filter(|visit| is_bad(visit)).collect();
    let deciding = bad.iter().filter_map(|visit| visit.answered);
    let deciding = deciding.min_nth(THRESHOLD).context("too few failures")?;
    let in_flight = |visit: &&&Visit| {
        visit.at <= deciding && visit.answered.is_none_or(|answered| answered > deciding)
    };
    let (failed, flying) = (bad.len(), bad.iter().filter(in_flight).count());

    // Nobody but a probe goes there while it stays dead, one at a time.
    sleep(DEAD).await;
    let visits = upstream.visits();
    let failing = stays(
        visits.iter().filter(|visit| visit.at > opened),
        Instant::now(),
    );

    upstream.forget();
    upstream.behave(Manner::Good);
    let epoch = epochs.last().copied().unwrap_or(0);
    let (closed, last_epochs) = everywhere(cluster, model, ("closed", epoch + 1)).await?;
    let visits = upstream.visits();
    let good = visits.iter().filter(|visit| visit.manner == Manner::Good);
    let last = good.filter_map(|visit| visit.answered).min_nth(PROBES);
    let last = last.context("too few probes")?;
    let probes = stays(visits.iter().filter(|visit| visit.at < last), last);
    for load in loads {
        load.finish().await?;
    }
    let same = epochs.len() == 1 && last_epochs.len() == 1;
    Ok(Round {
        opened: opened.saturating_duration_since(deciding),
        closed: closed.saturating_duration_since(last),
        failed,
        wasted: failed - flying,
        failing_probes: failing.len(),
        probes_at_once: most_at_once(&probes).max(most_at_once(&failing)),
        wrong: usize::from(!same || opened < deciding),
    })
}

fn is_bad(visit: &Visit) -> bool {
    visit.manner != Manner::Good
}

/// From when to when each was there; one without an answer until `open`.
fn stays<'a>(visits: impl Iterator<Item = &'a Visit>, open: Instant) -> Vec<(Duration, Duration)> {
    let visits: Vec<&Visit> = visits.collect();
    let Some(first) = visits.iter().map(|visit| visit.at).min() else {
        return Vec::new();
    };
    let stay = |visit: &&Visit| {
        let until = visit.answered.unwrap_or(open);
        (visit.at - first, until.saturating_duration_since(first))
    };
    visits.iter().map(stay).collect()
}

/// When the last node showed its breaker in this state, under the agreed epoch `from` or a later
/// one: what a node decides by itself does not count. With the epochs at which each did.
async fn everywhere(
    cluster: &Cluster,
    model: &str,
    (wanted, from): (&str, u64),
) -> anyhow::Result<(Instant, BTreeSet<u64>)> {
    let mut watchers = JoinSet::new();
    for id in cluster.ids() {
        let client = cluster.http(id).clone();
        let (model, wanted) = (model.to_owned(), wanted.to_owned());
        watchers.spawn(async move {
            loop {
                let status = client.model_status(&model).await.unwrap_or_default();
                let breaker = &status["circuit_breaker"];
                let epoch = breaker["epoch"].as_u64().unwrap_or(0);
                if breaker["state"] == wanted.as_str() && epoch >= from {
                    return (Instant::now(), epoch);
                }
                sleep(LOOK).await;
            }
        });
    }
    let all = async {
        let (mut last, mut epochs) = (Instant::now(), BTreeSet::new());
        while let Some(seen) = watchers.join_next().await {
            let (at, epoch) = seen?;
            last = last.max(at);
            epochs.insert(epoch);
        }
        anyhow::Ok((last, epochs))
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
