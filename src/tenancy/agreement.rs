//! What the keys ask of the cluster, so that they can be tested without one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use llm_router_cluster::command::{Change, Done};
use llm_router_cluster::{Author, Consistency, Handle, State};
use tokio::sync::watch;

/// Where keys are agreed on.
pub trait Agreement: fmt::Debug + Send + Sync + 'static {
    /// The state as applied here.
    fn state(&self) -> Arc<State>;

    /// The state, and every later one.
    fn watch(&self) -> watch::Receiver<Arc<State>>;

    /// The state, as fresh as asked.
    fn read(
        &self,
        consistency: Consistency,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Arc<State>, llm_router_cluster::Error>>;

    /// How long no leader with a quorum was heard of: zero while one is, `None` when none ever was.
    fn silence(&self) -> Option<Duration>;

    /// Agrees on a change.
    fn propose(
        &self,
        change: Change,
        author: Author,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Done, llm_router_cluster::Error>>;
}

impl Agreement for Handle {
    fn state(&self) -> Arc<State> {
        Handle::state(self)
    }

    fn watch(&self) -> watch::Receiver<Arc<State>> {
        Handle::watch(self)
    }

    fn read(
        &self,
        consistency: Consistency,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Arc<State>, llm_router_cluster::Error>> {
        Box::pin(Handle::read(self, consistency, patience))
    }

    fn silence(&self) -> Option<Duration> {
        if self.is_connected() {
            return Some(Duration::ZERO);
        }
        let heard = self.heard().borrow().at;
        heard.map(|at| at.elapsed())
    }

    fn propose(
        &self,
        change: Change,
        author: Author,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Done, llm_router_cluster::Error>> {
        Box::pin(Handle::propose(self, change, author, patience))
    }
}
