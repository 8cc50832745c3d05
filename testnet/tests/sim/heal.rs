//! The healing phase: with every fault gone, the cluster is whole again within ten seconds: one
//! leader, equal states on all nodes, and a fresh write succeeds.

use std::sync::Arc;
use std::time::Duration;

use llm_router_testnet::check::history::Answer;
use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;

use crate::client::Client;
use crate::net::Process;
use crate::types::{ms, now, pause, peer};
use crate::world::{World, metrics};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes every fault away and waits until all is well; accuses where it is not.
pub(crate) async fn heal(world: &Arc<World>) {
    world.net.heal();
    for node in &world.nodes {
        node.heal();
    }
    let end = now() + PATIENCE;
    let mut client = Client::new(world, 99);
    let mut fresh = false;
    while now() < end && world.witness.broken().is_none() {
        if !fresh {
            fresh = matches!(client.set().await, Answer::Set { .. });
        }
        if fresh && unlike(world).is_none() {
            return;
        }
        admit_learner(world).await;
        pause(ms(50)).await;
    }
    world.witness.accuse(|| {
        let why = unlike(world).unwrap_or_else(|| "no write succeeds".to_owned());
        format!("not whole {PATIENCE:?} after healing: {why}")
    });
}

/// The learner may have been forgotten in the storm.
async fn admit_learner(world: &World) {
    let id = world.voters + 1;
    if let Some(leader) = world.leader() {
        let known = metrics(&leader)
            .membership_config
            .nodes()
            .any(|(node, _)| *node == id);
        if !known {
            let admitted = leader.raft.add_learner(id, peer(id), false);
            drop(SimRuntime::timeout(ms(500), admitted).await);
        }
    }
}

/// In what the nodes still differ; `None` once all is well.
fn unlike(world: &World) -> Option<String> {
    let processes: Vec<Process> = world
        .net
        .processes()
        .into_iter()
        .filter(|process| process.recovered)
        .collect();
    if processes.len() != world.nodes.len() {
        let all = world.net.processes();
        let all: Vec<_> = all
            .iter()
            .map(|process| metrics(process).to_string())
            .collect();
        return Some(format!(
            "{} of {} nodes run: {all:?}",
            processes.len(),
            world.nodes.len()
        ));
    }
    let all: Vec<_> = processes.iter().map(metrics).collect();
    let leaders: Vec<u64> = all
        .iter()
        .filter(|metrics| metrics.state.is_leader())
        .map(|metrics| metrics.id)
        .collect();
    let &[leader] = leaders.as_slice() else {
        return Some(format!("these lead: {leaders:?}"));
    };
    if let Some(other) = all
        .iter()
        .find(|metrics| metrics.current_leader != Some(leader))
    {
        return Some(format!(
            "n{} follows {:?}, not n{leader}",
            other.id, other.current_leader
        ));
    }
    let applied: Vec<_> = all.iter().map(|metrics| metrics.last_applied).collect();
    if applied.iter().any(|other| *other != applied[0]) {
        return Some(format!("applied up to {applied:?}"));
    }
    let digests: Vec<[u8; 32]> = processes
        .iter()
        .map(|process| process.node.look(|image| image.applied.state.digest()))
        .collect();
    let differ = digests.iter().any(|other| *other != digests[0]);
    differ.then(|| "their states differ".to_owned())
}
