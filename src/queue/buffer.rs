//! The admission buffer of one model: bounded, fair, and honest about how long it will take.
//!
//! The caller first asks for a free place; only what finds none is pushed. Whenever a place is
//! free it pops. [`Buffer::next_deadline`] says when to call [`Buffer::expire`]; until then an
//! expired item keeps its place, but it is never dispatched.
//!
//! ```text
//!          ┌─ refused: share, room, predicted wait
//! push ────┤
//!          └─ waits ──┬─ pop: its turn came          (schedule)
//!                     ├─ expire: deadline, max wait
//!                     ├─ cancel: the client went away
//!                     └─ evicted: gave way to a more urgent one
//! ```
//!
//! - Every item that was let in leaves exactly once, by one of these four or by `drain_all`.
//! - A tenant's quarter and a level's half hold only while another tenant or level waits; a lone
//!   user of a queue of three may fill all three.
//! - The wait is predicted from what was dispatched while somebody waited. A buffer that has
//!   seen nothing predicts nothing, and refuses nobody on a guess.
//!
//! Deliberately not here: shedding by cohorts and by sojourn time; the predicted wait refuses
//! earlier than either would notice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::feedback::Feedback;
use super::holdings::Holdings;
use super::item::{
    Evicted, Expired, Item, ItemId, Lapse, MAX_COST, MIN_COST, Popped, ServiceEstimate,
};
use super::limits::Limits;
use super::refused::Refused;
use super::schedule::{Schedule, lower};
use super::throughput::Throughput;
use crate::types::{Moment, Priority, TenantId};

/// Advice shorter than this only invites a stampede, longer is as good as never.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// An item that was let in.
#[derive(Clone, Debug)]
struct Waiting {
    item: Item,
    /// Order of admission.
    sequence: u64,
    pushed: Moment,
    /// The sooner of its deadline and the longest wait of its level.
    gives_up: Moment,
}

/// Who waits for one model. All operations are O(log n) in the number of waiting items.
#[derive(Clone, Debug)]
pub struct Buffer {
    limits: Limits,
    waiting: BTreeMap<ItemId, Waiting>,
    give_ups: BTreeSet<(Moment, ItemId)>,
    holdings: Holdings,
    schedule: Schedule,
    feedback: Feedback,
    throughput: Throughput,
    admissions: u64,
}

impl Buffer {
    /// An empty buffer.
    pub fn new(limits: Limits) -> Self {
        Buffer {
            limits: limits.countable(),
            waiting: BTreeMap::new(),
            give_ups: BTreeSet::new(),
            holdings: Holdings::default(),
            schedule: Schedule::new(),
            feedback: Feedback::default(),
            throughput: Throughput::default(),
            admissions: 0,
        }
    }

    /// Lets an item wait. Returns the items that gave way to it, newest first.
    ///
    /// # Errors
    /// [`Refused`] says why not; then nothing has changed and nobody was evicted.
    pub fn push(
        &mut self,
        mut item: Item,
        now: Moment,
        service: ServiceEstimate,
    ) -> Result<Vec<Evicted>, Refused> {
        item.cost = item.cost.clamp(MIN_COST, MAX_COST);
        self.keep_time(now);
        if self.waiting.contains_key(&item.id) {
            return Err(Refused::Duplicate);
        }
        if item.deadline <= now {
            return Err(Refused::DeadlinePassed);
        }
        if item.bytes > self.limits.max_bytes {
            return Err(Refused::TooBig);
        }
        let wait = self.wait_of(&item, now);
        self.check_shares(&item, advice(wait))?;
        self.check_room(&item, advice(wait))?;
        self.check_wait(&item, wait, now, service)?;
        let evicted = self.make_room(&item, advice(wait));
        self.admit(item, now);
        Ok(evicted)
    }

    /// Takes the item whose turn it is. Expired items met on the way come with it.
    pub fn pop(&mut self, now: Moment) -> Popped {
        let expired = self.expire(now);
        self.keep_time(now);
        Popped {
            item: self.dispatch(now),
            expired,
        }
    }

    /// Takes out one item, whose client went away.
    pub fn cancel(&mut self, id: ItemId) -> Option<Item> {
        let waiting = self.release(id)?;
        self.schedule.remove(id);
        Some(waiting.item)
    }

    /// Takes out every item whose deadline or longest wait has come, earliest first.
    pub fn expire(&mut self, now: Moment) -> Vec<Expired> {
        let mut expired = Vec::new();
        while let Some((gives_up, id)) = self.give_ups.first().copied() {
            if gives_up > now {
                break;
            }
            self.schedule.remove(id);
            let Some(waiting) = self.release(id) else {
                break;
            };
            let late = waiting.item.deadline <= now;
            let lapse = if late {
                Lapse::Deadline
            } else {
                Lapse::MaxWait
            };
            expired.push(Expired {
                item: waiting.item,
                lapse,
            });
        }
        expired
    }

    /// When the next item expires.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.give_ups.first().map(|(gives_up, _)| *gives_up)
    }

    /// Items waiting.
    pub fn depth(&self) -> u32 {
        self.holdings.total().items
    }

    /// Items waiting per level asked for, in the order of [`Priority::ALL`].
    pub fn depth_by_priority(&self) -> [u32; 4] {
        Priority::ALL.map(|priority| self.holdings.level(priority).items)
    }

    /// Bytes of waiting bodies.
    pub fn bytes(&self) -> u64 {
        self.holdings.total().bytes
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Changes the limits for whoever comes next. Who was let in stays in, under the longest wait
    /// it was let in with.
    pub fn reconfigure(&mut self, limits: Limits) {
        self.limits = limits.countable();
    }

    /// Takes out everything, in order of admission.
    pub fn drain_all(&mut self) -> Vec<Item> {
        let mut waiting: Vec<Waiting> = std::mem::take(&mut self.waiting).into_values().collect();
        waiting.sort_by_key(|waiting| waiting.sequence);
        self.give_ups.clear();
        self.holdings = Holdings::default();
        self.schedule = Schedule::new();
        self.throughput.backlog_ended();
        waiting.into_iter().map(|waiting| waiting.item).collect()
    }

    /// Charges a tenant for work that found a free place and never waited here, so that feedback
    /// sees all of what the tenant was served. What [`Buffer::pop`] returns is charged already.
    pub fn record_dispatch(&mut self, tenant: &TenantId, cost: u64, now: Moment) {
        self.charge(tenant, cost.clamp(MIN_COST, MAX_COST), now);
    }

    /// How long such an item would wait if it came now; zero while nothing is known.
    pub fn predicted_wait(&self, item: &Item, now: Moment) -> Duration {
        let cost = item.cost.clamp(MIN_COST, MAX_COST);
        self.wait_of(
            &Item {
                cost,
                ..item.clone()
            },
            now,
        )
    }

    /// Steps of the schedule so far, each O(log n).
    pub fn steps(&self) -> u64 {
        self.schedule.steps()
    }

    fn wait_of(&self, item: &Item, now: Moment) -> Duration {
        let demotion = self.feedback.demotion(&item.tenant);
        self.throughput
            .time_for(self.schedule.ahead_of(item, demotion), now)
    }

    fn check_shares(&self, item: &Item, retry_after: Duration) -> Result<(), Refused> {
        let limits = &self.limits;
        let own = self.holdings.tenant(&item.tenant);
        let shared = self.holdings.tenants_with(&item.tenant) > 1;
        let items_up = own.items >= limits.tenant_items();
        let bytes_up = own.items > 0 && own.bytes + item.bytes > limits.tenant_bytes();
        if shared && (items_up || bytes_up) {
            return Err(Refused::TenantShare { retry_after });
        }
        let level = self.holdings.level(item.priority);
        let shared = self.holdings.other_levels_wait(item.priority);
        let items_up = level.items >= limits.level_items();
        let bytes_up = level.items > 0 && level.bytes + item.bytes > limits.level_bytes();
        if shared && (items_up || bytes_up) {
            return Err(Refused::LevelShare { retry_after });
        }
        Ok(())
    }

    fn check_room(&self, item: &Item, retry_after: Duration) -> Result<(), Refused> {
        let held = self.holdings.total();
        let yielding = self.holdings.below(self.rank_of(item));
        let full = held.items >= self.limits.max_depth;
        if self.limits.max_depth == 0 || (full && yielding.items == 0) {
            return Err(Refused::Full { retry_after });
        }
        if held.bytes - yielding.bytes + item.bytes > self.limits.max_bytes {
            return Err(Refused::Bytes { retry_after });
        }
        Ok(())
    }

    fn check_wait(
        &self,
        item: &Item,
        wait: Duration,
        now: Moment,
        service: ServiceEstimate,
    ) -> Result<(), Refused> {
        // Who need not wait is let through even when answers seem to take too long: its answer
        // is what corrects a wrong estimate.
        if wait.is_zero() {
            return Ok(());
        }
        let over_share = self.holdings.over_fair_share(item);
        if wait > self.limits.max_wait_of(item.priority) {
            return Err(Refused::WaitTooLong {
                retry_after: advice(wait),
                over_share,
            });
        }
        if now + wait + service.p50.unwrap_or_default() > item.deadline {
            return Err(Refused::DeadlineTooClose {
                retry_after: advice(wait),
                over_share,
            });
        }
        Ok(())
    }

    /// One item gives way when too many wait, and as many as it takes when bytes are short.
    fn make_room(&mut self, item: &Item, retry_after: Duration) -> Vec<Evicted> {
        let rank = self.rank_of(item);
        let mut crowded = self.depth() >= self.limits.max_depth;
        let mut evicted = Vec::new();
        while crowded || self.bytes() + item.bytes > self.limits.max_bytes {
            let Some(victim) = self.holdings.victim(rank) else {
                break;
            };
            let Some(item) = self.cancel(victim) else {
                break;
            };
            evicted.push(Evicted { item, retry_after });
            crowded = false;
        }
        evicted
    }

    /// The level an item may push others out from: a demoted tenant's label counts for less.
    fn rank_of(&self, item: &Item) -> Priority {
        lower(item.priority, self.feedback.demotion(&item.tenant))
    }

    fn admit(&mut self, item: Item, now: Moment) {
        self.admissions += 1;
        let sequence = self.admissions;
        let gives_up = item
            .deadline
            .min(now + self.limits.max_wait_of(item.priority));
        if self.waiting.is_empty() {
            self.throughput.backlog_began(now);
        }
        self.give_ups.insert((gives_up, item.id));
        self.holdings.add(&item, sequence);
        self.schedule
            .add(&item, sequence, self.feedback.demotion(&item.tenant), now);
        self.waiting.insert(
            item.id,
            Waiting {
                item,
                sequence,
                pushed: now,
                gives_up,
            },
        );
    }

    fn dispatch(&mut self, now: Moment) -> Option<Item> {
        let id = self.schedule.serve(now)?;
        let (item, pushed) = self
            .waiting
            .get(&id)
            .map(|found| (found.item.clone(), found.pushed))?;
        self.throughput
            .dispatched(item.cost, now.since(pushed), now);
        self.charge(&item.tenant, item.cost, now);
        self.release(id)?;
        Some(item)
    }

    /// Frees an item's slot and bytes. Its place in the schedule is the caller's to free.
    fn release(&mut self, id: ItemId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        self.give_ups.remove(&(waiting.gives_up, id));
        self.holdings.remove(&waiting.item, waiting.sequence);
        if self.waiting.is_empty() {
            self.throughput.backlog_ended();
        }
        Some(waiting)
    }

    fn charge(&mut self, tenant: &TenantId, cost: u64, now: Moment) {
        let contenders = self.holdings.tenants_with(tenant);
        if let Some(demotion) = self.feedback.served(tenant, cost, contenders, now) {
            self.schedule.demote(tenant, demotion);
        }
    }

    fn keep_time(&mut self, now: Moment) {
        for tenant in self.feedback.boost(now) {
            self.schedule.demote(&tenant, 0);
        }
        self.schedule.age(now);
    }
}

fn advice(wait: Duration) -> Duration {
    wait.clamp(RETRY_AFTER.0, RETRY_AFTER.1)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
