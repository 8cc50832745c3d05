//! The network between the nodes: it delays, loses, doubles and is cut, in one direction or both.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use llm_router_cluster::Peer;
use openraft::errors::{
    NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{AsyncRuntime, RaftNetworkFactory, RaftNetworkV2};
use openraft_rt_sim::SimRuntime;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::invariants::{Event, Witness};
use crate::node::Node;
use crate::types::{Raft, Rows, Sim, Vote, ms, pause};

/// The network. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Net {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    processes: BTreeMap<u64, Process>,
    cuts: BTreeSet<(u64, u64)>,
    weather: Weather,
    rng: SmallRng,
}

/// A running process.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) node: Arc<Node>,
    pub(crate) boot: u64,
    pub(crate) raft: Raft,
    /// It has all its state back and may be read.
    pub(crate) recovered: bool,
}

impl Process {
    /// The node crashed since.
    pub(crate) fn is_gone(&self) -> bool {
        self.node.boot() != self.boot
    }
}

/// How the network is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Longest way of a message.
    pub(crate) delay: Duration,
    /// How many messages in a thousand are lost.
    pub(crate) lost: u32,
    /// How many in a thousand arrive twice.
    pub(crate) doubled: u32,
}

impl Weather {
    pub(crate) const FAIR: Weather = Weather {
        delay: ms(3),
        lost: 0,
        doubled: 5,
    };
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Net {
            inner: Arc::new(Mutex::new(Inner {
                processes: BTreeMap::new(),
                cuts: BTreeSet::new(),
                weather: Weather::FAIR,
                rng: SmallRng::seed_from_u64(seed ^ 0xA11C_E000),
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process can be reached from now on.
    pub(crate) fn put(&self, process: Process) {
        self.lock().processes.insert(process.node.id, process);
    }

    /// It cannot any more.
    pub(crate) fn take(&self, id: u64) -> Option<Process> {
        self.lock().processes.remove(&id)
    }

    /// Every process, also those whose node crashed a moment ago.
    pub(crate) fn processes(&self) -> Vec<Process> {
        self.lock().processes.values().cloned().collect()
    }

    /// The process of a node, unless it crashed.
    pub(crate) fn process(&self, id: u64) -> Option<Process> {
        let process = self.lock().processes.get(&id).cloned()?;
        (!process.is_gone()).then_some(process)
    }

    /// Nothing goes from one to the other any more.
    pub(crate) fn cut(&self, from: u64, to: u64) {
        self.lock().cuts.insert((from, to));
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// Everything goes through again.
    pub(crate) fn heal(&self) {
        let mut inner = self.lock();
        inner.cuts.clear();
        inner.weather = Weather::FAIR;
    }

    /// One way: the message is on its way for a while, and arrives or does not.
    async fn way(&self, from: u64, to: u64) -> bool {
        let (arrives, delay) = {
            let mut inner = self.lock();
            let Weather { delay, lost, .. } = inner.weather;
            let lost = inner.rng.random_range(0..1_000) < lost;
            let delay = inner.rng.random_range(Duration::from_micros(100)..=delay);
            (!lost && !inner.cuts.contains(&(from, to)), delay)
        };
        pause(delay).await;
        arrives
    }

    fn doubles(&self) -> bool {
        let mut inner = self.lock();
        let doubled = inner.weather.doubled;
        inner.rng.random_range(0..1_000) < doubled
    }
}

/// Makes a process's links to the others.
#[derive(Clone)]
pub(crate) struct Links {
    pub(crate) net: Net,
    pub(crate) node: Arc<Node>,
    pub(crate) boot: u64,
}

impl RaftNetworkFactory<Sim> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _: &Peer) -> Link {
        Link {
            from: self.clone(),
            to: target,
        }
    }
}

/// From one process to one node.
#[derive(Clone)]
pub(crate) struct Link {
    from: Links,
    to: u64,
}

/// Why no answer came.
enum Lost {
    /// It would be in vain to try again at once.
    Nobody,
    /// The next try may do.
    OnTheWay,
}

impl From<Lost> for RPCError<Sim> {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Nobody => Unreachable::from_string("nobody is there").into(),
            Lost::OnTheWay => NetworkError::from_string("lost on the way").into(),
        }
    }
}

impl From<Lost> for StreamingError<Sim> {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Nobody => Unreachable::from_string("nobody is there").into(),
            Lost::OnTheWay => NetworkError::from_string("lost on the way").into(),
        }
    }
}

impl Link {
    /// Asks the other node; a message that is lost is missed when the time is over.
    async fn ask<A, F, Fut, E>(&self, patience: Duration, ask: F) -> Result<A, Lost>
    where
        A: Send + 'static,
        E: Send + 'static,
        F: Fn(Raft) -> Fut + Send + Sync,
        Fut: Future<Output = Result<A, E>> + Send + 'static,
    {
        let asked = self.there_and_back(ask);
        match SimRuntime::timeout(patience, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Lost::Nobody)) => Err(Lost::Nobody),
            Ok(Err(Lost::OnTheWay)) => {
                pause(patience).await;
                Err(Lost::OnTheWay)
            }
            Err(_) => Err(Lost::OnTheWay),
        }
    }

    async fn there_and_back<A, F, Fut, E>(&self, ask: F) -> Result<A, Lost>
    where
        A: Send + 'static,
        E: Send + 'static,
        F: Fn(Raft) -> Fut + Send + Sync,
        Fut: Future<Output = Result<A, E>> + Send + 'static,
    {
        let Links { net, node, boot } = &self.from;
        // A process that crashed sends nothing more.
        if node.boot() != *boot {
            return Err(Lost::Nobody);
        }
        if !net.way(node.id, self.to).await {
            return Err(Lost::OnTheWay);
        }
        let Some(other) = net.process(self.to) else {
            return Err(Lost::Nobody);
        };
        if net.doubles() {
            drop(SimRuntime::spawn(ask(other.raft.clone())));
        }
        // The other node goes on with it even where nobody waits any more.
        let answer = SimRuntime::spawn(ask(other.raft.clone()))
            .await
            .map_err(|_| Lost::Nobody)?
            .map_err(|_| Lost::Nobody)?;
        if !net.way(self.to, node.id).await {
            return Err(Lost::OnTheWay);
        }
        Ok(answer)
    }
}

impl Link {
    /// Who is told of what the other node promises by its answer, and which that is.
    fn answering(&self) -> (Witness, u64) {
        (self.from.node.witness.clone(), self.to)
    }
}

impl RaftNetworkV2<Sim> for Link {
    type SnapshotData = Rows;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Sim>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Sim>, RPCError<Sim>> {
        let (witness, node) = self.answering();
        let ask = move |raft: Raft| {
            let (witness, request) = (witness.clone(), request.clone());
            let vote = request.vote;
            let sent = request.entries.last().map(|entry| entry.log_id);
            let last = sent.or(request.prev_log_id);
            async move {
                let answer = raft.append_entries(request).await?;
                if answer == AppendEntriesResponse::Success {
                    witness.tell(&Event::Promised { node, vote, last });
                }
                Ok::<_, RaftError<Sim>>(answer)
            }
        };
        Ok(self.ask(option.soft_ttl(), ask).await?)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Sim>,
        option: RPCOption,
    ) -> Result<VoteResponse<Sim>, RPCError<Sim>> {
        let (witness, node) = self.answering();
        let ask = move |raft: Raft| {
            let (witness, request) = (witness.clone(), request.clone());
            let vote = request.vote;
            async move {
                let answer = raft.vote(request).await?;
                if answer.vote_granted {
                    let last = None;
                    witness.tell(&Event::Promised { node, vote, last });
                }
                Ok::<_, RaftError<Sim>>(answer)
            }
        };
        Ok(self.ask(option.soft_ttl(), ask).await?)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Sim>,
        option: RPCOption,
    ) -> Result<VoteResponse<Sim>, RPCError<Sim>> {
        let ask = move |raft: Raft| {
            let request = request.clone();
            async move { raft.pre_vote(request).await }
        };
        Ok(self.ask(option.soft_ttl(), ask).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Sim, Rows>,
        _: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Sim>, StreamingError<Sim>> {
        let ask = move |raft: Raft| {
            let snapshot = snapshot.clone();
            async move { raft.install_full_snapshot(vote, snapshot).await }
        };
        Ok(self.ask(option.soft_ttl(), ask).await?)
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Sim>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Sim>, RPCError<Sim>> {
        let ask = move |raft: Raft| {
            let request = request.clone();
            async move { raft.handle_transfer_leader(request).await }
        };
        Ok(self.ask(option.soft_ttl(), ask).await?)
    }
}
