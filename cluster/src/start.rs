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

/// Opens the data, joins or begins, and returns once the state is recovered.
///
/// # Errors
/// [`Error::Store`] when the data must not be used, [`Error::Refused`] when the cluster says no,
/// [`Error::Unreachable`] when no node to join answers.
#[expect(
    unused_variables,
    clippy::unimplemented,
    clippy::unused_async,
    reason = "the contract, before its author has come"
)]
pub async fn start(options: Options) -> Result<Handle, Error> {
    unimplemented!()
}
