//! Three stores under openraft itself, joined by a wire in memory: what they keep is what was
//! agreed, however often nodes are cut off, stopped and started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{Config, Raft, RaftNetworkFactory, RaftNetworkV2, Snapshot, SnapshotPolicy};
use parking_lot::Mutex;

use super::*;
use crate::store::{Machine, SnapshotFile};

const PATIENCE: Duration = Duration::from_secs(30);

type Member = Raft<TypeConfig, Machine>;

/// Who can be reached. A node that is not here runs on, cut off from the others.
#[derive(Clone, Default)]
struct Wire {
    reachable: Arc<Mutex<BTreeMap<u64, (Member, Store)>>>,
}

/// One end of it.
struct End {
    wire: Wire,
    from: u64,
    to: u64,
}

impl End {
    fn peer(&self) -> Result<(Member, Store), Unreachable<TypeConfig>> {
        let reachable = self.wire.reachable.lock();
        let both = reachable.contains_key(&self.from);
        let peer = reachable.get(&self.to).filter(|_| both);
        peer.cloned().ok_or_else(|| down("cut off"))
    }
}

fn down(problem: impl Into<String>) -> Unreachable<TypeConfig> {
    Unreachable::new(&io::Error::other(problem.into()))
}

impl RaftNetworkV2<TypeConfig> for End {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let (raft, _store) = self.peer()?;
        let answer = raft.append_entries(rpc).await;
        answer.map_err(|error| down(error.to_string()).into())
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let (raft, _store) = self.peer()?;
        let answer = raft.vote(rpc).await;
        answer.map_err(|error| down(error.to_string()).into())
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let (raft, _store) = self.peer()?;
        let answer = raft.pre_vote(rpc).await;
        answer.map_err(|error| down(error.to_string()).into())
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
        _: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let (raft, store) = self.peer()?;
        let path = store.receiving().map_err(|error| down(error.to_string()))?;
        let copied = std::fs::copy(&snapshot.snapshot.path, &path);
        copied.map_err(|error| down(error.to_string()))?;
        let snapshot = Snapshot {
            meta: snapshot.meta,
            snapshot: SnapshotFile {
                path,
                ..snapshot.snapshot
            },
        };
        let answer = raft.install_full_snapshot(vote, snapshot).await;
        answer.map_err(|error| down(error.to_string()).into())
    }
}

/// Where a node's wires begin.
struct Ends(Wire, u64);

impl RaftNetworkFactory<TypeConfig> for Ends {
    type Network = End;

    async fn new_client(&mut self, to: u64, _: &Peer) -> End {
        End {
            wire: self.0.clone(),
            from: self.1,
            to,
        }
    }
}

/// The cluster.
struct Cluster {
    wire: Wire,
    nodes: BTreeMap<u64, Node>,
    running: BTreeMap<u64, (Member, Store)>,
    written: u64,
}

impl Cluster {
    async fn begin() -> Self {
        let mut cluster = Cluster {
            wire: Wire::default(),
            nodes: (1..=3).map(|number| (number, Node::new())).collect(),
            running: BTreeMap::new(),
            written: 0,
        };
        for number in 1..=3 {
            cluster.start(number).await;
        }
        let members: BTreeMap<u64, Peer> =
            (1..=3).map(|number| (number, Peer::default())).collect();
        let (first, _) = &cluster.running[&1];
        first.initialize(members).await.unwrap();
        cluster
    }

    async fn start(&mut self, number: u64) {
        let config = Config {
            heartbeat_interval: 50,
            election_timeout_min: 200,
            election_timeout_max: 400,
            enable_pre_vote: Some(true),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(30),
            max_in_snapshot_log_to_keep: 10,
            install_snapshot_timeout: 10_000,
            ..Config::default()
        };
        let config = Arc::new(config.validate().unwrap());
        let store = self.nodes[&number].open();
        let ends = Ends(self.wire.clone(), number);
        let raft = Raft::new(number, config, ends, store.log(), store.machine());
        let raft = raft.await.unwrap();
        self.running.insert(number, (raft, store));
        self.heal(number);
    }

    async fn stop(&mut self, number: u64) {
        self.cut(number);
        let (raft, _store) = self.running.remove(&number).unwrap();
        raft.shutdown().await.unwrap();
    }

    fn cut(&self, number: u64) {
        self.wire.reachable.lock().remove(&number);
    }

    fn heal(&self, number: u64) {
        let member = self.running[&number].clone();
        self.wire.reachable.lock().insert(number, member);
    }

    /// Changes something, through whoever leads among those that can be reached.
    async fn write(&mut self) {
        self.written += 1;
        let EntryPayload::Normal(command) = command(0, self.written).payload else {
            unreachable!()
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let members: Vec<_> = self.wire.reachable.lock().values().cloned().collect();
            for (raft, _) in members.iter().filter(|(raft, _)| raft.is_leader()) {
                let sent = raft.client_write(command.clone());
                let sent = tokio::time::timeout(Duration::from_secs(1), sent).await;
                if sent.is_ok_and(|sent| sent.is_ok()) {
                    return;
                }
            }
            assert!(tokio::time::Instant::now() < deadline, "nobody leads");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn leader(&self) -> u64 {
        let reachable = self.wire.reachable.lock();
        let leader = reachable.iter().find(|(_, (raft, _))| raft.is_leader());
        leader.map_or(1, |(number, _)| *number)
    }

    /// Everyone holds every write.
    async fn agree(&self) {
        for (raft, store) in self.running.values() {
            let mut states = store.states();
            let all = states.wait_for(|state| {
                (1..=self.written)
                    .all(|number| state.cache_scopes().contains_key(&format!("tag/{number}")))
                    && state.cache_epoch() == state.cache_scopes().len() as u64
            });
            let waited = tokio::time::timeout(PATIENCE, all).await;
            assert!(
                waited.is_ok(),
                "{:?}",
                raft.metrics().borrow_watched().clone()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_stores_keep_what_was_agreed_through_cuts_and_restarts() {
    let mut cluster = Cluster::begin().await;
    for round in 0..6 {
        for _ in 0..10 {
            cluster.write().await;
        }
        let victim = if round % 2 == 0 {
            cluster.leader()
        } else {
            1 + round % 3
        };
        if round < 3 {
            // a leader that is cut off appends what is never agreed, and has to give it up
            cluster.cut(victim);
            let (raft, _) = cluster.running[&victim].clone();
            let EntryPayload::Normal(lost) = command(0, 1_000_000 + round).payload else {
                unreachable!()
            };
            let sent = raft.client_write(lost);
            let _ = tokio::time::timeout(Duration::from_millis(100), sent).await;
        } else {
            cluster.stop(victim).await;
        }
        // long enough that the log it missed is purged, and it needs a snapshot
        for _ in 0..60 {
            cluster.write().await;
        }
        if round < 3 {
            cluster.heal(victim);
        } else {
            cluster.start(victim).await;
        }
        cluster.agree().await;
    }
    for number in 1..=3 {
        cluster.stop(number).await;
    }
    for number in 1..=3 {
        cluster.start(number).await;
    }
    cluster.agree().await;
    let digests = cluster.running.values();
    let digests = digests.map(|(_, store)| store.states().borrow().digest());
    let digests: std::collections::BTreeSet<_> = digests.collect();
    assert_eq!(digests.len(), 1);
    let snapshots = cluster.running.values();
    assert!(
        snapshots
            .map(|(_, store)| store.shared.shelf.current())
            .all(|it| it.is_some())
    );
}
