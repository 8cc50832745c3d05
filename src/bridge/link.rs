//! What the node asks of its cluster.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use llm_router_cluster::command::Change;
use llm_router_cluster::handle::Heard;
use llm_router_cluster::pulse::Report;
use llm_router_cluster::state::{BreakerRecord, TargetId};
use llm_router_cluster::{Author, Done, Error, Handle, MemberId, Policy};
use tokio::sync::watch;

/// A cluster as the node reaches it. Everything but [`Link::propose`] answers at once.
#[async_trait]
pub(crate) trait Link: Send + Sync + 'static {
    /// This node's number.
    fn member(&self) -> MemberId;
    /// A leader with a quorum was heard of lately.
    fn is_connected(&self) -> bool;
    /// This node is about to leave.
    fn is_draining(&self) -> bool;
    /// How many members there are, as far as applied here; at least 1.
    fn members(&self) -> u32;
    /// A member's name.
    fn name_of(&self, member: MemberId) -> Option<String>;
    /// What is agreed about an upstream.
    fn record(&self, target: &TargetId) -> BreakerRecord;
    /// An item after every change of the agreed state, the first at once; those that come while
    /// one is looked at come to one.
    fn changes(&self) -> BoxStream<'static, ()>;
    /// What the leader says.
    fn heard(&self) -> watch::Receiver<Arc<Heard>>;
    /// Tells the leader.
    fn report(&self, report: Report, urgent: bool);
    /// Says what the leader goes by.
    fn set_policy(&self, policy: Policy);
    /// Agrees on a change.
    async fn propose(
        &self,
        change: Change,
        author: Author,
        patience: Duration,
    ) -> Result<Done, Error>;
}

#[async_trait]
impl Link for Handle {
    fn member(&self) -> MemberId {
        Handle::member(self)
    }

    fn is_connected(&self) -> bool {
        Handle::is_connected(self)
    }

    fn is_draining(&self) -> bool {
        Handle::is_draining(self)
    }

    fn members(&self) -> u32 {
        u32::try_from(self.state().members().len())
            .unwrap_or(u32::MAX)
            .max(1)
    }

    fn name_of(&self, member: MemberId) -> Option<String> {
        let state = self.state();
        state
            .members()
            .get(&member)
            .map(|member| member.name.to_string())
    }

    fn record(&self, target: &TargetId) -> BreakerRecord {
        self.state()
            .breakers()
            .get(target)
            .cloned()
            .unwrap_or_default()
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        let mut states = self.watch();
        states.mark_changed();
        stream::unfold(states, |mut states| async move {
            states.changed().await.ok()?;
            Some(((), states))
        })
        .boxed()
    }

    fn heard(&self) -> watch::Receiver<Arc<Heard>> {
        Handle::heard(self)
    }

    fn report(&self, report: Report, urgent: bool) {
        Handle::report(self, report, urgent);
    }

    fn set_policy(&self, policy: Policy) {
        Handle::set_policy(self, policy);
    }

    async fn propose(
        &self,
        change: Change,
        author: Author,
        patience: Duration,
    ) -> Result<Done, Error> {
        Handle::propose(self, change, author, patience).await
    }
}
