//! Sees that consensus still runs, from a thread of its own that no load can starve.
//!
//! Crash-only: openraft never starts itself again after a storage error or a panic, and a failed
//! fsync must not be tried again, so the node ends and whoever runs it starts it anew.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::Fatal;
use tokio::time::Instant;

use crate::identity::NodeId;
use crate::inside::Inside;
use crate::raft::index;
use crate::transport::Raft;

/// Consensus stopped (EX_SOFTWARE).
const BROKEN: u8 = 70;
/// The disk failed (EX_IOERR).
const DISK: u8 = 74;
/// How often to look.
const LOOK: Duration = Duration::from_millis(100);
/// Every so many looks the leader looks for its members too: once a second.
const LOOKS_AT_MEMBERS: u32 = 10;
/// Entries committed but not applied that mean the node lags.
const LAG: u64 = 1000;
/// How long it may lag before that is said.
const LAG_PATIENCE: Duration = Duration::from_secs(5);

/// Starts the thread; it ends with the node.
pub(crate) fn watch(inside: &Arc<Inside>, raft: Raft) -> std::io::Result<()> {
    let weak = Arc::downgrade(inside);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let look = async move {
        let mut seen = Seen::default();
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(inside) = weak.upgrade() else { return };
            if seen.look(&inside, &raft) {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || runtime.block_on(look))
        .map(drop)
}

/// What was seen so far, so that each thing is said once.
#[derive(Default)]
struct Seen {
    alone_since: Option<Instant>,
    said_alone: bool,
    lagging_since: Option<Instant>,
    said_lagging: bool,
    looks: u32,
    /// Members that did not answer this leader when it looked last.
    away: BTreeSet<NodeId>,
}

impl Seen {
    /// True when there is nothing left to watch.
    fn look(&mut self, inside: &Inside, raft: &Raft) -> bool {
        if let Some(problem) = inside.store.failed().borrow().clone() {
            inside.fail(DISK, format!("the disk failed: {problem}"));
            return true;
        }
        let metrics = raft.metrics().borrow_watched().clone();
        match metrics.running_state {
            Ok(()) => {}
            Err(Fatal::Stopped) => return true,
            Err(fatal @ Fatal::StorageError(_)) => {
                inside.fail(DISK, format!("consensus stopped: {fatal}"));
                return true;
            }
            Err(fatal @ Fatal::Panicked) => {
                inside.fail(BROKEN, format!("consensus stopped: {fatal}"));
                return true;
            }
        }
        self.contact(inside);
        self.looks = (self.looks + 1) % LOOKS_AT_MEMBERS;
        if self.looks == 0 {
            self.members(inside);
        }
        self.lag(index(metrics.local_committed).saturating_sub(index(metrics.last_applied)));
        false
    }

    fn contact(&mut self, inside: &Inside) {
        if inside.is_connected() {
            if self.said_alone {
                tracing::info!("a leader with a quorum is heard of again");
            }
            (self.alone_since, self.said_alone) = (None, false);
            return;
        }
        let since = *self.alone_since.get_or_insert_with(Instant::now);
        if !self.said_alone && since.elapsed() > inside.timing.election_max * 3 {
            self.said_alone = true;
            tracing::warn!(
                "no leader with a quorum is heard of: requests are served with the last agreed \
                 config, changes are refused"
            );
        }
    }

    /// A leader says who goes and who is back, once each.
    fn members(&mut self, inside: &Inside) {
        if !inside.leadership().leading {
            self.away.clear();
            return;
        }
        let members = inside.status().nodes.into_iter();
        let away: BTreeSet<NodeId> = members
            .filter(|member| !member.alive)
            .map(|member| member.id)
            .collect();
        for node in away.difference(&self.away) {
            tracing::warn!(%node, "a member is not heard of any more");
        }
        for node in self.away.difference(&away) {
            tracing::info!(%node, "a member is heard of again, or was taken out");
        }
        self.away = away;
    }

    fn lag(&mut self, entries: u64) {
        if entries <= LAG {
            (self.lagging_since, self.said_lagging) = (None, false);
            return;
        }
        let since = *self.lagging_since.get_or_insert_with(Instant::now);
        if !self.said_lagging && since.elapsed() > LAG_PATIENCE {
            self.said_lagging = true;
            tracing::warn!(entries, "agreed changes are applied slower than they come");
        }
    }
}
