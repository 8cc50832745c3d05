//! What a leader decides without the log, and what it proposes to it.
//!
//! Every node runs a `Coordinator`. On each the *node* part tells the leader what the node sees and
//! wants, and publishes what the leader answers; on the leader the *leader* part judges breakers,
//! lends shares of the limits and proposes transitions.
//!
//! ```text
//!   node ── reports ──► leader ── Change::Breakers ──► log
//!   node ◄─ directives ─ leader
//! ```
//!
//! Decisions are made by [`Judge`] and [`Lender`], which know no clock and no network. Nothing here
//! is kept: a new leader knows everything after one report of each node.

mod board;
mod contact;
mod holdings;
pub mod judge;
mod latest;
mod leader;
pub mod lender;
mod node;
mod outbox;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::board::Board;
use self::leader::Leader;
use crate::command::{Change, Outcome};
use crate::error::Error;
use crate::handle::Heard;
use crate::identity::{BootId, MemberId, NodeId};
use crate::policy::Policy;
use crate::pulse::{Directive, Report};
use crate::raft::Peer;
use crate::start::Timing;
use crate::state::State;

pub use judge::Judge;
pub use lender::Lender;

/// Who leads, as far as this node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// The term.
    pub(crate) term: u64,
    /// Its leader.
    pub(crate) leader: Option<(MemberId, Peer)>,
    /// This node leads, and a quorum follows it.
    pub(crate) leading: bool,
}

/// How far the log has come on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last entry applied here.
    pub(crate) applied: u64,
    /// The last entry known to be committed.
    pub(crate) committed: u64,
}

/// What a coordinator asks of its own node.
#[tonic::async_trait]
pub(crate) trait Propose: Send + Sync + 'static {
    /// Takes a proposal while this node leads; forwards nothing. Resolves once the change is
    /// applied here.
    async fn propose(&self, change: Change, by: &str) -> Result<Outcome, Error>;
    /// What is left on this node's disk, in MiB, if that is too little for changes.
    fn full(&self) -> Option<u64>;
    /// How far the log has come.
    fn progress(&self) -> Progress;
    /// Another member said no.
    fn heed(&self, error: &Error);
}

/// Reaches the leader.
#[tonic::async_trait]
pub(crate) trait Link: Send + Sync + 'static {
    /// Opens the exchange.
    async fn exchange(
        &self,
        peer: &Peer,
        reports: BoxStream<'static, Report>,
    ) -> Result<BoxStream<'static, Result<Directive, Error>>, Error>;
}

/// What a coordinator is born with.
pub(crate) struct Surroundings {
    /// This node's number.
    pub(crate) me: MemberId,
    /// Its name.
    pub(crate) node: NodeId,
    /// This run of it.
    pub(crate) boot: BootId,
    /// The agreed state as applied here.
    pub(crate) states: watch::Receiver<Arc<State>>,
    /// Who leads.
    pub(crate) leading: watch::Receiver<Leadership>,
    /// What the leader goes by.
    pub(crate) policy: watch::Receiver<Arc<Policy>>,
    /// Raft's clockwork.
    pub(crate) timing: Timing,
    /// Where proposals go.
    pub(crate) propose: Arc<dyn Propose>,
    /// How the leader is reached.
    pub(crate) link: Arc<dyn Link>,
}

/// See the module. Cheap to clone; its tasks end with the last clone.
#[derive(Clone)]
pub(crate) struct Coordinator {
    board: Arc<Board>,
    tasks: Arc<Mutex<JoinSet<()>>>,
    contact: Duration,
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator")
            .field("me", &self.board.me)
            .finish_non_exhaustive()
    }
}

impl Coordinator {
    /// Starts the node part and the leader part. To be called within a runtime.
    pub(crate) fn start(surroundings: Surroundings) -> Self {
        let Surroundings {
            me,
            node,
            boot,
            states,
            leading,
            policy,
            timing,
            propose,
            link,
        } = surroundings;
        let contact = timing.election_max.saturating_mul(2);
        let (board, inbox) = Board::new((me, boot), leading.clone(), contact);
        let mut tasks = JoinSet::new();
        let leader = Leader::new(Arc::clone(&board), states, policy, Arc::clone(&propose));
        tasks.spawn(leader.run(leading.clone(), inbox));
        tasks.spawn(node::run(Arc::clone(&board), leading, (propose, link)));
        tracing::debug!(node = %node, member = %me, "coordinator started");
        Coordinator {
            board,
            tasks: Arc::new(Mutex::new(tasks)),
            contact,
        }
    }

    /// Tells the leader this node's evidence, demand and usage; the latest report wins. Boot,
    /// sequence and what is held are filled in here.
    pub(crate) fn report(&self, report: Report, urgent: bool) {
        self.board.put(report, urgent);
    }

    /// What the leader says to this node.
    pub(crate) fn heard(&self) -> watch::Receiver<Arc<Heard>> {
        self.board.heard.subscribe()
    }

    /// The leader was heard of lately, and a node that has applied so much has what it has.
    pub(crate) fn keeps_up(&self, applied: u64) -> bool {
        let contact = self.board.contact.lock();
        contact.holds(applied, Instant::now())
    }

    /// A node's exchange. Only while this node leads; another of the same node ends the first.
    ///
    /// # Errors
    /// [`Error::NoQuorum`] where this node does not lead, [`Error::Busy`] when too many nodes are
    /// connected.
    pub(crate) fn accept(
        &self,
        from: MemberId,
        reports: BoxStream<'static, Report>,
    ) -> Result<BoxStream<'static, Directive>, Error> {
        server::accept(&self.board, &self.tasks, from, reports)
    }

    /// Members heard of lately: by the leader's word, and this node itself.
    pub(crate) fn alive(&self) -> BTreeSet<MemberId> {
        let heard = self.board.heard.borrow();
        let fresh = heard.at.is_some_and(|at| at.elapsed() < self.contact);
        let told = fresh.then_some(&heard.directive.figures.alive);
        let told = told.into_iter().flatten().copied();
        told.chain([self.board.me]).collect()
    }

    /// Nodes that told this leader of a full disk, and what is left on it in MiB.
    pub(crate) fn full(&self) -> BTreeMap<MemberId, u64> {
        self.board.full.lock().clone()
    }

    /// This node wants no probes from now on, and of the limits only what it still needs.
    pub(crate) fn drain(&self) {
        self.board.drain();
    }

    /// It does already.
    pub(crate) fn is_draining(&self) -> bool {
        self.board.is_draining()
    }
}

#[cfg(test)]
mod tests;
