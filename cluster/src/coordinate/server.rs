//! Exchanges that other nodes opened with this one while it leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_stream::wrappers::WatchStream;

use super::board::Board;
use crate::error::Error;
use crate::identity::MemberId;
use crate::pulse::{Directive, Report};
use crate::state::MAX_MEMBERS;

/// What a node that was sent to the wrong place is told to wait.
const RETRY: Duration = Duration::from_millis(100);

/// The exchanges, one for each node.
#[derive(Debug, Default)]
pub(super) struct Streams {
    by_member: BTreeMap<MemberId, Exchange>,
    opened: u64,
}

/// Ends when it is dropped.
#[derive(Debug)]
struct Exchange {
    id: u64,
    /// The latest wins: a node that reads slowly gets what is true then.
    directives: watch::Sender<Option<Arc<Directive>>>,
    pump: Option<AbortHandle>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(pump) = &self.pump {
            pump.abort();
        }
    }
}

impl Streams {
    /// Nodes that are connected.
    pub(super) fn members(&self) -> Vec<MemberId> {
        self.by_member.keys().copied().collect()
    }

    /// Says something to a node, if it is connected.
    pub(super) fn say(&self, member: MemberId, directive: Directive) {
        if let Some(exchange) = self.by_member.get(&member) {
            exchange.directives.send_replace(Some(Arc::new(directive)));
        }
    }

    /// Ends all of them, so that their nodes look for the leader.
    pub(super) fn end(&mut self) {
        self.by_member.clear();
    }

    /// Ends those of other members.
    pub(super) fn retain(&mut self, stays: impl Fn(MemberId) -> bool) {
        self.by_member.retain(|member, _| stays(*member));
    }

    fn remove(&mut self, member: MemberId, id: u64) {
        if self
            .by_member
            .get(&member)
            .is_some_and(|exchange| exchange.id == id)
        {
            self.by_member.remove(&member);
        }
    }
}

/// See [`super::Coordinator::accept`].
pub(super) fn accept(
    board: &Arc<Board>,
    tasks: &Mutex<JoinSet<()>>,
    from: MemberId,
    reports: BoxStream<'static, Report>,
) -> Result<BoxStream<'static, Directive>, Error> {
    let mut streams = board.streams.lock();
    // asked under the lock: the leader part ends all streams under it once this has changed
    if !board.leading.borrow().leading {
        return Err(Error::NoQuorum {
            retry_after: RETRY,
            maybe_applied: false,
        });
    }
    let known = streams.by_member.contains_key(&from);
    if !known && streams.by_member.len() >= MAX_MEMBERS {
        return Err(Error::Busy);
    }
    streams.opened += 1;
    let id = streams.opened;
    let directives = watch::Sender::<Option<Arc<Directive>>>::default();
    let said = WatchStream::from_changes(directives.subscribe());
    let said = said.filter_map(|said| async move { said.map(Arc::unwrap_or_clone) });
    let mut tasks = tasks.lock();
    while tasks.try_join_next().is_some() {}
    let pump = tasks.spawn(pump(Arc::clone(board), from, id, reports));
    let exchange = Exchange {
        id,
        directives,
        pump: Some(pump),
    };
    streams.by_member.insert(from, exchange);
    Ok(said.boxed())
}

/// Carries a node's reports to the leader part.
async fn pump(board: Arc<Board>, from: MemberId, id: u64, mut reports: BoxStream<'static, Report>) {
    while let Some(report) = reports.next().await {
        if board.inbox.send((from, report)).await.is_err() {
            break;
        }
    }
    board.streams.lock().remove(from, id);
}
