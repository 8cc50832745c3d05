//! Why an item may not wait.

use std::fmt;
use std::time::Duration;

/// Why the queue said no. Times are 1 s to 300 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many items wait as may, and none of them is less urgent.
    Full {
        /// When to come back.
        retry_after: Duration,
    },
    /// The waiting bodies leave no room for this one.
    Bytes {
        /// When to come back.
        retry_after: Duration,
    },
    /// The body alone is larger than all that may wait together.
    TooBig,
    /// The tenant has its share waiting, and others wait too.
    TenantShare {
        /// When to come back.
        retry_after: Duration,
    },
    /// The level has its share waiting, and other levels wait too.
    LevelShare {
        /// When to come back.
        retry_after: Duration,
    },
    /// The predicted wait is longer than the level allows.
    WaitTooLong {
        /// The predicted wait.
        retry_after: Duration,
        /// The tenant has more than its fair part of what waits.
        over_share: bool,
    },
    /// The predicted wait leaves too little of the client's time for an answer.
    DeadlineTooClose {
        /// The predicted wait.
        retry_after: Duration,
        /// The tenant has more than its fair part of what waits.
        over_share: bool,
    },
    /// The client's time was over before it came.
    DeadlinePassed,
    /// An item of that id waits already.
    Duplicate,
}

impl Refused {
    /// When to come back; `None` when coming back would not help.
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Refused::Full { retry_after }
            | Refused::Bytes { retry_after }
            | Refused::TenantShare { retry_after }
            | Refused::LevelShare { retry_after }
            | Refused::WaitTooLong { retry_after, .. }
            | Refused::DeadlineTooClose { retry_after, .. } => Some(retry_after),
            Refused::TooBig | Refused::DeadlinePassed | Refused::Duplicate => None,
        }
    }

    /// The tenant uses more than its share: a 429 rather than a 503.
    pub const fn tenant_at_fault(self) -> bool {
        match self {
            Refused::TenantShare { .. } => true,
            Refused::WaitTooLong { over_share, .. }
            | Refused::DeadlineTooClose { over_share, .. } => over_share,
            Refused::Full { .. }
            | Refused::Bytes { .. }
            | Refused::TooBig
            | Refused::LevelShare { .. }
            | Refused::DeadlinePassed
            | Refused::Duplicate => false,
        }
    }

    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Refused::Full { .. } => "full",
            Refused::Bytes { .. } => "bytes",
            Refused::TooBig => "too_big",
            Refused::TenantShare { .. } => "tenant_share",
            Refused::LevelShare { .. } => "level_share",
            Refused::WaitTooLong { .. } => "wait_too_long",
            Refused::DeadlineTooClose { .. } => "deadline_too_close",
            Refused::DeadlinePassed => "deadline_passed",
            Refused::Duplicate => "duplicate",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full { .. } => "queue full",
            Refused::Bytes { .. } => "queue out of memory for bodies",
            Refused::TooBig => "body larger than the queue holds",
            Refused::TenantShare { .. } => "tenant's share of the queue is used up",
            Refused::LevelShare { .. } => "level's share of the queue is used up",
            Refused::WaitTooLong { .. } => "predicted wait too long",
            Refused::DeadlineTooClose { .. } => "deadline too close for the predicted wait",
            Refused::DeadlinePassed => "deadline passed before admission",
            Refused::Duplicate => "already waiting",
        })
    }
}
