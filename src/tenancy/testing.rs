//! One node's agreed state without a cluster: what is proposed is applied at once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use llm_router_cluster::command::{Change, Command, Done, Outcome};
use llm_router_cluster::{Author, Error, State};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Agreement;
use crate::types::unix_millis;

/// Agrees with itself, unless it is told not to.
#[derive(Debug)]
pub(crate) struct Alone {
    states: watch::Sender<Arc<State>>,
    silence: Mutex<Option<Duration>>,
}

impl Alone {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Alone {
            states: watch::channel(Arc::new(State::default())).0,
            silence: Mutex::new(Some(Duration::ZERO)),
        })
    }

    /// From now on no leader has been heard of for this long.
    pub(crate) fn silent_for(&self, silence: Duration) {
        *self.silence.lock() = Some(silence);
    }

    fn apply(&self, change: Change, author: Author) -> Result<Done, Error> {
        if self.silence() != Some(Duration::ZERO) {
            return Err(Error::NoQuorum {
                retry_after: Duration::from_secs(1),
                maybe_applied: false,
            });
        }
        let command = Command {
            request: author.request,
            at_ms: unix_millis(),
            by: author.by,
            change,
        };
        let mut state = State::clone(&self.states.borrow());
        let outcome = state.apply(1, &command);
        self.states.send_replace(Arc::new(state));
        match outcome {
            Outcome::Done(done) => Ok(done),
            Outcome::Rejected(rejected) => Err(rejected.into()),
        }
    }
}

impl Agreement for Alone {
    fn state(&self) -> Arc<State> {
        self.states.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.states.subscribe()
    }

    fn silence(&self) -> Option<Duration> {
        *self.silence.lock()
    }

    fn propose(
        &self,
        change: Change,
        author: Author,
        _patience: Duration,
    ) -> BoxFuture<'_, Result<Done, Error>> {
        let settled = self.apply(change, author);
        Box::pin(async move { settled })
    }
}
