//! The one way from a node into its cluster.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use llm_router_cluster::{Author, Error, Handle, command::Change};
//! # async fn example(cluster: &Handle) -> Result<(), Error> {
//! let state = cluster.state(); // published, immutable, no waiting
//! let change = Change::CacheEpoch { scope: "all".to_owned() };
//! let done = cluster.propose(change, Author::new("operator"), Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::command::{Change, Done, RequestId};
use crate::coordinate::Coordinator;
use crate::error::Error;
use crate::identity::{ClusterId, MemberId, NodeId, Revision};
use crate::inside::Inside;
use crate::policy::Policy;
use crate::pulse::{Directive, Report};
use crate::state::State;
use crate::status::Status;
use crate::transport::{Guest, Line};

/// Who asks for a change, and under which id.
#[derive(Clone, Debug)]
pub struct Author {
    /// Repeats of the same request are recognised by it.
    pub request: RequestId,
    /// For the history: `operator`, `file on n1`. At most 128 bytes are kept.
    pub by: String,
}

impl Author {
    /// An author with a fresh request id.
    pub fn new(by: impl Into<String>) -> Self {
        Author {
            request: RequestId(rand::random()),
            by: by.into(),
        }
    }
}

/// How fresh a read has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// What is here.
    Local,
    /// What the leader holds while its lease lasts; wrong only if clocks run at different speeds.
    Lease,
    /// Nothing acknowledged before the read began is missing.
    #[default]
    Linearizable,
}

/// What the leader said last, and how long ago.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Its words.
    pub directive: Directive,
    /// When they came; `None` while nothing came since the node started.
    pub at: Option<tokio::time::Instant>,
}

/// An order about members; any node takes it, the leader carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A learner votes from now on. Refused where it would make the number of voters even and no
    /// other learner can be promoted with it.
    Promote(NodeId),
    /// A member leaves for good: its number is retired, its name free again.
    Remove(NodeId),
    /// Another voter leads; the most caught-up one when none is named.
    TransferLeader(Option<NodeId>),
    /// The leader writes a snapshot and drops the log before it.
    Snapshot,
}

/// Why the node must end. Crash-only: nothing of it is tried again in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The process's exit code: 70 consensus stopped, 74 the disk failed, 78 the node was removed
    /// from its cluster.
    pub code: u8,
    /// What happened, for the operator.
    pub reason: String,
}

/// How long consensus's threads may take to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// The cluster as one of its nodes reaches it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    owned: Arc<Owned>,
}

/// Ends consensus's threads with the last handle.
#[derive(Debug)]
struct Owned {
    inside: Arc<Inside>,
    runtime: Mutex<Option<Runtime>>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}

impl Handle {
    pub(crate) fn new(inside: Arc<Inside>, runtime: Runtime) -> Self {
        let runtime = Mutex::new(Some(runtime));
        Handle {
            owned: Arc::new(Owned { inside, runtime }),
        }
    }

    pub(crate) fn inside(&self) -> &Arc<Inside> {
        &self.owned.inside
    }

    /// This node's name.
    pub fn node(&self) -> &NodeId {
        &self.inside().identity.node
    }

    /// This node's number.
    pub fn member(&self) -> MemberId {
        self.inside().me()
    }

    /// The cluster's id.
    pub fn cluster(&self) -> &ClusterId {
        &self.inside().identity.cluster
    }

    /// The state as applied here. Never waits.
    pub fn state(&self) -> Arc<State> {
        self.inside().state()
    }

    /// The state, and every later one; the latest wins.
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.inside().store.states()
    }

    /// How this node stands in its cluster, as far as it knows.
    pub fn status(&self) -> Status {
        self.inside().status()
    }

    /// A leader with a quorum was heard of within twice the longest election timeout, and this node
    /// has applied what was committed then.
    pub fn is_connected(&self) -> bool {
        self.inside().is_connected()
    }

    /// Agrees on a change, through the leader wherever it is. Returns once it is applied here.
    ///
    /// # Errors
    /// [`Error::Rejected`] when nothing changed; [`Error::NoQuorum`] within half a second where no
    /// leader can be reached; [`Error::DiskFull`]; [`Error::Busy`]; [`Error::Timeout`].
    pub async fn propose(
        &self,
        change: Change,
        author: Author,
        patience: Duration,
    ) -> Result<Done, Error> {
        self.inside().agree(change, author, patience).await
    }

    /// The state, as fresh as asked.
    ///
    /// # Errors
    /// [`Error::NoQuorum`] or [`Error::Timeout`] when that cannot be known.
    pub async fn read(
        &self,
        consistency: Consistency,
        patience: Duration,
    ) -> Result<Arc<State>, Error> {
        self.inside().read(consistency, patience).await
    }

    /// The state once its config has at least this revision.
    ///
    /// # Errors
    /// [`Error::Behind`] when it has not after `patience`.
    pub async fn at_least(
        &self,
        revision: Revision,
        patience: Duration,
    ) -> Result<Arc<State>, Error> {
        self.inside().at_least(revision, patience).await
    }

    /// Carries out an order about members, through the leader wherever it is.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason; otherwise as [`Handle::propose`].
    pub async fn order(&self, order: Order, patience: Duration) -> Result<(), Error> {
        self.inside().forward(order, patience).await
    }

    /// Says what the leader goes by, should it be this node.
    pub fn set_policy(&self, policy: Policy) {
        self.inside().policy.send_replace(Arc::new(policy));
    }

    /// Tells the leader this node's evidence, demand and usage; the latest report wins. Boot and
    /// sequence are filled in here. `urgent` goes out at once, the others within 250 ms.
    pub fn report(&self, report: Report, urgent: bool) {
        if let Some(coordinator) = self.inside().coordinator.get() {
            coordinator.report(report, urgent);
        }
    }

    /// What the leader says to this node.
    pub fn heard(&self) -> watch::Receiver<Arc<Heard>> {
        self.inside().heard()
    }

    /// Puts a service behind the node-to-node door for the rest of the node's life; false when there
    /// is one already. Only members reach it; it is called on consensus's threads and must do its
    /// work elsewhere.
    pub fn host(&self, guest: Guest) -> bool {
        self.inside().guests.take(guest)
    }

    /// A connection to the guest behind a member's door; `None` for a member that is not known here.
    pub fn line(&self, member: MemberId) -> Option<Line> {
        self.inside().line(member)
    }

    /// Time since a leader with a quorum was last heard of; `None` while there was none. A leader
    /// hears of itself as long as it has a quorum.
    pub fn last_contact(&self) -> Option<Duration> {
        self.inside().contact().map(|at| at.elapsed())
    }

    /// When the certificate by which other nodes know this one ends, in milliseconds since 1970;
    /// `None` for a node without certificates.
    pub fn certificate_ends_ms(&self) -> Option<u64> {
        self.inside().lines.certificate_ends_ms()
    }

    /// The key by which literal secrets in the agreed config are sealed: made by the first node,
    /// given to each node that joins, kept in a file only its owner can read.
    pub fn seal_key(&self) -> [u8; 32] {
        self.inside().identity.seal_key
    }

    /// Resolves when the node must end.
    pub async fn failed(&self) -> Failure {
        let mut failure = self.inside().failure.subscribe();
        match failure.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(failure)) => failure.clone(),
            // the sender lives as long as this handle
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Hands leadership over if it is here, and tells the leader that this node drains: it gets no
    /// more probes, and of the limits what it still needs. The node stays a member that hears and serves.
    pub async fn drain(&self) {
        self.inside().drain().await;
    }

    /// [`Handle::drain`] was called.
    pub fn is_draining(&self) -> bool {
        let coordinator = self.inside().coordinator.get();
        coordinator.is_some_and(Coordinator::is_draining)
    }

    /// Drains, then stops. What the store holds is on disk when this returns.
    pub async fn shutdown(&self) {
        self.inside().stop().await;
        let runtime = self.owned.runtime.lock().take();
        if let Some(runtime) = runtime {
            let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(FAREWELL));
            let _ = ended.await;
        }
    }
}
