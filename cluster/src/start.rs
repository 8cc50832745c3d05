//! Starts a node of a cluster: one that begins alone, joins others, or comes back.

mod asking;

use std::collections::BTreeMap;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::command::{Change, LEVEL, RequestId};
use crate::coordinate::{Coordinator, Propose, Surroundings};
use crate::error::{Error, Refused};
use crate::handle::{Author, Handle};
use crate::identity::{BootId, ClusterId, MemberId, NodeId};
use crate::inside::{
    Inside, Place, follow_leadership, keep_addresses, keep_membership, look_for_others, settings,
};
use crate::raft::Peer;
use crate::store::{self, Faults, Identity, Store};
use crate::tls::Keyring;
use crate::transport::{Door, JoinRequest, Lines, Network, Origin, Peers, Raft, Seat};
use crate::watchdog::watch;

/// The member a cluster begins with.
const FIRST: MemberId = MemberId(1);
/// How long nodes that are to be joined may take to say which cluster they are of, when this one
/// is a member already.
const CHECK_PATIENCE: Duration = Duration::from_millis(700);

/// Paths of a node's certificate files, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority that signs this cluster's nodes.
    pub ca: PathBuf,
    /// This node's certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Raft's clockwork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader says that it lives.
    pub heartbeat: Duration,
    /// Shortest election timeout.
    pub election_min: Duration,
    /// Longest election timeout, and the leader's lease.
    pub election_max: Duration,
}

impl Default for Timing {
    /// 50, 200 and 400 ms: a leader that dies is replaced in about 0.7 s.
    fn default() -> Self {
        let [heartbeat, election_min, election_max] = [50, 200, 400].map(Duration::from_millis);
        Timing {
            heartbeat,
            election_min,
            election_max,
        }
    }
}

/// What a node is started with.
#[derive(Debug)]
pub struct Options {
    /// Its name.
    pub node: NodeId,
    /// Where the agreed state is kept; made if missing.
    pub dir: PathBuf,
    /// The node-to-node door, bound.
    pub listener: TcpListener,
    /// `host:port` by which other nodes reach that door.
    pub advertise: String,
    /// Nodes to join, tried in turn; ignored by a node that is a member already.
    pub join: Vec<String>,
    /// Addresses to dial instead of those that peers advertise, by name: for networks that
    /// translate addresses, and for tests with a proxy on each link.
    pub dial: BTreeMap<NodeId, String>,
    /// Certificates; without them the door and every peer must be on loopback.
    pub tls: Option<TlsFiles>,
    /// Raft's clockwork.
    pub timing: Timing,
    /// A file with fail points, read again at each of them. For tests of the whole program.
    pub faults: Option<PathBuf>,
}

/// Threads of consensus's own runtime: traffic and embedding must not delay a heartbeat.
const THREADS: usize = 2;
/// How long a node tries to be let in.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two rounds of asking.
const JOIN_PAUSE: Duration = Duration::from_millis(300);
/// How long one node may take to answer.
const ASK_PATIENCE: Duration = Duration::from_secs(5);
/// How long a cluster may take to begin.
const BEGIN: Duration = Duration::from_secs(10);
/// Pause between two tries of it.
const BEGIN_PAUSE: Duration = Duration::from_millis(50);

/// The member whose data a directory holds and its name; a running node is not disturbed. `None`
/// where there is no store, or none that belongs to anybody yet.
///
/// # Errors
/// [`Error::Store`] when the watermark cannot be read.
pub fn owner(dir: &Path) -> Result<Option<(MemberId, NodeId)>, Error> {
    store::owner(dir)
}

/// Opens the data, joins or begins, and returns once the state is recovered. Needs no quorum: a
/// node that comes back serves what it last knew.
///
/// # Errors
/// [`Error::Store`] when the data must not be used, [`Error::Refused`] when the cluster says no,
/// [`Error::Unreachable`] when no node to join answers.
pub async fn start(options: Options) -> Result<Handle, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("consensus")
        .enable_all()
        .build()
        .map_err(|error| Error::Store(format!("no threads for consensus: {error}")))?;
    let running = runtime.spawn(run(options));
    match running.await {
        Ok(Ok(inside)) => Ok(Handle::new(inside, runtime)),
        Ok(Err(error)) => {
            runtime.shutdown_background();
            Err(error)
        }
        Err(_) => {
            runtime.shutdown_background();
            Err(Error::Stopped)
        }
    }
}

async fn run(options: Options) -> Result<Arc<Inside>, Error> {
    let (inside, first) = assemble(options).await?;
    if first {
        begin(&inside).await?;
    }
    Ok(inside)
}

/// A node with its door open. The second value is true for a cluster of one, which has to begin
/// or to elect itself.
async fn assemble(options: Options) -> Result<(Arc<Inside>, bool), Error> {
    // connections are accepted by the threads that answer them, whatever the others are busy with
    let listener = options.listener.into_std().and_then(TcpListener::from_std);
    let listener =
        listener.map_err(|error| Error::Store(format!("no node-to-node door: {error}")))?;
    let faults = options.faults.map_or_else(Faults::none, Faults::from_file);
    let dir = options.dir.clone();
    let opened = tokio::task::spawn_blocking(move || store::open(&dir, faults)).await;
    let store = opened.map_err(|_| Error::Stopped)??;
    let keyring = options.tls.map(|files| Keyring::open(files, &options.node));
    let keyring = keyring.transpose()?;
    let lines = Lines::new(Origin {
        node: options.node.clone(),
        dial: options.dial,
        keyring: keyring.clone(),
    });
    let newcomer = Newcomer {
        dir: options.dir,
        node: options.node,
        address: options.advertise.clone(),
        join: options.join,
        cluster: keyring.as_ref().map(Keyring::cluster),
        lines: lines.clone(),
    };
    let (identity, first) = newcomer.identity(&store).await?;
    lines.introduce(identity.cluster.clone(), identity.member);
    let place = Place {
        identity,
        address: options.advertise,
        timing: options.timing,
    };
    let inside = Arc::new(Inside::new(place, store, lines.clone()));
    enter(&inside, lines, listener, keyring).await?;
    Ok((inside, first))
}

/// Puts the parts together and starts them. While it is built, Raft applies again whatever was
/// committed here, so nobody sees a state older than before the stop.
async fn enter(
    inside: &Arc<Inside>,
    lines: Lines,
    listener: TcpListener,
    keyring: Option<Keyring>,
) -> Result<(), Error> {
    let me = inside.me();
    let settings = settings(inside.identity.cluster.as_str(), inside.timing)?;
    let (log, machine) = (inside.store.log(), inside.store.machine());
    let raft = Raft::new(me.0, settings, Network::new(lines), log, machine).await;
    let raft = raft.map_err(|error| Error::Store(format!("consensus cannot start: {error}")))?;
    let surroundings = Surroundings {
        me,
        node: inside.identity.node.clone(),
        boot: BootId(rand::random()),
        states: inside.store.states(),
        leading: inside.leading.subscribe(),
        policy: inside.policy.subscribe(),
        timing: inside.timing,
        propose: Arc::clone(inside) as Arc<dyn Propose>,
        link: Arc::new(inside.peers.clone()),
    };
    let fresh = inside.raft.set(raft.clone()).is_ok()
        && inside
            .coordinator
            .set(Coordinator::start(surroundings))
            .is_ok();
    debug_assert!(fresh, "a node is put together once");
    inside.run(follow_leadership(Arc::clone(inside), raft.clone()));
    inside.run(keep_membership(Arc::clone(inside), raft.clone()));
    inside.run(keep_addresses(Arc::clone(inside)));
    inside.run(look_for_others(Arc::clone(inside)));
    let seat = Arc::clone(inside);
    inside.run(async move {
        let served = Door::serve(
            listener,
            Arc::clone(&seat) as Arc<dyn Seat>,
            keyring,
            pending(),
        );
        if let Err(error) = served.await {
            seat.fail(70, format!("the node-to-node door has closed: {error}"));
        }
    });
    watch(inside, raft).map_err(|error| Error::Store(format!("no watchdog: {error}")))
}

/// Begins the cluster: the first membership, and the entry that says so. A node that stopped
/// half-way does here what is left.
async fn begin(inside: &Arc<Inside>) -> Result<(), Error> {
    let raft = inside.raft.get().ok_or(Error::Stopped)?;
    let stopped = |_| Error::Stopped;
    if !raft.is_initialized().await.map_err(stopped)? {
        let peer = Peer {
            name: inside.identity.node.clone(),
            address: inside.address.clone(),
        };
        let members = BTreeMap::from([(inside.me().0, peer)]);
        let begun = raft.initialize(members).await;
        begun.map_err(|error| Error::Store(format!("the cluster cannot begin: {error}")))?;
    } else {
        // alone there is nobody to wait for
        raft.trigger().elect(false).await.map_err(stopped)?;
    }
    if inside.state().cluster().is_some() {
        return Ok(());
    }
    let leads = raft
        .wait(Some(BEGIN))
        .current_leader(inside.me().0, "the cluster begins")
        .await;
    leads.map_err(|_| Error::Timeout)?;
    let begin = Change::Begin {
        cluster: inside.identity.cluster.to_string(),
        name: inside.identity.node.clone(),
        address: inside.address.clone(),
        level: LEVEL,
    };
    // on a machine that is busy starting, a moment without a leader is no reason to give up
    let (author, deadline) = (Author::new("start"), Instant::now() + BEGIN);
    loop {
        match inside.agree(begin.clone(), author.clone(), BEGIN).await {
            Err(Error::NoQuorum { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(BEGIN_PAUSE).await;
            }
            agreed => return agreed.map(drop),
        }
    }
}

/// A node on its way to an identity.
struct Newcomer {
    dir: PathBuf,
    node: NodeId,
    address: String,
    join: Vec<String>,
    /// What its certificate says.
    cluster: Option<ClusterId>,
    lines: Lines,
}

impl Newcomer {
    /// Who it is: as its data says, as the cluster it joins says, or the first of a new one. The
    /// second value is true for a cluster of one, which has to begin or to elect itself.
    async fn identity(self, store: &Store) -> Result<(Identity, bool), Error> {
        if let Some(kept) = store.identity() {
            self.check(&kept).await?;
            let members = store.states().borrow().members().len();
            let alone = kept.member == FIRST && members <= 1;
            return Ok((kept, alone));
        }
        let first = self.join.is_empty();
        let identity = if first {
            self.first()?
        } else {
            let request = asking::request(&self.dir)?;
            let asked = self.ask(request).await;
            if matches!(asked, Err(Error::Refused(_))) {
                // an answer too: under the same id it would be given again, whatever has changed
                asking::answered(&self.dir);
            }
            asked?
        };
        let (kept, found) = (store.clone(), identity.clone());
        let written = tokio::task::spawn_blocking(move || kept.found(&found)).await;
        written.map_err(|_| Error::Stopped)??;
        asking::answered(&self.dir);
        Ok((identity, first))
    }

    /// Data that is there must be this node's and this cluster's. Nodes it is told to join are
    /// asked only whether they are of another cluster; that they cannot be reached is no matter.
    async fn check(&self, kept: &Identity) -> Result<(), Error> {
        if kept.node != self.node {
            let (data, node) = (&kept.node, &self.node);
            return Err(Refused::Unwise(format!(
                "the data directory is of node {data}, this one is called {node}: each node needs \
                 its own"
            ))
            .into());
        }
        self.certified(&kept.cluster)?;
        self.lines.introduce(kept.cluster.clone(), kept.member);
        for address in &self.join {
            let request = self.request(Some(kept.cluster.clone()), RequestId(rand::random()));
            let peers = Peers::new(self.lines.clone());
            if let Err(Error::Refused(Refused::WrongCluster { ours, .. })) =
                peers.join(address, &request, CHECK_PATIENCE).await
            {
                let ours = ClusterId::parse(&ours).unwrap_or_else(|_| kept.cluster.clone());
                return Err(other_data(&ours, &kept.cluster));
            }
        }
        Ok(())
    }

    /// The certificate, if there is one, is for this cluster.
    fn certified(&self, cluster: &ClusterId) -> Result<(), Error> {
        match &self.cluster {
            Some(ours) if *ours != cluster.certified() && ours != cluster => {
                Err(other_data(ours, cluster))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn first(&self) -> Result<Identity, Error> {
        let cluster = match &self.cluster {
            Some(certified) => ClusterId::begun(certified, rand::random()),
            None => ClusterId::parse(&format!("c-{:016x}", rand::random::<u64>())),
        };
        Ok(Identity {
            cluster: cluster.map_err(|bad| Error::Store(bad.to_string()))?,
            member: FIRST,
            node: self.node.clone(),
            seal_key: rand::random(),
        })
    }

    /// Asks the nodes in turn, round after round, until one lets it in or the time is over. What
    /// the cluster refuses is not asked again.
    async fn ask(&self, request: RequestId) -> Result<Identity, Error> {
        let peers = Peers::new(self.lines.clone());
        // the same request id each time: let in twice is let in once
        let request = self.request(None, request);
        let deadline = Instant::now() + JOIN_PATIENCE;
        loop {
            let (mut last, mut refused) = (Error::Timeout, None);
            for address in &self.join {
                match peers.join(address, &request, ASK_PATIENCE).await {
                    Ok(joined) => {
                        self.certified(&joined.cluster)?;
                        return Ok(Identity {
                            cluster: joined.cluster,
                            member: joined.member,
                            node: self.node.clone(),
                            seal_key: joined.seal_key,
                        });
                    }
                    // another address may be of the right cluster
                    Err(why @ Error::Refused(_)) => refused = Some(why),
                    Err(error) => {
                        tracing::info!(address, %error, "not let in yet, trying again");
                        last = error;
                    }
                }
            }
            if let Some(refused) = refused {
                return Err(refused);
            }
            if Instant::now() >= deadline {
                return Err(last);
            }
            tokio::time::sleep(JOIN_PAUSE).await;
        }
    }

    fn request(&self, cluster: Option<ClusterId>, request: RequestId) -> JoinRequest {
        JoinRequest {
            request,
            cluster,
            node: self.node.clone(),
            address: self.address.clone(),
            level: LEVEL,
        }
    }
}

fn other_data(ours: &ClusterId, theirs: &ClusterId) -> Error {
    let [ours, theirs] = [ours, theirs].map(ToString::to_string);
    Refused::OtherData { ours, theirs }.into()
}

#[cfg(test)]
mod tests;
