//! Simulation: openraft's own core on a simulated clock, with the agreed state as its state machine,
//! over disks that lose what was not synced and a network that loses what it likes. A seed is a
//! story; the same seed is the same story, event by event.
//!
//! A seed that fails prints the command that runs it again. `LLM_ROUTER_SIM_SEED` runs one seed,
//! `LLM_ROUTER_SIM_SEEDS` so many from the first.

#![expect(
    clippy::unwrap_used,
    reason = "all of it is one test, whose parts are not marked as such"
)]

mod client;
mod disk;
mod heal;
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an invariant looks at a few kinds of events"
)]
mod invariants;
mod log;
mod machine;
mod nemesis;
mod net;
mod node;
mod types;
mod world;

use std::collections::BTreeMap;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;

use client::Client;
use llm_router_testnet::check::durable;
use llm_router_testnet::say;
use nemesis::Nemesis;
use types::{ms, now, pause};
use world::World;

/// Seeds of one test run.
const SEEDS: u64 = 200;
/// Simulated time with faults.
const STORM: Duration = Duration::from_secs(15);
/// Clients at once.
const CLIENTS: u64 = 5;

/// What one seed came to.
#[derive(Debug)]
struct Run {
    simulated: Duration,
    operations: usize,
    faults: u64,
    trace: u64,
    broken: Option<String>,
}

/// Runs a seed; where one panics, its number is told.
fn run(seed: u64) -> Run {
    let told = catch_unwind(|| SimRuntime::with_seed(seed).block_on(story(seed)));
    told.unwrap_or_else(|panic| {
        say(&format!(
            "seed {seed} panicked; run it again: {}",
            command(seed)
        ));
        resume_unwind(panic)
    })
}

/// Runs this seed alone.
fn command(seed: u64) -> String {
    format!(
        "LLM_ROUTER_SIM_SEED={seed} cargo test -p llm-router-testnet --test sim every_seed -- \
         --nocapture"
    )
}

async fn story(seed: u64) -> Run {
    let world = World::new(seed);
    world.begin().await;
    let nemesis = SimRuntime::spawn(Nemesis::new(&world).rage());
    let clients: Vec<_> = (1..=CLIENTS)
        .map(|number| SimRuntime::spawn(Client::new(&world, number).work()))
        .collect();
    while now() < STORM && world.witness.broken().is_none() {
        pause(ms(100)).await;
    }
    world.storm.store(false, Ordering::Relaxed);
    let faults = nemesis.await.unwrap();
    for client in clients {
        client.await.unwrap();
    }
    heal::heal(&world).await;
    let history = world.recorder.history();
    let lost = durable::check(&history, &record(&world)).violations;
    for checked in [
        history.linearizable(),
        lost.into_iter().next().map_or(Ok(()), Err),
        history.monotonic(),
    ] {
        if let Err(why) = checked {
            world.witness.accuse(|| why);
        }
    }
    Run {
        simulated: now(),
        operations: history.operations.len(),
        faults,
        trace: world.witness.trace(),
        broken: world.witness.broken(),
    }
}

/// Values by revision, as the first node has them in the end.
fn record(world: &Arc<World>) -> BTreeMap<u64, u64> {
    world.nodes[0].look(|image| {
        let history = image.applied.state.config().history();
        history
            .map(|kept| (kept.revision.0, kept.text.parse().unwrap()))
            .collect()
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "how a seed is replayed; the node reads none of it"
)]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[test]
fn every_seed_keeps_every_promise() {
    let seeds = match asked("LLM_ROUTER_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..asked("LLM_ROUTER_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let (count, began) = (seeds.end - seeds.start, tokio::time::Instant::now());
    let (mut simulated, mut operations, mut faults) = (Duration::ZERO, 0, 0);
    for seed in seeds {
        let run = run(seed);
        if let Some(broken) = run.broken {
            panic!("seed {seed}: {broken}\nrun it again: {}", command(seed));
        }
        simulated += run.simulated;
        operations += run.operations;
        faults += run.faults;
    }
    let took = began.elapsed().as_secs_f64();
    say(&format!(
        "simulation: {count} seeds, {:.0} simulated s in {took:.1} s ({:.1} seeds/s, {:.0}:1), \
         {operations} operations, {faults} faults, 0 broken promises",
        simulated.as_secs_f64(),
        count as f64 / took,
        simulated.as_secs_f64() / took,
    ));
}

#[test]
fn the_same_seed_is_the_same_story() {
    for seed in [2, 5] {
        let (one, other) = (run(seed), run(seed));
        assert_eq!(one.trace, other.trace, "seed {seed}");
        assert_eq!(one.simulated, other.simulated, "seed {seed}");
    }
}
