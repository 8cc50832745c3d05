//! How the members of a cluster reach one another.
//!
//! ```text
//!  Network ─┐ append, vote     own channel              ┌─ Raft
//!           ├ heartbeat        own channel      Door ───┤
//!           ├ snapshot         own channel              ├─ Seat: propose, read index,
//!  Peers  ──┤ propose, pulse   own channel              │        join, order, pulse
//!  Line   ──┘ cache            own channel              └─ Guest: the node's cache
//! ```
//!
//! Each purpose has its own connection, or a large snapshot would hold up the heartbeats and cause
//! an election. Every call has a deadline; every call says which cluster it is of and who makes it;
//! the [`Door`] believes that only as far as the caller's certificate goes.

mod call;
mod dial;
mod door;
mod line;
mod lines;
mod network;
mod peers;
mod sending;
mod stream;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures::stream::BoxStream;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::storage::RaftStateMachine;
use openraft::type_config::alias::{SnapshotOf, VoteOf};

use crate::command::{Command, Outcome, RequestId};
use crate::error::Error;
use crate::handle::Order;
use crate::identity::{ClusterId, MemberId, NodeId};
use crate::pulse::{Directive, Report};
use crate::raft::{Peer, TypeConfig};
use crate::store::{Machine, SnapshotFile};

pub(crate) use door::{Door, GuestRoom};
pub use door::{Guest, Visitor};
pub use line::Line;
pub(crate) use line::Signature;
pub(crate) use lines::{Lines, Origin, Purpose};
pub(crate) use network::Network;
pub(crate) use peers::{ORDER, PROPOSE, Peers, READ_INDEX};

/// openraft over our store.
pub(crate) type Raft = openraft::Raft<TypeConfig, Machine>;

/// An outcome, and where in the log it was decided: whoever proposed waits until it is applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Proposed {
    pub(crate) outcome: Outcome,
    pub(crate) index: u64,
}

/// A node that wants to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinRequest {
    /// The same for every try of one node to be let in: let in twice is let in once.
    pub(crate) request: RequestId,
    /// The cluster its data belongs to, if it has any.
    pub(crate) cluster: Option<ClusterId>,
    /// Its name.
    pub(crate) node: NodeId,
    /// Where it is reached.
    pub(crate) address: String,
    /// The highest command level it understands.
    pub(crate) level: u16,
}

/// What a node is given that was let in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    /// The cluster.
    pub(crate) cluster: ClusterId,
    /// Its number.
    pub(crate) member: MemberId,
    /// The key that seals the agreed config's literal secrets.
    pub(crate) seal_key: [u8; 32],
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Joined({} as {})", self.cluster, self.member)
    }
}

/// What the door asks of the node behind it.
#[tonic::async_trait]
pub(crate) trait Seat: Send + Sync + 'static {
    /// Raft, once the node is a member.
    fn raft(&self) -> Option<Arc<dyn Core>>;
    /// The cluster, once the node is a member.
    fn cluster(&self) -> Option<ClusterId>;
    /// This node's name.
    fn node(&self) -> NodeId;
    /// Its number, once it is a member.
    fn member(&self) -> Option<MemberId>;
    /// Who leads, as far as known: callers with something for the leader are sent there.
    fn leader(&self) -> Option<(MemberId, Peer)>;
    /// The name of a member, if this node knows it.
    fn name_of(&self, member: MemberId) -> Option<NodeId>;
    /// It was a member and is none any more.
    fn has_retired(&self, member: MemberId) -> bool;
    /// Where the service sits that peers' caches call.
    fn guests(&self) -> &GuestRoom;
    /// A fresh file for an incoming snapshot.
    fn receiving(&self) -> io::Result<PathBuf>;
    /// Agrees on a command, if this node leads; [`Error::NoQuorum`] if not.
    async fn propose(&self, command: Command) -> Result<Proposed, Error>;
    /// The index a linearizable read waits for, if this node leads.
    async fn read_index(&self) -> Result<u64, Error>;
    /// Lets a node in, if this node leads.
    async fn join(&self, join: JoinRequest) -> Result<Joined, Error>;
    /// Carries out an order, if this node leads.
    async fn order(&self, order: Order) -> Result<(), Error>;
    /// A member's reports to this node, and what this node says to it, if it leads.
    fn exchange(
        &self,
        from: MemberId,
        reports: BoxStream<'static, Report>,
    ) -> Result<BoxStream<'static, Directive>, Error>;
}

/// The part of openraft that answers peers, whatever state machine it drives.
#[tonic::async_trait]
pub(crate) trait Core: Send + Sync + 'static {
    /// Entries from a leader.
    async fn append(
        &self,
        request: AppendEntriesRequest<TypeConfig>,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Stopped>;
    /// A candidate's request.
    async fn vote(
        &self,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, Stopped>;
    /// A candidate's question beforehand.
    async fn pre_vote(
        &self,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, Stopped>;
    /// A whole snapshot from a leader.
    async fn install(
        &self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
    ) -> Result<SnapshotResponse<TypeConfig>, Stopped>;
    /// The leader hands over.
    async fn transfer(
        &self,
        request: TransferLeaderRequest<TypeConfig>,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Stopped>;
}

/// Raft has stopped in this process and answers nobody any more.
#[derive(Debug)]
pub(crate) struct Stopped(pub(crate) String);

#[tonic::async_trait]
impl<M> Core for openraft::Raft<TypeConfig, M>
where
    M: RaftStateMachine<TypeConfig, SnapshotData = SnapshotFile>,
{
    async fn append(
        &self,
        request: AppendEntriesRequest<TypeConfig>,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Stopped> {
        self.append_entries(request).await.map_err(stopped)
    }

    async fn vote(
        &self,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, Stopped> {
        openraft::Raft::vote(self, request).await.map_err(stopped)
    }

    async fn pre_vote(
        &self,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, Stopped> {
        openraft::Raft::pre_vote(self, request)
            .await
            .map_err(stopped)
    }

    async fn install(
        &self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
    ) -> Result<SnapshotResponse<TypeConfig>, Stopped> {
        self.install_full_snapshot(vote, snapshot)
            .await
            .map_err(stopped)
    }

    async fn transfer(
        &self,
        request: TransferLeaderRequest<TypeConfig>,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Stopped> {
        self.handle_transfer_leader(request).await.map_err(stopped)
    }
}

fn stopped(error: impl fmt::Display) -> Stopped {
    Stopped(error.to_string())
}

#[cfg(test)]
mod tests;
