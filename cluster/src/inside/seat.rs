//! What the node-to-node door may ask of this node.

use std::io;
use std::path::PathBuf;

use futures::stream::BoxStream;

use super::Inside;
use crate::command::{Change, Command, Outcome, RequestId};
use crate::coordinate::Propose;
use crate::error::Error;
use crate::handle::{Consistency, Order};
use crate::identity::{ClusterId, MemberId, NodeId};
use crate::pulse::{Directive, Report};
use crate::transport::{JoinRequest, Joined, Proposed, Raft, Seat};

#[tonic::async_trait]
impl Seat for Inside {
    fn raft(&self) -> Option<Raft> {
        self.raft.get().cloned()
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

/// What the leader's judge proposes goes straight into the log.
#[tonic::async_trait]
impl Propose for Inside {
    async fn propose(&self, change: Change, by: &str) -> Result<Outcome, Error> {
        let command = Command {
            request: RequestId(rand::random()),
            at_ms: crate::clock::unix_ms(),
            by: by.to_owned(),
            change,
        };
        self.append(command).await.map(|proposed| proposed.outcome)
    }
}
