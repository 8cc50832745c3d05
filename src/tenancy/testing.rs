//! One node's agreed state without a cluster: what is proposed is applied at once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use llm_router_cluster::NodeId;
use llm_router_cluster::command::{Change, Command, Done, Outcome};
use llm_router_cluster::{Author, Consistency, Error, State};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Agreement;
use crate::types::unix_millis;

/// Agrees with itself, unless it is told not to.
#[derive(Debug)]
pub(crate) struct Alone {
    /// What everybody has agreed on.
    newest: Mutex<State>,
    /// What this node has applied of it.
    states: watch::Sender<Arc<State>>,
    lags: Mutex<bool>,
    silence: Mutex<Option<Duration>>,
}

impl Alone {
    /// A cluster of one that has begun.
    pub(crate) fn new() -> Arc<Self> {
        let alone = Alone::joining();
        let begin = Change::Begin {
            cluster: "c-1".to_owned(),
            name: NodeId::parse("n1").unwrap(),
            address: "127.0.0.1:7400".to_owned(),
            level: 1,
        };
        alone.apply(begin, Author::new("start")).unwrap();
        alone
    }

    /// A node that has heard nothing yet.
    pub(crate) fn joining() -> Arc<Self> {
        Arc::new(Alone {
            newest: Mutex::default(),
            states: watch::channel(Arc::default()).0,
            lags: Mutex::default(),
            silence: Mutex::new(Some(Duration::ZERO)),
        })
    }

    /// From now on what is agreed on is applied here only when somebody asks for the newest.
    pub(crate) fn lag(&self) {
        *self.lags.lock() = true;
    }

    fn catch_up(&self) {
        let newest = self.newest.lock().clone();
        self.states.send_replace(Arc::new(newest));
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
        let outcome = self.newest.lock().apply(1, &command);
        if !*self.lags.lock() {
            self.catch_up();
        }
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

    fn read(
        &self,
        consistency: Consistency,
        _patience: Duration,
    ) -> BoxFuture<'_, Result<Arc<State>, Error>> {
        let local = consistency == Consistency::Local;
        let silent = !local && self.silence() != Some(Duration::ZERO);
        if !local {
            self.catch_up();
        }
        Box::pin(async move {
            match silent {
                true => Err(Error::Timeout),
                false => Ok(self.state()),
            }
        })
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
