//! What waits in a queue, and how it leaves other than by being refused.

use std::time::Duration;

use crate::types::{Moment, Priority, TenantId};

/// The least an item costs, so that a flood of tiny requests is not free.
pub const MIN_COST: u64 = 64;

/// The most an item costs, so that one request cannot shut its tenant out for long.
pub const MAX_COST: u64 = 262_144;

/// Names an item while it waits. The caller never uses one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub u64);

/// One request waiting for its turn. The body stays with the request's own task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub id: ItemId,
    /// Who pays.
    pub tenant: TenantId,
    /// The level it asks for.
    pub priority: Priority,
    /// When the client stops waiting.
    pub deadline: Moment,
    /// When the request first came to the node; a second try keeps it.
    pub arrival: Moment,
    /// Prompt tokens plus four times the expected answer tokens; clamped to
    /// [`MIN_COST`]`..=`[`MAX_COST`] on the way in.
    pub cost: u64,
    /// Bytes of body held in memory while it waits.
    pub bytes: u64,
}

/// How long an attempt takes once it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceEstimate {
    /// Median time from dispatch to the end of the answer; `None` while unknown.
    pub p50: Option<Duration>,
}

/// An item that gave its place to a more urgent one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// The item.
    pub item: Item,
    /// When to come back, 1 s to 300 s.
    pub retry_after: Duration,
}

/// Which of its two limits an item ran into while it waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// The client's own deadline.
    Deadline,
    /// The longest wait of its level; the client would still wait, another candidate may serve it.
    MaxWait,
}

/// An item that waited in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The item.
    pub item: Item,
    /// Why it left.
    pub lapse: Lapse,
}

/// The answer to "who goes next".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Popped {
    /// The item to dispatch; `None` when nobody waits.
    pub item: Option<Item>,
    /// Items found expired on the way, earliest first.
    pub expired: Vec<Expired>,
}
