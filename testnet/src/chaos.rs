//! Faults without pause over nodes under load, and what the checkers say of it.
//!
//! The schedule of faults follows from the seed; how real processes meet it does not, so that a
//! seed is run several times before a finding counts as gone.
//!
//! What this cannot see: a node that acknowledges before its disk has synced. A process that is
//! killed leaves the page cache behind, and what was only written is still there when it starts
//! again. The store's own tests, which copy what a power cut would leave, and the simulation, whose
//! disks forget, are where that is caught.

pub mod clients;
pub(crate) mod last;
pub mod report;
pub mod seen;
pub mod verb;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use crate::check::Verdict;
use crate::check::history::Recorder;
use crate::cluster::{Cluster, LIMIT};
use crate::nemesis::{Board, Carried, Fault, Frail, Schedule, carry_out, frail};
use crate::witness::Witness;
use clients::{Clients, Stage};

pub use report::Report;

/// How a run is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many nodes.
    pub nodes: usize,
    /// How long faults go on.
    pub lasting: Duration,
    /// What they follow from.
    pub seed: u64,
}

impl Options {
    /// The command that runs the same again.
    pub fn command(&self) -> String {
        format!(
            "cargo run -p llm-router-testnet -- chaos --seconds {} --seed {} --nodes {}",
            self.lasting.as_secs(),
            self.seed,
            self.nodes
        )
    }
}

/// What happened of one kind of fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often it was carried out.
    pub done: usize,
    /// How often there was nothing to do it to.
    pub void: usize,
    /// How often a node refused damaged data and was rebuilt.
    pub rebuilt: usize,
    /// When each began, from the start of the run.
    pub began: Vec<Duration>,
}

/// Runs it. What is wrong with the nodes is in the report, a node that does not come back among it;
/// an error is what kept the run from its end.
///
/// # Errors
/// When the nodes do not form, or one does not answer once all is healed.
pub async fn run(options: Options) -> anyhow::Result<Report> {
    let command = options.command();
    let told = story(options).await;
    told.with_context(|| format!("run it again: {command}"))
}

async fn story(options: Options) -> anyhow::Result<Report> {
    let upstream = Witness::start().await?;
    let frail = Frail::start().await?;
    let models = [upstream.model("gpt", ""), frail.model()].concat();
    let base = format!("models:\n{models}{}", Frail::rules());
    let mut cluster = Cluster::of(options.nodes, "").await?;
    let board = Board::new(options.nodes);
    let started = Instant::now();
    let record = (Recorder::default(), started);
    let text = clients::with_serial(&base, 1);
    clients::write_first(cluster.http(1), &text, 1, (&record.0, started)).await?;
    cluster.in_step().await?;
    let written = base.clone();
    let stage = Stage {
        nodes: cluster.ids().map(|id| cluster.http(id).clone()).collect(),
        board: board.clone(),
        text: Arc::new(move |serial| clients::with_serial(&written, serial)),
        watched: &[frail::MODEL],
        asks: true,
    };
    let clients = Clients::start(stage, record);
    let mut tallies = BTreeMap::new();
    let stage = (&board, &frail);
    let harmed = harm(&mut cluster, stage, options, started, &mut tallies).await;
    cluster.heal();
    frail.heal();
    let healed = Instant::now();
    let in_step = match harmed.is_ok() {
        true => cluster.in_step_within(LIMIT).await,
        // Somebody is missing: what the clients saw is judged all the same.
        false => Ok(0),
    };
    let healing = healed.elapsed();
    let seen = clients.finish().await?;
    let faults = tallies.values().map(|tally: &Tally| tally.done).sum();
    let mut verdicts = last::consistent(&seen);
    let whole = harmed.is_ok() && in_step.is_ok();
    verdicts.push(frail.probed_by_one());
    verdicts.push(Verdict::went(
        "every node comes back, none ends by itself",
        faults,
        &harmed,
    ));
    if harmed.is_ok() {
        verdicts.push(Verdict::went("healed nodes get in step", faults, &in_step));
    }
    if let (true, Ok(revision)) = (whole, in_step) {
        verdicts.extend(last::settle(&cluster, &upstream, &base, revision).await?);
        verdicts.extend(last::judge(&cluster, &seen.history).await?);
        cluster.end().await?;
    }
    Ok(Report {
        options,
        tallies,
        seen,
        healing,
        verdicts,
    })
}

async fn harm(
    cluster: &mut Cluster,
    (board, frail): (&Board, &Frail),
    options: Options,
    started: Instant,
    tallies: &mut BTreeMap<Fault, Tally>,
) -> anyhow::Result<()> {
    let mut held = 0_usize;
    for (step, number) in Schedule::new(options.seed).zip(1_usize..) {
        if started.elapsed() + step.quiet + step.lasts > options.lasting {
            return Ok(());
        }
        // A fault of the network lasts on into the next step now and then, so that faults overlap;
        // what lives on a minority's word meanwhile cannot be rebuilt.
        let overlaps = held > 0 && !step.fault.needs_peace() && step.fault != Fault::KillAll;
        if held == 0 || !overlaps {
            cluster.heal();
            held = 0;
            sleep(step.quiet).await;
        }
        if step.fault.needs_peace() {
            cluster.in_step_within(LIMIT).await?;
        }
        if step.fault.takes_out() {
            cluster.formed(options.nodes).await?;
        }
        let began = started.elapsed();
        let carried = carry_out(cluster, &step, board, frail)
            .await
            .with_context(|| format!("fault {number}: {}", step.fault.as_str()))?;
        let tally = tallies.entry(step.fault).or_default();
        match carried {
            Carried::Void => tally.void += 1,
            Carried::Done | Carried::Rebuilt => {
                tally.done += 1;
                tally.rebuilt += usize::from(carried == Carried::Rebuilt);
                tally.began.push(began);
            }
        }
        let stays = step.fault.is_of_the_network() && step.pick % 3 == 0 && held == 0;
        match stays {
            true => held = 1,
            false => {
                held = 0;
                cluster.heal();
            }
        }
        for id in cluster.ids() {
            // A node may end of a fault meant for another: it counts as one of its own.
            if cluster.has_ended(id)? {
                anyhow::bail!("n{id} ended by itself after {}", step.fault.as_str());
            }
        }
    }
    Ok(())
}
