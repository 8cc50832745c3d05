//! A door and its callers over real sockets, with a scripted node behind the door.

mod asking;
mod certificates;
mod deadlines;
mod members;
mod refusals;
mod snapshots;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use openraft::Vote;
use openraft::network::{RPCOption, RaftNetworkFactory as _};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::network::Link;
use super::{
    Core, Door, GuestRoom, JoinRequest, Joined, Lines, Network, Origin, Peers, Proposed, Seat,
    Stopped,
};
use crate::command::{Change, Command, Done, Outcome, RequestId};
use crate::error::Error;
use crate::handle::Order;
use crate::identity::{ClusterId, MemberId, NodeId};
use crate::pulse::{Directive, Report};
use crate::raft::{Peer, TypeConfig};
use crate::start::TlsFiles;
use crate::store::SnapshotFile;
use crate::tls::Keyring;

pub(super) fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

pub(super) fn cluster(name: &str) -> ClusterId {
    ClusterId::parse(name).unwrap()
}

pub(super) fn files(dir: &Path, name: &str) -> TlsFiles {
    TlsFiles {
        ca: dir.join("ca.pem"),
        cert: dir.join(format!("{name}.pem")),
        key: dir.join(format!("{name}.key")),
    }
}

/// Certificates of n1, n2 and n3 of cluster a.
pub(super) fn certificates() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let nodes = ["n1", "n2", "n3"].map(node);
    crate::certs::create(dir.path(), Some(cluster("a")), &nodes, 30).unwrap();
    dir
}

pub(super) fn keyring(dir: &Path, name: &str) -> Keyring {
    Keyring::open(files(dir, name), &node(name)).unwrap()
}

fn option(millis: u64) -> RPCOption {
    RPCOption::new(Duration::from_millis(millis))
}

fn command() -> Command {
    Command {
        request: RequestId(7),
        at_ms: 1,
        by: "operator".into(),
        change: Change::CacheEpoch {
            scope: "all".into(),
        },
    }
}

/// What comes of it.
fn agreed() -> Proposed {
    Proposed {
        outcome: Outcome::Done(Done::Epoch { epoch: 4 }),
        index: 17,
    }
}

/// An append without entries from member 2 in its own name.
fn heartbeat() -> AppendEntriesRequest<TypeConfig> {
    AppendEntriesRequest {
        vote: Vote::new_committed(3, 2),
        prev_log_id: None,
        entries: vec![],
        leader_commit: None,
    }
}

/// Raft behind the door: counts what reaches it.
#[derive(Default)]
struct Told {
    calls: AtomicUsize,
    installed: Mutex<Vec<(SnapshotFile, Vec<u8>)>>,
    /// It takes calls and answers none.
    silent: bool,
}

impl Told {
    async fn heard(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.silent {
            std::future::pending::<()>().await;
        }
    }
}

#[tonic::async_trait]
impl Core for Told {
    async fn append(
        &self,
        _: AppendEntriesRequest<TypeConfig>,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Stopped> {
        self.heard().await;
        Ok(AppendEntriesResponse::Success)
    }

    async fn vote(
        &self,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, Stopped> {
        self.heard().await;
        Ok(VoteResponse::new(request.vote, None, true))
    }

    async fn pre_vote(
        &self,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, Stopped> {
        self.heard().await;
        Ok(VoteResponse::new(request.vote, None, false))
    }

    async fn install(
        &self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
    ) -> Result<SnapshotResponse<TypeConfig>, Stopped> {
        self.heard().await;
        let bytes = std::fs::read(&snapshot.snapshot.path).unwrap();
        self.installed.lock().push((snapshot.snapshot, bytes));
        Ok(SnapshotResponse::new(vote))
    }

    async fn transfer(
        &self,
        _: TransferLeaderRequest<TypeConfig>,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Stopped> {
        self.heard().await;
        Ok(Ok(()))
    }
}

/// A scripted answer to what only a leader does.
type Script = Box<dyn Fn() -> Result<(), Error> + Send + Sync>;

/// Member 1 of cluster a, called n1, unless a test says otherwise.
struct Chair {
    cluster: Option<ClusterId>,
    raft: Arc<Told>,
    leader: Option<(MemberId, Peer)>,
    led: Script,
    dir: tempfile::TempDir,
    proposed: Mutex<Vec<Command>>,
    ordered: Mutex<Vec<Order>>,
    guests: GuestRoom,
}

impl Default for Chair {
    fn default() -> Self {
        Chair {
            cluster: Some(cluster("a")),
            raft: Arc::default(),
            leader: None,
            led: Box::new(|| Ok(())),
            dir: tempfile::tempdir().unwrap(),
            proposed: Mutex::default(),
            ordered: Mutex::default(),
            guests: GuestRoom::default(),
        }
    }
}

impl Chair {
    fn silent() -> Self {
        let raft = Told {
            silent: true,
            ..Told::default()
        };
        Chair {
            raft: Arc::new(raft),
            ..Chair::default()
        }
    }

    fn calls(&self) -> usize {
        self.raft.calls.load(Ordering::SeqCst)
    }

    /// Files of snapshots that are still there.
    fn received(&self) -> usize {
        std::fs::read_dir(self.dir.path()).unwrap().count()
    }
}

#[tonic::async_trait]
impl Seat for Chair {
    fn raft(&self) -> Option<Arc<dyn Core>> {
        Some(self.raft.clone())
    }

    fn cluster(&self) -> Option<ClusterId> {
        self.cluster.clone()
    }

    fn node(&self) -> NodeId {
        node("n1")
    }

    fn member(&self) -> Option<MemberId> {
        self.cluster.as_ref().map(|_| MemberId(1))
    }

    fn leader(&self) -> Option<(MemberId, Peer)> {
        self.leader.clone()
    }

    fn name_of(&self, member: MemberId) -> Option<NodeId> {
        (1..=3)
            .contains(&member.0)
            .then(|| node(&format!("n{member}")))
    }

    fn has_retired(&self, _: MemberId) -> bool {
        false
    }

    fn guests(&self) -> &GuestRoom {
        &self.guests
    }

    fn receiving(&self) -> io::Result<PathBuf> {
        Ok(self.dir.path().join("incoming"))
    }

    async fn propose(&self, command: Command) -> Result<Proposed, Error> {
        (self.led)()?;
        self.proposed.lock().push(command);
        Ok(agreed())
    }

    async fn read_index(&self) -> Result<u64, Error> {
        (self.led)().map(|()| 42)
    }

    async fn join(&self, join: JoinRequest) -> Result<Joined, Error> {
        (self.led)()?;
        assert_eq!(join.node, node("n2"));
        Ok(Joined {
            cluster: cluster("a"),
            member: MemberId(9),
            seal_key: [5; 32],
        })
    }

    async fn order(&self, order: Order) -> Result<(), Error> {
        (self.led)()?;
        self.ordered.lock().push(order);
        Ok(())
    }

    fn exchange(
        &self,
        from: MemberId,
        reports: BoxStream<'static, Report>,
    ) -> Result<BoxStream<'static, Directive>, Error> {
        (self.led)()?;
        let answers = reports.map(move |report| Directive {
            term: from.0,
            sequence: report.sequence,
            ..Directive::default()
        });
        Ok(answers.boxed())
    }
}

/// A door that is open until it is dropped.
struct Open {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinSet<Result<(), Error>>,
}

impl Open {
    async fn at(address: &str, chair: &Arc<Chair>, keyring: Option<Keyring>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let mut task = JoinSet::new();
        let seat: Arc<dyn Seat> = chair.clone();
        task.spawn(Door::serve(listener, seat, keyring, async {
            let _ = stopped.await;
        }));
        Open {
            address,
            stop: Some(stop),
            task,
        }
    }

    async fn new(chair: &Arc<Chair>) -> Self {
        Open::at("127.0.0.1:0", chair, None).await
    }

    async fn tls(chair: &Arc<Chair>, dir: &Path) -> Self {
        Open::at("127.0.0.1:0", chair, Some(keyring(dir, "n1"))).await
    }

    /// n1 as the membership has it.
    fn peer(&self) -> Peer {
        Peer {
            name: node("n1"),
            address: self.address.to_string(),
        }
    }

    async fn close(mut self) {
        drop(self.stop.take());
        self.task.join_next().await.unwrap().unwrap().unwrap();
    }
}

/// n2, which is member 2 of cluster a.
fn n2(keyring: Option<Keyring>) -> Lines {
    let lines = stranger("n2", keyring);
    lines.introduce(cluster("a"), MemberId(2));
    lines
}

/// A node that is no member yet.
fn stranger(name: &str, keyring: Option<Keyring>) -> Lines {
    Lines::new(Origin {
        node: node(name),
        dial: BTreeMap::new(),
        keyring,
    })
}

async fn link(lines: &Lines, peer: &Peer) -> Link {
    Network::new(lines.clone()).new_client(1, peer).await
}

fn peers(lines: &Lines) -> Peers {
    Peers::new(lines.clone())
}
