//! No answer ever crosses a wall between nodes, and none comes back that was called off.
//!
//! Many look-ups, exact, by meaning and as streams, through every node of a net, while answers come,
//! are purged in every way, while nodes die, come back with what was on their disk (sometimes with
//! a disk of long ago), hear nothing, are slow, while the cells are drawn anew, and while a node
//! lies (`liar.rs`). Each answer says whose it is, what it answers, and how many purges had begun
//! when its upstream was asked.
//!
//! `LLM_ROUTER_LOOKUPS` sets how many look-ups there are; without it 6000, so that the suite stays
//! fast. `LLM_ROUTER_SEED` sets another seed.

mod trouble;
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use trouble::Trouble;
use world::{World, settings_of};

const LOOKUPS: u64 = 6000;
const SEED: u64 = 31;
/// Clients at once.
const CLIENTS: u64 = 12;

#[expect(
    clippy::disallowed_methods,
    reason = "how long a run is, is no node's config"
)]
fn number(name: &str, otherwise: u64) -> u64 {
    let asked = std::env::var(name);
    asked.map_or(otherwise, |count| count.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_crosses_a_wall_or_comes_back_whatever_the_nodes_do() {
    let lookups = number("LLM_ROUTER_LOOKUPS", LOOKUPS);
    let seed = number("LLM_ROUTER_SEED", SEED);
    let dirs = tempfile::tempdir().unwrap();
    let net = Net::of(world::NODES, |node| settings_of(node, dirs.path())).await;
    let world = Arc::new(World::new(Arc::clone(&net), lookups));
    let began = Moment::now();
    // of the node that never goes
    let tasks = net.cache(1).inner.tasks.clone();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let world = Arc::clone(&world);
            let rng = StdRng::seed_from_u64(seed.wrapping_mul(CLIENTS) + client);
            tasks.spawn(world::client(world, rng))
        })
        .collect();
    let purging = StdRng::seed_from_u64(seed ^ 1);
    let purging = tasks.spawn(trouble::purges(Arc::clone(&world), purging));
    let mut trouble = Trouble::new(Arc::clone(&world), dirs.path(), seed);
    let rounds = trouble.make().await;
    for client in clients {
        client.await.expect("no wall is crossed");
    }
    purging.await.expect("purges are acknowledged");
    let took = Moment::now().since(began);
    let seen = &world.seen;
    let [exact, semantic, streams] =
        [&seen.exact, &seen.semantic, &seen.streams].map(|count| count.load(Ordering::Relaxed));
    let noticed: u64 = net
        .caches()
        .iter()
        .filter_map(|cache| cache.stats().peers)
        .map(|peers| peers.foreign)
        .sum();
    let lies = net.lies.told.load(Ordering::Relaxed);
    // the run has shown something only if answers were served, and lies were told and noticed
    let told = format!(
        "{} look-ups in {took:.1?} through {} nodes: {seen:?}; {rounds} rounds of trouble, \
         {lies} lies, {noticed} noticed",
        seen.lookups.load(Ordering::Relaxed),
        world::NODES,
    );
    assert!(exact * 20 > lookups && semantic * 100 > lookups, "{told}");
    assert_eq!(net.lies.believed.load(Ordering::Relaxed), 0, "{told}");
    assert!(streams > 0 && lies > 0 && noticed > 0, "{told}");
    eprintln!("{told}: none crossed a wall or came back");
}
