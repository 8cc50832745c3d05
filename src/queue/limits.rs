//! How much may wait, and for how long.

use std::time::Duration;

use crate::types::Priority;

/// Most items of one tenant, however deep the queue: more would only hide that it is overloaded.
const MAX_TENANT_ITEMS: u32 = 1_000;

/// Most bytes a queue counts: 1 PiB, so that sums cannot overflow.
const MAX_BYTES: u64 = 1 << 50;

/// Bounds of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Items that may wait; 0 lets nothing wait.
    pub max_depth: u32,
    /// The longest wait of each level, in the order of [`Priority::ALL`].
    pub max_wait: [Duration; 4],
    /// Bytes of bodies that may wait, at most 1 PiB.
    pub max_bytes: u64,
}

impl Default for Limits {
    /// 100 items; 2 s, 10 s, 30 s and 300 s; 64 MiB.
    fn default() -> Self {
        Limits {
            max_depth: 100,
            max_wait: [2, 10, 30, 300].map(Duration::from_secs),
            max_bytes: 64 << 20,
        }
    }
}

impl Limits {
    /// The same limits, with bytes that can be summed.
    pub(super) fn countable(self) -> Self {
        Limits {
            max_bytes: self.max_bytes.min(MAX_BYTES),
            ..self
        }
    }

    /// The longest wait of a level.
    pub fn max_wait_of(&self, priority: Priority) -> Duration {
        self.max_wait[priority.index()]
    }

    /// Items one tenant may have waiting while another tenant waits: a quarter, at least 1, at most 1000.
    pub fn tenant_items(&self) -> u32 {
        (self.max_depth / 4).clamp(1, MAX_TENANT_ITEMS)
    }

    /// Bytes one tenant may have waiting while another tenant waits: a quarter.
    pub fn tenant_bytes(&self) -> u64 {
        self.max_bytes / 4
    }

    /// Items one level may have waiting while another level waits: half, rounded up, at least 1.
    pub fn level_items(&self) -> u32 {
        self.max_depth.div_ceil(2).max(1)
    }

    /// Bytes one level may have waiting while another level waits: half.
    pub fn level_bytes(&self) -> u64 {
        self.max_bytes / 2
    }
}
