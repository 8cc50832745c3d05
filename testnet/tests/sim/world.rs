//! A simulated cluster: its nodes, the processes that run on them, and who sees to both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use llm_router_cluster::{Command, Outcome, State};
use llm_router_testnet::check::history::Recorder;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{AsyncRuntime, RaftMetrics};
use openraft_rt_sim::SimRuntime;

use crate::invariants::{Event, Witness};
use crate::log::Log;
use crate::machine::Machine;
use crate::net::{Links, Net, Process};
use crate::node::Node;
use crate::types::{Raft, Sim, ms, pause, peer, settings};

/// How often the keeper looks at every process.
const STEP: Duration = ms(20);

/// Everything of one run.
pub(crate) struct World {
    pub(crate) seed: u64,
    /// Nodes 1 to this number vote; the one after them learns.
    pub(crate) voters: u64,
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) net: Net,
    pub(crate) witness: Witness,
    pub(crate) recorder: Recorder,
    /// Faults and clients go on.
    pub(crate) storm: AtomicBool,
}

/// Why a proposal has no outcome.
pub(crate) enum Failed {
    /// It was not taken; perhaps this node leads.
    NotTaken(Option<u64>),
    /// It may have been, or yet be.
    Unknown,
}

impl World {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let voters = match seed % 8 {
            0 => 1,
            1..=4 => 3,
            _ => 5,
        };
        let witness = Witness::new();
        let nodes = (1..=voters + 1)
            .map(|id| Node::new(id, seed, witness.clone()))
            .collect();
        Arc::new(World {
            seed,
            voters,
            nodes,
            net: Net::new(seed),
            witness,
            recorder: Recorder::default(),
            storm: AtomicBool::new(true),
        })
    }

    pub(crate) fn is_stormy(&self) -> bool {
        self.storm.load(Ordering::Relaxed) && self.witness.broken().is_none()
    }

    /// Starts the voters' first processes and makes a cluster of them.
    pub(crate) async fn begin(self: &Arc<Self>) {
        for node in &self.nodes {
            self.boot(node).await;
        }
        let members: BTreeMap<u64, _> = (1..=self.voters).map(|id| (id, peer(id))).collect();
        if let Some(first) = self.net.process(1) {
            first.raft.initialize(members).await.unwrap();
        }
        let world = Arc::clone(self);
        drop(SimRuntime::spawn(async move { world.keep().await }));
    }

    /// Clears away processes that crashed, starts new ones, and looks at all that run.
    async fn keep(self: &Arc<Self>) {
        loop {
            for process in self.net.processes() {
                if process.is_gone() {
                    self.net.take(process.node.id);
                    drop(SimRuntime::spawn(
                        async move { process.raft.shutdown().await },
                    ));
                } else {
                    see(&process);
                }
            }
            for node in &self.nodes {
                if node.is_up() && self.net.process(node.id).is_none() {
                    self.boot(node).await;
                }
            }
            pause(STEP).await;
        }
    }

    async fn boot(self: &Arc<Self>, node: &Arc<Node>) {
        let (id, boot) = (node.id, node.boot());
        node.look(|image| {
            node.tell(&Event::Booted {
                node: id,
                boot,
                image,
            });
        });
        let links = Links {
            net: self.net.clone(),
            node: Arc::clone(node),
            boot,
        };
        let (log, machine) = (Log::of(node), Machine::of(node));
        let started = Raft::new(id, settings(), links, log, machine).await;
        let Ok(raft) = started else {
            if node.boot() == boot {
                self.witness
                    .accuse(|| format!("n{id} does not start: {:?}", started.err()));
            }
            return;
        };
        let mut process = Process {
            node: Arc::clone(node),
            boot,
            raft,
            recovered: false,
        };
        self.net.put(process.clone());
        let net = self.net.clone();
        drop(SimRuntime::spawn(async move {
            if process.raft.wait_for_recovery(None).await.is_ok() && !process.is_gone() {
                process.recovered = true;
                net.put(process);
            }
        }));
    }

    /// Who leads, as a node knows it.
    pub(crate) fn leader(&self) -> Option<Process> {
        let leads = |process: &Process| !process.is_gone() && metrics(process).state.is_leader();
        self.net
            .processes()
            .into_iter()
            .filter(leads)
            .max_by_key(|process| metrics(process).current_term)
    }

    /// What a node shows to those who read there; none while it is down or still recovers.
    pub(crate) fn shown(&self, id: u64) -> Option<(u64, State)> {
        let process = self.net.process(id).filter(|process| process.recovered)?;
        let state = process.node.look(|image| image.applied.state.clone());
        Some((process.boot, state))
    }

    /// Proposes at one node.
    pub(crate) async fn propose(
        &self,
        id: u64,
        command: &Command,
        patience: Duration,
    ) -> Result<Outcome, Failed> {
        let Some(process) = self.net.process(id) else {
            return Err(Failed::NotTaken(None));
        };
        let write = process.raft.client_write(command.clone());
        let answer = SimRuntime::timeout(patience, write).await;
        match answer {
            // A process that crashed meanwhile answers nobody.
            Ok(Ok(written)) if !process.is_gone() => Ok(written.data),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Err(Failed::NotTaken(forward.leader_id))
            }
            _ => Err(Failed::Unknown),
        }
    }
}

/// A process's metrics as they are now.
pub(crate) fn metrics(process: &Process) -> RaftMetrics<Sim> {
    process.raft.metrics().borrow_watched().clone()
}

fn see(process: &Process) {
    let metrics = metrics(process);
    let Process { node, boot, .. } = process;
    node.look(|image| {
        node.tell(&Event::Seen {
            node: node.id,
            boot: *boot,
            metrics: &metrics,
            image,
        });
    });
}
