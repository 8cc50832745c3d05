//! A typed handle on one model's queue.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::actor::Message;
use super::refused::Refused;
use super::slots::Slots;
use super::{Item, ItemId};
use crate::bridge::Bridge;
use crate::mailbox::{Mailbox, Undelivered};
use crate::types::{Moment, Priority, TenantId};

/// Unhandled orders a queue actor may have, beyond those already waiting in its buffer.
const QUEUE_MAILBOX: usize = 4096;

/// Longest delay before a slow start begins; differs from node to node.
const MAX_START_DELAY: Duration = Duration::from_millis(500);

/// Bounds of one model's queue, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    /// Requests that may wait.
    pub(crate) max_depth: u32,
    /// Attempts that may run at once.
    pub(crate) max_concurrency: u32,
}

/// What a request brings when it asks for a permit.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) tenant: TenantId,
    pub(crate) priority: Priority,
    pub(crate) deadline: Moment,
    pub(crate) cost: u64,
    pub(crate) bytes: u64,
}

/// Why no permit was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The queue will not let it wait (any longer).
    Busy {
        /// `full`, `wait_too_long`, …
        why: &'static str,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// The client's time ran out while waiting.
    Expired,
    /// The model's breaker opened while waiting.
    Broken,
    /// The queue's actor is being restarted, or the model was taken out of service.
    Restarting,
}

impl Denied {
    pub(crate) const fn retry_after(self) -> Option<Duration> {
        match self {
            Denied::Busy { retry_after, .. } => retry_after,
            Denied::Expired | Denied::Broken | Denied::Restarting => None,
        }
    }

    /// The metric label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Denied::Busy { why, .. } => why,
            Denied::Expired => "expired",
            Denied::Broken => "breaker_open",
            Denied::Restarting => "restarting",
        }
    }
}

impl From<Refused> for Denied {
    fn from(why: Refused) -> Self {
        match why {
            Refused::DeadlinePassed => Denied::Expired,
            busy @ (Refused::Full { .. }
            | Refused::Bytes { .. }
            | Refused::TooBig
            | Refused::TenantShare { .. }
            | Refused::LevelShare { .. }
            | Refused::WaitTooLong { .. }
            | Refused::DeadlineTooClose { .. }
            | Refused::Duplicate) => Denied::Busy {
                why: busy.as_str(),
                retry_after: busy.retry_after(),
            },
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::Busy { why, .. } => write!(f, "queue refused: {}", why.replace('_', " ")),
            Denied::Expired => f.write_str("time ran out in the queue"),
            Denied::Broken => f.write_str("breaker opened while waiting"),
            Denied::Restarting => f.write_str("queue is restarting"),
        }
    }
}

/// The right to make one attempt. Dropping it gives the slot to the next in line.
#[derive(Debug)]
pub(crate) struct Permit {
    queue: QueueHandle,
    taken: Moment,
    used: bool,
}

impl Permit {
    /// An attempt is made with it: only then does the time it is held say anything.
    pub(crate) fn used(&mut self) {
        self.used = true;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let held = self.used.then(|| Moment::now().since(self.taken));
        if self.queue.inner.slots.give_back(held) {
            self.queue.inner.mailbox.post_owed(Message::Freed);
        }
    }
}

/// One model's queue. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct QueueHandle {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) mailbox: Mailbox<Message>,
    pub(super) slots: Slots,
    pub(super) depth: AtomicU32,
    /// Position in [`Priority::ALL`] of the least urgent request waiting; 0 when nobody waits.
    pub(super) lowest: AtomicUsize,
    pub(super) bridge: Bridge,
    max_depth: AtomicU32,
    next_id: AtomicU64,
}

impl QueueHandle {
    pub(crate) fn new(limits: QueueLimits, bridge: Bridge) -> Self {
        let slots = Slots::new(limits.max_concurrency);
        if bridge.is_clustered() {
            let part = bridge.part_of(u64::from(limits.max_concurrency));
            slots.set_cap(u32::try_from(part).unwrap_or(u32::MAX)); // until the leader lends more
        }
        let inner = Inner {
            mailbox: Mailbox::new(QUEUE_MAILBOX),
            slots,
            depth: AtomicU32::new(0),
            lowest: AtomicUsize::new(0),
            bridge,
            max_depth: AtomicU32::new(limits.max_depth),
            next_id: AtomicU64::new(0),
        };
        QueueHandle {
            inner: Arc::new(inner),
        }
    }

    /// Requests waiting.
    pub(crate) fn depth(&self) -> u64 {
        u64::from(self.inner.depth.load(Ordering::Relaxed))
    }

    /// Attempts running.
    pub(crate) fn in_flight(&self) -> u64 {
        u64::from(self.inner.slots.running())
    }

    /// Attempts running or wanted.
    pub(crate) fn wanted(&self) -> u64 {
        self.in_flight() + u64::from(self.inner.slots.waiting())
    }

    /// This node may make so many of the attempts that may run at once.
    pub(crate) fn set_share(&self, cap: u32) {
        if self.inner.slots.set_cap(cap) {
            self.inner.mailbox.post_owed(Message::Freed);
        }
    }

    /// The breaker closed: attempts come back slowly.
    pub(crate) fn slow_start(&self) {
        let delay = MAX_START_DELAY.mul_f64(rand::random::<f64>());
        self.inner.slots.start_slowly(Moment::now() + delay);
    }

    /// As many attempts run as may.
    #[cfg(test)]
    pub(crate) fn is_saturated(&self) -> bool {
        self.inner.slots.is_saturated()
    }

    /// A request of this level could neither run nor wait right now, nor take the place of a less
    /// urgent one.
    pub(crate) fn is_full_for(&self, priority: Priority) -> bool {
        let max_depth = self.inner.max_depth.load(Ordering::Relaxed);
        self.inner.slots.is_saturated()
            && self.inner.depth.load(Ordering::Relaxed) >= max_depth
            && self.inner.lowest.load(Ordering::Relaxed) <= priority.index()
    }

    /// The actor's address, for the supervisor.
    pub(crate) fn mailbox(&self) -> &Mailbox<Message> {
        &self.inner.mailbox
    }

    /// Changes the bounds for whoever comes next.
    pub(crate) fn reconfigure(&self, limits: QueueLimits) {
        self.inner.slots.set_limit(limits.max_concurrency);
        self.inner
            .max_depth
            .store(limits.max_depth, Ordering::Relaxed);
        self.inner.mailbox.post_owed(Message::Reconfigure(limits));
    }

    /// The model's breaker opened: whoever waits should ask elsewhere.
    pub(crate) fn breaker_opened(&self) {
        self.inner.mailbox.post_owed(Message::BreakerOpened);
    }

    pub(super) fn permit(&self) -> Permit {
        Permit {
            queue: self.clone(),
            taken: Moment::now(),
            used: false,
        }
    }

    /// Waits for a permit, at most until the ticket's deadline. Dropping the future leaves the
    /// queue at once.
    pub(crate) async fn admit(&self, ticket: Ticket) -> Result<Permit, Denied> {
        let slots = &self.inner.slots;
        if !slots.anyone_waiting() && slots.take() {
            return Ok(self.permit()); // nobody to be fair to
        }
        let now = Moment::now();
        let id = ItemId(self.inner.next_id.fetch_add(1, Ordering::Relaxed));
        let deadline = ticket.deadline;
        let item = Item {
            id,
            tenant: ticket.tenant,
            priority: ticket.priority,
            deadline,
            arrival: now,
            cost: ticket.cost,
            bytes: ticket.bytes,
        };
        let (reply, answer) = oneshot::channel();
        let mut place = Place {
            queue: self,
            id,
            armed: true,
        };
        slots.begin_waiting();
        self.inner
            .mailbox
            .try_post(Message::Admit { item, reply })
            .map_err(|undelivered| match undelivered {
                Undelivered::Full => Denied::Busy {
                    why: "full",
                    retry_after: Some(Duration::from_secs(1)),
                },
                Undelivered::Gone => Denied::Restarting,
            })?;
        let answered = tokio::time::timeout(now.until(deadline), answer).await;
        match answered {
            Ok(Ok(verdict)) => {
                place.armed = false;
                verdict
            }
            Ok(Err(_)) => Err(Denied::Restarting),
            Err(_) => Err(Denied::Expired),
        }
    }
}

/// A place in line; dropped early, it is given up at once.
struct Place<'a> {
    queue: &'a QueueHandle,
    id: ItemId,
    armed: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.inner.slots.end_waiting();
        if self.armed {
            self.queue.inner.mailbox.post_owed(Message::Cancel(self.id));
        }
    }
}
