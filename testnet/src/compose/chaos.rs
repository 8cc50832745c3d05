//! Containers harmed under load, and what was seen of it held against every promise.
//!
//! ```text
//!  deck of faults ──► hand ──► docker, networks, disks, clocks, certificates, upstreams
//!                                 │
//!  writers, readers, watchers ──► nodes ◄── two tenants through every door
//!          │                                        │
//!          └──────────► histories, counts ──► checkers ──► report
//! ```
//!
//! The processes' own [harness](crate::chaos) reaches deeper, into fail points of the store; this one is
//! wider: addresses that change, certificates, images, and an engine that starts what has ended.

mod askers;
mod crew;
mod fault;
mod hand;
mod last;
mod means;
mod report;
mod wires;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::chaos::clients::{self, Clients, Stage};
use crate::chaos::last::consistent;
use crate::check::Verdict;
use crate::check::history::{Answer, Call, Recorder};
use crate::compose::engine::Engine;
use crate::compose::plan::{Plan, UPSTREAMS};
use crate::compose::{image, launch, settings};
use crate::nemesis::Board;
use crate::report::tell;
use askers::{Askers, Log, QUIET};
use crew::{Crew, LIMIT};
use fault::Deck;
use hand::{Carried, Hand};
use means::Means;

pub use fault::{Fault, Sick, Whom};
pub use report::Report;

/// The models whose breakers are watched: all there are.
const WATCHED: [&str; 3] = UPSTREAMS;

/// How a run is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The testnet's name; it may not be up already.
    pub project: String,
    /// How many nodes.
    pub nodes: usize,
    /// How long faults go on.
    pub lasting: Duration,
    /// What they follow from.
    pub seed: u64,
    /// Which faults; all where none is named.
    pub faults: Vec<Fault>,
    /// The image that a rolling upgrade puts in; one of the same binary where none is named.
    pub upgrade: Option<String>,
    /// Leave the containers as they are in the end.
    pub keep: bool,
}

impl Options {
    /// The command that runs the same again.
    pub fn command(&self) -> String {
        let names: Vec<&str> = self.faults.iter().map(|fault| fault.as_str()).collect();
        let only = match names.is_empty() {
            true => String::new(),
            false => format!(" --faults {}", names.join(",")),
        };
        let upgrade = self.upgrade.as_ref();
        let upgrade = upgrade.map_or_else(String::new, |image| format!(" --upgrade {image}"));
        format!(
            "llm-router-testnet chaos --containers --seconds {} --seed {} --nodes {}{only}{upgrade}",
            self.lasting.as_secs(),
            self.seed,
            self.nodes
        )
    }
}

/// What happened of one kind of fault.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// How often it was carried out.
    pub(crate) done: usize,
    /// Why it was not.
    pub(crate) void: Vec<String>,
    /// When each had set in, from the start of the run.
    pub(crate) began: Vec<Duration>,
    /// From when it was taken back until all nodes were ready and in step.
    pub(crate) in_step: Vec<Duration>,
    /// From when it was taken back until breakers had closed, changes were agreed and every node answered.
    pub(crate) well: Vec<Duration>,
}

/// Starts containers, harms them, and removes them.
///
/// # Errors
/// What kept the run from its end; what is wrong with the nodes is in the report.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let engine = Engine::find().await?;
    // before anything of one that is up is touched
    launch::is_free(&engine, &options.project).await?;
    let means = Means::find().await;
    for lack in means.lacks() {
        tell(&format!("some faults cannot be brought about: {lack}"))?;
    }
    let mut plan = Plan::new(&options.project, options.nodes)?;
    plan.small_disks = means.disks.is_none();
    plan.faketime.clone_from(&means.faketime);
    let twin = image::twin_of(&plan);
    let work = Box::pin(async {
        image::build().await?;
        let other_image = match &options.upgrade {
            Some(image) => image.clone(),
            None => {
                image::copy(&engine, &plan, &twin).await?;
                twin.clone()
            }
        };
        let up = launch::up(&engine, plan.clone(), false).await?;
        story(&engine, up, (means, other_image), options).await
    });
    let told = launch::only_for(&engine, &plan, options.keep, work).await;
    let made = options.upgrade.is_none() && !options.keep;
    if made && engine.has_image(&twin).await {
        let gone = engine.docker(&["image", "rm", &twin]).await;
        if told.is_ok() {
            gone?;
        }
    }
    told.with_context(|| format!("run it again: {}", options.command()))
}

async fn story(
    engine: &Engine,
    plan: Plan,
    (means, other_image): (Means, String),
    options: &Options,
) -> anyhow::Result<Report> {
    let crew = Crew::hire(&plan).await?;
    let board = Board::new(plan.nodes);
    let log = Log::new();
    let text: clients::Text = Arc::new(settings::routing_with);
    let (recorder, started) = begin(&crew, &text).await?;
    let stage = Stage {
        nodes: crew.admin.clone(),
        board: board.clone(),
        text: Arc::clone(&text),
        watched: &WATCHED,
        asks: false,
    };
    let clients = Clients::start(stage, (recorder, started));
    let askers = Askers::start(&crew, &board, &log, options.seed);
    let mut hand = Hand {
        engine: engine.clone(),
        plan,
        crew,
        board,
        log: log.clone(),
        means,
        other_image,
        moments: Mutex::default(),
        probes: Mutex::default(),
        unwell: Mutex::default(),
    };
    let mut tallies = BTreeMap::new();
    let harmed = harm(&mut hand, options, started, &mut tallies).await;
    let healed = hand.healed("all faults", started).await;
    let apart = askers.finish().await?;
    let changes = clients.finish().await?;
    let mut verdicts = consistent(&changes);
    verdicts.push(apart.verdict());
    verdicts.push(hand.probed_seldom());
    let faults = tallies.values().map(|tally: &Tally| tally.done).sum();
    let back = harmed.and(healed.map(drop));
    let whole = back.is_ok();
    verdicts.push(hand.became_well(faults));
    verdicts.push(Verdict::went(
        "every node comes back and gets in step",
        faults,
        &back,
    ));
    if whole {
        verdicts.extend(last::settle(&hand, &text).await);
        verdicts.extend(last::judge(&hand.crew, &changes.history).await?);
    }
    Ok(Report {
        command: options.command(),
        head: format!(
            "{} nodes in containers, {:?} of faults, seed {}",
            options.nodes, options.lasting, options.seed
        ),
        tallies,
        changes,
        asked: log.take(),
        verdicts,
        wanted: options.faults.clone(),
    })
}

/// The history's beginning: what `up` has proposed, and the first change of ours.
async fn begin(crew: &Crew, text: &clients::Text) -> anyhow::Result<(Recorder, Instant)> {
    let (recorder, started) = (Recorder::default(), Instant::now());
    for revision in 1..=crew.in_step(LIMIT).await? {
        let begun = Call::Set {
            expected: None,
            value: 0,
        };
        let ticket = recorder.call(0, begun, started.elapsed());
        recorder.answer(ticket, Answer::Set { revision }, started.elapsed());
    }
    clients::write_first(crew.node(1), &text(1), 1, (&recorder, started)).await?;
    crew.in_step(LIMIT).await?;
    Ok((recorder, started))
}

/// One fault after the other until the time is over. After each, everything is healed and waited for.
async fn harm(
    hand: &mut Hand,
    options: &Options,
    started: Instant,
    tallies: &mut BTreeMap<Fault, Tally>,
) -> anyhow::Result<()> {
    let wanted: Vec<Fault> = match options.faults.is_empty() {
        true => Fault::all().collect(),
        false => options.faults.clone(),
    };
    for (step, number) in Deck::new(options.seed, &wanted).zip(1_usize..) {
        if started.elapsed() + step.quiet + step.lasts > options.lasting {
            return Ok(());
        }
        hand.log.now(QUIET);
        sleep(step.quiet).await;
        let name = step.fault.as_str();
        hand.log.now(name);
        let began = started.elapsed();
        let what = || {
            format!(
                "fault {number}, {name}, {} s after the start",
                began.as_secs()
            )
        };
        let carried = hand.carry_out(&step).await.with_context(what)?;
        let healed = hand.healed(name, started).await.with_context(what)?;
        let tally = tallies.entry(step.fault).or_default();
        match carried {
            Carried::Done => {
                tally.done += 1;
                tally.began.push(healed.harmed);
                tally.in_step.push(healed.in_step);
                tally.well.extend(healed.well);
                let well = match healed.well {
                    Some(well) => format!("well after {} ms", well.as_millis()),
                    None => "NOT WELL".to_owned(),
                };
                tell(&format!(
                    "{:>5} s  {name}: in step after {} ms, {well}",
                    began.as_secs(),
                    healed.in_step.as_millis(),
                ))?;
            }
            Carried::Void(why) => tally.void.push(why),
        }
    }
    Ok(())
}
