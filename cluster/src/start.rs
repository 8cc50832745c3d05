//! Starts a node of a cluster: one that begins alone, joins others, or comes back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::error::Error;
use crate::handle::Handle;
use crate::identity::NodeId;

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
/// How long a node may take to apply what it had applied before it stopped.
const RECOVERY: Duration = Duration::from_secs(30);
/// How long a cluster may take to begin.
const BEGIN: Duration = Duration::from_secs(10);

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
    let faults = options.faults.map_or_else(Faults::none, Faults::from_file);
    let dir = options.dir.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open(&dir, faults)).await;
    let store = opened.map_err(|_| Error::Stopped)??;
    let tls = options.tls.as_ref().map(Tls::load).transpose()?;
    let security = Security::new(tls, &options.listener, &options.advertise)?;
    let caller = Caller {
        node: options.node.clone(),
        security: security.clone(),
        dial: options.dial,
    };
    let newcomer = Newcomer {
        node: &options.node,
        address: &options.advertise,
        join: &options.join,
    };
    let (identity, fresh) = newcomer.identity(&store, &security, &caller).await?;
    let peers = Peers::new(caller, &identity);
    let inside = Arc::new(Inside::new(
        identity,
        options.advertise,
        options.timing,
        (store, peers),
    ));
    enter(&inside, options.listener, security).await?;
    if fresh {
        begin(&inside).await?;
    }
    Ok(inside)
}
