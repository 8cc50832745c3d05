//! A running node of the cluster: the parts, and how they stand to each other.
//!
//! [`Inside`] is what [`crate::Handle`] hands orders to from within the node, and what the
//! node-to-node door calls from outside. Whatever needs the leader is carried out here if this
//! node leads, and otherwise carried to the one that does.

mod addresses;
mod ending;
mod forward;
mod leading;
mod members;
mod propose;
mod read;
mod seat;
mod settings;
mod tries;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;

use crate::coordinate::{Coordinator, Leadership, Progress};
use crate::error::{Error, Refused};
use crate::handle::{Failure, Heard};
use crate::identity::{MemberId, NodeId};
use crate::policy::Policy;
use crate::raft::{Peer, index};
use crate::start::Timing;
use crate::state::State;
use crate::status::{Member, Role, Status};
use crate::store::{Identity, Store};
use crate::transport::{GuestRoom, Line, Lines, Peers, Purpose, Raft, Signature};

pub(crate) use addresses::{keep_addresses, look_for_others};
pub(crate) use leading::follow_leadership;
pub(crate) use members::keep_membership;
pub(crate) use settings::settings;

/// Changes waiting at once; more are told to come back.
pub(crate) const MAX_WAITING: usize = 1024;
/// How long a node without a leader hopes for one before it says no.
pub(crate) const HOPE: Duration = Duration::from_millis(450);

/// The exit code of a node that was removed: `EX_CONFIG`, for starting it again does not help.
const DISMISSED: u8 = 78;

/// Who the node is and where it is reached.
pub(crate) struct Place {
    pub(crate) identity: Identity,
    pub(crate) address: String,
    pub(crate) timing: Timing,
}

/// A running node of the cluster.
pub(crate) struct Inside {
    pub(crate) identity: Identity,
    pub(crate) address: String,
    pub(crate) timing: Timing,
    pub(crate) store: Store,
    pub(crate) peers: Peers,
    pub(crate) lines: Lines,
    pub(crate) raft: OnceCell<Raft>,
    pub(crate) coordinator: OnceCell<Coordinator>,
    pub(crate) leading: watch::Sender<Leadership>,
    pub(crate) policy: watch::Sender<Arc<Policy>>,
    pub(crate) failure: watch::Sender<Option<Failure>>,
    pub(crate) waiting: Arc<Semaphore>,
    /// Serialises changes of the membership made by this node as leader.
    pub(crate) membership: tokio::sync::Mutex<()>,
    pub(crate) tasks: Mutex<JoinSet<()>>,
    pub(crate) guests: GuestRoom,
}

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inside")
            .field("node", &self.identity.node)
            .field("member", &self.identity.member)
            .finish_non_exhaustive()
    }
}

impl Inside {
    pub(crate) fn new(place: Place, store: Store, lines: Lines) -> Self {
        Inside {
            identity: place.identity,
            address: place.address,
            timing: place.timing,
            store,
            peers: Peers::new(lines.clone()),
            lines,
            raft: OnceCell::new(),
            coordinator: OnceCell::new(),
            leading: watch::Sender::default(),
            policy: watch::Sender::default(),
            failure: watch::Sender::default(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            membership: tokio::sync::Mutex::default(),
            tasks: Mutex::default(),
            guests: GuestRoom::default(),
        }
    }

    /// A connection to a member's cache; `None` for one that is not known here.
    pub(crate) fn line(&self, member: MemberId) -> Option<Line> {
        let state = self.state();
        let record = state.members().get(&member)?;
        let peer = Peer {
            name: record.name.clone(),
            address: record.address.clone(),
        };
        let channel = self.lines.to(&peer, Purpose::Guest);
        Some(Line::new(channel, Signature::new(self.lines.clone())))
    }

    /// This node's number.
    pub(crate) fn me(&self) -> MemberId {
        self.identity.member
    }

    /// The state as applied here.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.store.states().borrow())
    }

    /// Who leads, as far as known.
    pub(crate) fn leadership(&self) -> Leadership {
        self.leading.borrow().clone()
    }

    /// When a leader with a quorum was last heard of; a leader's own quorum, where this node leads.
    pub(crate) fn contact(&self) -> Option<tokio::time::Instant> {
        let leads = self.raft.get().and_then(leading::acknowledged);
        leads.or_else(|| self.heard().borrow().at)
    }

    /// A leader with a quorum was heard of within twice the longest election timeout, and this node
    /// has applied what was committed then.
    pub(crate) fn is_connected(&self) -> bool {
        let keeps_up = |coordinator: &Coordinator| coordinator.keeps_up(self.progress().applied);
        self.leadership().leading || self.coordinator.get().is_some_and(keeps_up)
    }

    /// How far the log has come here.
    pub(crate) fn progress(&self) -> Progress {
        let Some(raft) = self.raft.get() else {
            return Progress::default();
        };
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        Progress {
            applied: index(metrics.last_applied),
            committed: index(metrics.cluster_committed.max(metrics.local_committed)),
        }
    }

    /// What the leader says.
    pub(crate) fn heard(&self) -> watch::Receiver<Arc<Heard>> {
        match self.coordinator.get() {
            Some(coordinator) => coordinator.heard(),
            // before the first moment of its life nothing was heard
            None => watch::channel(Arc::default()).1,
        }
    }

    /// Another member said no. One that says that this node is no member any more ends it: what it
    /// knows grows old, and nothing will ever tell it.
    pub(crate) fn heed(&self, error: &Error) {
        if let Error::Refused(Refused::NotMember { name }) = error
            && name == self.identity.node.as_str()
        {
            self.dismissed();
        }
    }

    /// This node was taken out of the cluster.
    pub(crate) fn dismissed(&self) {
        let reason = "this node was removed from the cluster: start it with an empty data directory \
                      to join again";
        self.fail(DISMISSED, reason.to_owned());
    }

    /// Ends the node; the first reason stands.
    pub(crate) fn fail(&self, code: u8, reason: String) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                *failure = Some(Failure { code, reason });
            }
            first
        });
    }

    /// How this node stands.
    pub(crate) fn status(&self) -> Status {
        let (state, leadership) = (self.state(), self.leadership());
        let metrics = self
            .raft
            .get()
            .map(|raft| raft.metrics().borrow_watched().clone());
        let voters = metrics.map_or_else(BTreeSet::new, |metrics| {
            metrics.membership_config.voter_ids().collect()
        });
        let progress = self.progress();
        let leader = leadership.leader.as_ref().map(|(member, _)| *member);
        let alive = self.alive(leader);
        let nodes = state.members().values().map(|record| Member {
            id: record.name.clone(),
            member: record.member,
            role: match record.member {
                member if Some(member) == leader => Role::Leader,
                member if voters.contains(&member.0) => Role::Voter,
                _ => Role::Learner,
            },
            address: record.address.clone(),
            alive: alive.contains(&record.member),
            level: record.level,
        });
        let contact = self.contact().map(|at| at.elapsed().as_millis());
        Status {
            node: self.identity.node.clone(),
            member: self.me(),
            cluster: self.identity.cluster.clone(),
            leader: leadership.leader.map(|(_, peer)| peer.name),
            term: leadership.term,
            revision: state.revision(),
            applied: progress.applied,
            committed: progress.committed,
            connected: self.is_connected(),
            leader_contact_ms: contact.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
            nodes: nodes.collect(),
        }
    }

    fn alive(&self, leader: Option<MemberId>) -> BTreeSet<MemberId> {
        let mut alive = match self.coordinator.get() {
            Some(coordinator) => coordinator.alive(),
            None => BTreeSet::new(),
        };
        alive.insert(self.me());
        alive.extend(self.answering());
        if let Some(leader) = leader.filter(|_| self.is_connected()) {
            alive.insert(leader);
        }
        alive
    }

    /// Members that answered this node's heartbeats lately, while it leads.
    fn answering(&self) -> Vec<MemberId> {
        let Some(raft) = self.raft.get() else {
            return Vec::new();
        };
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let patience = self.timing.election_max * 2;
        let lately = metrics.heartbeat.iter().flatten().filter(|(_, at)| {
            at.as_ref()
                .is_some_and(|at| openraft::Instant::elapsed(&**at) < patience)
        });
        lately.map(|(member, _)| MemberId(*member)).collect()
    }

    /// A member's number by its name.
    pub(crate) fn member_called(&self, name: &NodeId) -> Option<MemberId> {
        let state = self.state();
        let found = state.members().values().find(|record| record.name == *name);
        found.map(|record| record.member)
    }

    /// Runs a task until the node stops.
    pub(crate) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().spawn(task);
    }

    /// Waits until the state holds what `enough` looks for.
    pub(crate) async fn until(&self, patience: Duration, enough: impl Fn(&State) -> bool) -> bool {
        let states = tokio_stream::wrappers::WatchStream::new(self.store.states());
        let found = states.filter(|state| enough(state));
        tokio::pin!(found);
        matches!(
            tokio::time::timeout(patience, found.next()).await,
            Ok(Some(_))
        )
    }
}
