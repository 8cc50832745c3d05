//! Who goes next: first a level, then a tenant in it, then that tenant's most pressing item.
//!
//! ```text
//! levels    critical 8 : high 4 : normal 2 : low 1     fair over virtual time
//!   tenants    a : b : c                               fair over virtual time, equal weights
//!     lanes       earliest deadline, then arrival      a tenant's items on one level
//! ```
//!
//! A level that gets work starts at virtual now, plus the wait its first item would have had
//! anyway, less what a critical one would: so a burst is served most urgent first, and a lower
//! level still gets its share from then on.
//!
//! A lane ages: when nothing of it was served for 3 s (high), 5 s (normal) or 10 s (low), its
//! first item moves one level up. Only the first, because whoever waits behind its own tenant's
//! backlog is not starved by others, and a flood must not climb by being a flood. Nothing waits
//! more than 18 s below critical at the head of its tenant's work.
//!
//! Deliberately not here: tenants are not hashed onto shared queues, a tree holds thousands as well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::fair::FairQueue;
use super::item::{Item, ItemId};
use crate::types::{Moment, Priority, TenantId};

/// Most items looked at to tell what of its own tenant goes before a newcomer.
const MAX_SCAN: usize = 64;

/// Order inside a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    deadline: Moment,
    arrival: Moment,
    sequence: u64,
}

/// Where an item stands.
#[derive(Clone, Debug)]
struct Place {
    tenant: TenantId,
    /// The level it asked for, raised by ageing.
    standing: Priority,
    turn: Turn,
}

/// A tenant's items of one standing.
#[derive(Clone, Debug, Default)]
struct Lane {
    items: BTreeMap<Turn, (ItemId, u64)>,
    cost: u64,
    /// When its first item moves up, unless something of it is served before.
    ages: Option<Moment>,
}

/// All lanes of one tenant.
#[derive(Clone, Debug, Default)]
struct Flow {
    lanes: [Lane; 4],
    demotion: u8,
}

impl Flow {
    fn lanes_served_at(&self, level: Priority) -> impl Iterator<Item = (Priority, &Lane)> {
        let standings = Priority::ALL.into_iter();
        standings
            .filter(move |standing| lower(*standing, self.demotion) == level)
            .filter_map(|standing| {
                let lane = &self.lanes[standing.index()];
                (!lane.items.is_empty()).then_some((standing, lane))
            })
    }

    fn cost_at(&self, level: Priority) -> u64 {
        self.lanes_served_at(level).map(|(_, lane)| lane.cost).sum()
    }

    fn first_at(&self, level: Priority) -> Option<(Turn, ItemId, Priority)> {
        self.lanes_served_at(level)
            .filter_map(|(standing, lane)| {
                lane.items
                    .first_key_value()
                    .map(|(turn, (id, _))| (*turn, *id, standing))
            })
            .min_by_key(|(turn, _, _)| *turn)
    }

    fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.items.is_empty())
    }
}

/// The order of everything that waits.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    levels: FairQueue<Priority>,
    tenants: [FairQueue<TenantId>; 4],
    cost: [u64; 4],
    flows: BTreeMap<TenantId, Flow>,
    places: BTreeMap<ItemId, Place>,
    ageing: BTreeSet<(Moment, TenantId, Priority)>,
    entries: u64,
    steps: u64,
}

impl Schedule {
    pub(super) fn new() -> Self {
        Schedule {
            levels: FairQueue::new(),
            tenants: std::array::from_fn(|_| FairQueue::new()),
            cost: [0; 4],
            flows: BTreeMap::new(),
            places: BTreeMap::new(),
            ageing: BTreeSet::new(),
            entries: 0,
            steps: 0,
        }
    }

    /// Tree operations so far, O(log n) each: what the work of the schedule is counted in.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// An item takes its place; its tenant is served `demotion` levels lower than it asks.
    pub(super) fn add(&mut self, item: &Item, sequence: u64, demotion: u8, now: Moment) {
        let turn = Turn {
            deadline: item.deadline,
            arrival: item.arrival,
            sequence,
        };
        let place = Place {
            tenant: item.tenant.clone(),
            standing: item.priority,
            turn,
        };
        self.flows.entry(item.tenant.clone()).or_default().demotion = demotion;
        self.insert(item.id, item.cost, place, now);
    }

    /// An item leaves without being served.
    pub(super) fn remove(&mut self, id: ItemId) {
        if let Some((place, _)) = self.take(id) {
            self.forget_if_empty(&place.tenant);
        }
    }

    /// Takes the item whose turn it is, and charges its level and its tenant.
    pub(super) fn serve(&mut self, now: Moment) -> Option<ItemId> {
        let level = *self.levels.next()?;
        let tenant = self.tenants[level.index()].next()?.clone();
        let (turn, id, standing) = self.flows.get(&tenant)?.first_at(level)?;
        let cost = self.flows.get(&tenant)?.lanes[standing.index()]
            .items
            .get(&turn)?
            .1;
        self.levels.charge(&level, scaled(cost, level));
        self.tenants[level.index()].charge(&tenant, cost);
        self.take(id)?;
        self.restart_ageing(&tenant, standing, now);
        self.forget_if_empty(&tenant);
        self.steps += 4;
        Some(id)
    }

    /// Moves up what has waited too long at the head of its lane.
    pub(super) fn age(&mut self, now: Moment) {
        while self.ageing.first().is_some_and(|(due, _, _)| *due <= now) {
            let Some((due, tenant, standing)) = self.ageing.first().cloned() else {
                return;
            };
            let first = self.flows.get(&tenant).and_then(|flow| {
                flow.lanes[standing.index()]
                    .items
                    .first_key_value()
                    .map(|(_, (id, _))| *id)
            });
            let Some((mut place, cost)) = first.and_then(|id| self.take(id)) else {
                return;
            };
            let Some(id) = first else { return };
            self.restart_ageing(&tenant, standing, due);
            place.standing = raise(standing);
            self.insert(id, cost, place, due);
        }
    }

    /// Serves a tenant so many levels lower than it asks, from now on.
    pub(super) fn demote(&mut self, tenant: &TenantId, demotion: u8) {
        let Some(flow) = self.flows.get_mut(tenant) else {
            return;
        };
        let before = Priority::ALL.map(|level| flow.cost_at(level));
        flow.demotion = demotion;
        let after = Priority::ALL.map(|level| flow.cost_at(level));
        for level in Priority::ALL {
            let (before, after) = (before[level.index()], after[level.index()]);
            if after > before {
                self.arrive(level, tenant, after - before);
            }
        }
        for level in Priority::ALL {
            let (before, after) = (before[level.index()], after[level.index()]);
            if before > after {
                self.depart(level, tenant, before - after);
            }
        }
    }

    /// Cost that goes before a newcomer, at most: its own tenant's earlier deadlines, as much of
    /// every other tenant on its level, and of the other levels what their weights give them.
    pub(super) fn ahead_of(&self, item: &Item, demotion: u8) -> u64 {
        let level = lower(item.priority, demotion);
        let own = self
            .flows
            .get(&item.tenant)
            .map_or(0, |flow| flow.cost_at(level));
        let own_ahead = self.own_ahead_of(item, level);
        let rivals = self.tenants[level.index()].len()
            - usize::from(self.tenants[level.index()].contains(&item.tenant));
        let rivals = u64::try_from(rivals).unwrap_or(u64::MAX);
        let theirs =
            (self.cost[level.index()] - own).min((own_ahead + item.cost).saturating_mul(rivals));
        let on_level = own_ahead + theirs;
        let others = Priority::ALL.into_iter().filter(|other| *other != level);
        let elsewhere: u64 = others
            .map(|other| {
                let share = (on_level + item.cost).saturating_mul(other.weight()) / level.weight();
                self.cost[other.index()].min(share)
            })
            .sum();
        on_level + elsewhere
    }

    /// Exact near the front of the lanes; further back the whole of them counts.
    fn own_ahead_of(&self, item: &Item, level: Priority) -> u64 {
        let Some(flow) = self.flows.get(&item.tenant) else {
            return 0;
        };
        let turn = Turn {
            deadline: item.deadline,
            arrival: item.arrival,
            sequence: u64::MAX,
        };
        let mut ahead = 0;
        for (_, lane) in flow.lanes_served_at(level) {
            let mut earlier = lane.items.range(..turn);
            let near: u64 = earlier
                .by_ref()
                .take(MAX_SCAN)
                .map(|(_, (_, cost))| *cost)
                .sum();
            ahead += if earlier.next().is_some() {
                lane.cost
            } else {
                near
            };
        }
        ahead
    }

    fn insert(&mut self, id: ItemId, cost: u64, place: Place, now: Moment) {
        let flow = self.flows.entry(place.tenant.clone()).or_default();
        let lane = &mut flow.lanes[place.standing.index()];
        let was_empty = lane.items.is_empty();
        lane.items.insert(place.turn, (id, cost));
        lane.cost += cost;
        let level = lower(place.standing, flow.demotion);
        self.steps += 2;
        if was_empty {
            self.restart_ageing(&place.tenant, place.standing, now);
        }
        self.arrive(level, &place.tenant, cost);
        self.places.insert(id, place);
    }

    fn take(&mut self, id: ItemId) -> Option<(Place, u64)> {
        let place = self.places.remove(&id)?;
        let flow = self.flows.get_mut(&place.tenant)?;
        let lane = &mut flow.lanes[place.standing.index()];
        let (_, cost) = lane.items.remove(&place.turn)?;
        lane.cost -= cost;
        if lane.items.is_empty()
            && let Some(due) = lane.ages.take()
        {
            self.ageing
                .remove(&(due, place.tenant.clone(), place.standing));
        }
        let level = lower(place.standing, flow.demotion);
        self.steps += 3;
        self.depart(level, &place.tenant, cost);
        Some((place, cost))
    }

    /// A flow without items is dropped; its demotion is remembered elsewhere.
    fn forget_if_empty(&mut self, tenant: &TenantId) {
        if self.flows.get(tenant).is_some_and(Flow::is_empty) {
            self.flows.remove(tenant);
        }
    }

    /// Work of a tenant comes to a level.
    fn arrive(&mut self, level: Priority, tenant: &TenantId, cost: u64) {
        let index = level.index();
        self.cost[index] += cost;
        self.steps += 2;
        if self.tenants[index].is_empty() {
            let rank = u64::try_from(index).unwrap_or(u64::MAX);
            self.levels.enter(level, rank, scaled(cost, level) - cost);
        }
        self.entries += 1;
        self.tenants[index].enter(tenant.clone(), self.entries, 0);
    }

    /// Work of a tenant goes from a level, served or not.
    fn depart(&mut self, level: Priority, tenant: &TenantId, cost: u64) {
        let index = level.index();
        self.cost[index] -= cost;
        self.steps += 2;
        let more = self
            .flows
            .get(tenant)
            .is_some_and(|flow| flow.cost_at(level) > 0);
        if more {
            return;
        }
        self.tenants[index].leave(tenant);
        if self.tenants[index].is_empty() {
            self.levels.leave(&level);
        }
    }

    fn restart_ageing(&mut self, tenant: &TenantId, standing: Priority, now: Moment) {
        let Some(flow) = self.flows.get_mut(tenant) else {
            return;
        };
        let lane = &mut flow.lanes[standing.index()];
        let due = age_of(standing)
            .filter(|_| !lane.items.is_empty())
            .map(|age| now + age);
        let before = std::mem::replace(&mut lane.ages, due);
        self.steps += 2;
        if let Some(before) = before {
            self.ageing.remove(&(before, tenant.clone(), standing));
        }
        if let Some(due) = due {
            self.ageing.insert((due, tenant.clone(), standing));
        }
    }
}

/// How long a lane waits before its first item moves up.
const fn age_of(standing: Priority) -> Option<Duration> {
    match standing {
        Priority::Critical => None,
        Priority::High => Some(Duration::from_secs(3)),
        Priority::Normal => Some(Duration::from_secs(5)),
        Priority::Low => Some(Duration::from_secs(10)),
    }
}

const fn raise(level: Priority) -> Priority {
    match level {
        Priority::Critical | Priority::High => Priority::Critical,
        Priority::Normal => Priority::High,
        Priority::Low => Priority::Normal,
    }
}

/// The level so many steps lower; low is the lowest.
pub(super) fn lower(level: Priority, steps: u8) -> Priority {
    let index = level.index() + usize::from(steps);
    Priority::ALL.get(index).copied().unwrap_or(Priority::Low)
}

/// Virtual time a level pays for a cost; the weights divide it exactly.
const fn scaled(cost: u64, level: Priority) -> u64 {
    cost * (Priority::Critical.weight() / level.weight())
}
