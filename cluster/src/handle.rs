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

use tokio::sync::watch;

use crate::command::{Change, Done, RequestId};
use crate::error::Error;
use crate::identity::{ClusterId, MemberId, NodeId, Revision};
use crate::policy::Policy;
use crate::pulse::{Directive, Report};
use crate::state::State;
use crate::status::Status;

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
    /// The process's exit code: 70 consensus stopped, 74 the disk failed.
    pub code: u8,
    /// What happened, for the operator.
    pub reason: String,
}

/// The cluster as one of its nodes reaches it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) inner: Arc<()>,
}

#[expect(
    unused_variables,
    clippy::unimplemented,
    clippy::unused_async,
    reason = "the contract, before its author has come"
)]
impl Handle {
    /// This node's name.
    pub fn node(&self) -> &NodeId {
        unimplemented!()
    }

    /// This node's number.
    pub fn member(&self) -> MemberId {
        unimplemented!()
    }

    /// The cluster's id.
    pub fn cluster(&self) -> &ClusterId {
        unimplemented!()
    }

    /// The state as applied here. Never waits.
    pub fn state(&self) -> Arc<State> {
        unimplemented!()
    }

    /// The state, and every later one; the latest wins.
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        unimplemented!()
    }

    /// How this node stands in its cluster, as far as it knows.
    pub fn status(&self) -> Status {
        unimplemented!()
    }

    /// A leader with a quorum was heard of within twice the longest election timeout.
    pub fn is_connected(&self) -> bool {
        unimplemented!()
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
        unimplemented!()
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
        unimplemented!()
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
        unimplemented!()
    }

    /// Carries out an order about members, through the leader wherever it is.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason; otherwise as [`Handle::propose`].
    pub async fn order(&self, order: Order, patience: Duration) -> Result<(), Error> {
        unimplemented!()
    }

    /// Says what the leader goes by, should it be this node.
    pub fn set_policy(&self, policy: Policy) {
        unimplemented!()
    }

    /// Tells the leader this node's evidence, demand and usage; the latest report wins. Boot and
    /// sequence are filled in here. `urgent` goes out at once, the others within 250 ms.
    pub fn report(&self, report: Report, urgent: bool) {
        unimplemented!()
    }

    /// What the leader says to this node.
    pub fn heard(&self) -> watch::Receiver<Arc<Heard>> {
        unimplemented!()
    }

    /// The key by which literal secrets in the agreed config are sealed: made by the first node,
    /// given to each node that joins, kept in a file only its owner can read.
    pub fn seal_key(&self) -> [u8; 32] {
        unimplemented!()
    }

    /// Resolves when the node must end.
    pub async fn failed(&self) -> Failure {
        unimplemented!()
    }

    /// Hands leadership over if it is here, tells the leader that this node drains, and stops.
    pub async fn shutdown(&self) {
        unimplemented!()
    }
}
