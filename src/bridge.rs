//! Between the node and its cluster: what is agreed on comes in, what the node has seen goes out.
//!
//! ```text
//! target   the name under which every node knows an upstream
//! policy   what the leader has to know of the routing config
//! link     what is asked of a cluster; [`Handle`] is one, a test's stand-in another
//! ```
//!
//! An embedded engine is [`Bridge::alone`]: its breakers and limits are its own affair.

mod link;
mod policy;
mod target;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use llm_router_cluster::Handle;
use llm_router_cluster::state::{BreakerRecord, TargetId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::types::Moment;

pub(crate) use link::Link;
pub use policy::policy;
pub use target::target;

/// The way to the cluster, or the knowledge that there is none. Cheap to clone.
#[derive(Clone, Default)]
pub struct Bridge {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    link: Box<dyn Link>,
    /// What was last seen of each target in service, and when: outlives the actors that go by it.
    seen: Mutex<BTreeMap<TargetId, Agreed>>,
    /// Rung when something must not wait for the next report.
    urgent: Notify,
}

/// What is agreed about one upstream, as this node applied it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The record.
    pub(crate) record: BreakerRecord,
    /// When this node saw it applied: its times are counted from here, by this node's clock.
    pub(crate) applied: Moment,
    /// This node is the one that may probe.
    pub(crate) mine: bool,
    /// It was to be the one, but saw so when no leader was in reach: as it does when it runs anew.
    /// The leader counts the lease from another moment, so nothing is begun by it.
    pub(crate) declined: bool,
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.inner {
            Some(_) => "Bridge(cluster)",
            None => "Bridge(alone)",
        })
    }
}

impl Bridge {
    /// No cluster.
    pub fn alone() -> Self {
        Bridge::default()
    }

    /// The node is a member of this cluster.
    pub fn of(cluster: Handle) -> Self {
        Bridge::over(cluster)
    }

    /// Over any link.
    pub(crate) fn over(link: impl Link) -> Self {
        let inner = Inner {
            link: Box::new(link),
            seen: Mutex::default(),
            urgent: Notify::new(),
        };
        Bridge {
            inner: Some(Arc::new(inner)),
        }
    }

    /// The cluster, if there is one.
    pub(crate) fn link(&self) -> Option<&dyn Link> {
        self.inner.as_deref().map(|inner| &*inner.link)
    }

    /// There is a cluster.
    pub(crate) fn is_clustered(&self) -> bool {
        self.inner.is_some()
    }

    /// A leader with a quorum was heard of lately.
    pub(crate) fn is_connected(&self) -> bool {
        self.link().is_some_and(Link::is_connected)
    }

    /// The node is about to leave: it begins nothing that others would have to wait for.
    pub(crate) fn is_draining(&self) -> bool {
        self.link().is_some_and(Link::is_draining)
    }

    /// What is agreed about an upstream, and since when this node knows; nothing without a cluster.
    /// A record that was not seen before counts from `now`.
    pub(crate) fn agreed(&self, target: &TargetId, now: Moment) -> Option<Agreed> {
        let inner = self.inner.as_deref()?;
        let mut seen = inner.seen.lock();
        // read under the lock: of two readers none puts an older record over a newer one
        let record = inner.link.record(target);
        if let Some(known) = seen.get(target).filter(|known| known.record == record) {
            return Some(known.clone());
        }
        let holds = record.holder == Some(inner.link.member());
        let in_reach = inner.link.is_connected();
        let agreed = Agreed {
            mine: holds && in_reach,
            declined: holds && !in_reach,
            applied: now,
            record,
        };
        seen.insert(target.clone(), agreed.clone());
        Some(agreed)
    }

    /// Forgets what was seen of upstreams that are not in service any more.
    pub(crate) fn retain(&self, served: &HashSet<&TargetId>) {
        if let Some(inner) = self.inner.as_deref() {
            inner
                .seen
                .lock()
                .retain(|target, _| served.contains(target));
        }
    }

    /// What this node may use of a limit on its own word: all of it without a cluster, in one an
    /// equal part and at least one.
    pub(crate) fn part_of(&self, limit: u64) -> u64 {
        match self.link() {
            None => limit,
            Some(link) => (limit / u64::from(link.members())).max(1),
        }
    }

    /// Something has happened that the leader should hear at once.
    pub(crate) fn urge(&self) {
        if let Some(inner) = self.inner.as_deref() {
            inner.urgent.notify_one();
        }
    }

    /// Resolves after [`Bridge::urge`]; several calls before come to one. Never without a cluster.
    pub(crate) async fn urged(&self) {
        match self.inner.as_deref() {
            Some(inner) => inner.urgent.notified().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
