//! What the node-to-node door may ask of this node.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures::stream::BoxStream;

use super::Inside;
use crate::command::{Change, Command, Outcome, RequestId};
use crate::coordinate::{Link, Progress, Propose};
use crate::error::Error;
use crate::handle::{Consistency, Order};
use crate::identity::{ClusterId, MemberId, NodeId};
use crate::pulse::{Directive, Report};
use crate::raft::Peer;
use crate::transport::{Core, GuestRoom, JoinRequest, Joined, Peers, Proposed, Seat};

#[tonic::async_trait]
impl Seat for Inside {
    fn raft(&self) -> Option<Arc<dyn Core>> {
        let raft = self.raft.get().cloned()?;
        Some(Arc::new(raft))
    }

    fn cluster(&self) -> Option<ClusterId> {
        Some(self.identity.cluster.clone())
    }

    fn node(&self) -> NodeId {
        self.identity.node.clone()
    }

    fn member(&self) -> Option<MemberId> {
        Some(self.me())
    }

    fn leader(&self) -> Option<(MemberId, Peer)> {
        self.leadership().leader
    }

    fn name_of(&self, member: MemberId) -> Option<NodeId> {
        let state = self.state();
        let record = state.members().get(&member);
        record.map(|record| record.name.clone())
    }

    fn has_retired(&self, member: MemberId) -> bool {
        self.state().is_retired(member)
    }

    fn guests(&self) -> &GuestRoom {
        &self.guests
    }

    fn receiving(&self) -> io::Result<PathBuf> {
        self.store.receiving()
    }

    async fn propose(&self, command: Command) -> Result<Proposed, Error> {
        self.append(command).await
    }

    async fn read_index(&self) -> Result<u64, Error> {
        Inside::read_index(self, Consistency::Linearizable).await
    }

    async fn join(&self, request: JoinRequest) -> Result<Joined, Error> {
        self.let_in(request).await
    }

    async fn order(&self, order: Order) -> Result<(), Error> {
        self.carry_out(order).await
    }

    fn exchange(
        &self,
        from: MemberId,
        reports: BoxStream<'static, Report>,
    ) -> Result<BoxStream<'static, Directive>, Error> {
        let coordinator = self.coordinator.get().ok_or(Error::Stopped)?;
        coordinator.accept(from, reports)
    }
}

/// The pulse to whoever leads.
#[tonic::async_trait]
impl Link for Peers {
    async fn exchange(
        &self,
        leader: &Peer,
        reports: BoxStream<'static, Report>,
    ) -> Result<BoxStream<'static, Result<Directive, Error>>, Error> {
        Peers::exchange(self, leader, reports).await
    }
}

/// What the coordinator asks: what the leader's judge proposes goes straight into the log.
#[tonic::async_trait]
impl Propose for Inside {
    async fn propose(&self, change: Change, by: &str) -> Result<Outcome, Error> {
        let command = Command {
            request: RequestId(rand::random()),
            at_ms: crate::clock::unix_ms(),
            by: by.to_owned(),
            change,
        };
        self.write(command).await.map(|proposed| proposed.outcome)
    }

    fn full(&self) -> Option<u64> {
        let room = self.store.room();
        room.full.then_some(room.free_mib)
    }

    fn progress(&self) -> Progress {
        Inside::progress(self)
    }

    fn heed(&self, error: &Error) {
        Inside::heed(self, error);
    }
}
