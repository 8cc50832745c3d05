//! How much each tenant and each level has waiting, and who gives way when there is no room.

use std::collections::{BTreeMap, BTreeSet};

use super::item::{Item, ItemId};
use crate::types::{Priority, TenantId};

/// Items and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) items: u32,
    pub(super) bytes: u64,
}

impl Tally {
    fn add(&mut self, bytes: u64) {
        self.items += 1;
        self.bytes += bytes;
    }

    fn subtract(&mut self, bytes: u64) {
        self.items -= 1;
        self.bytes -= bytes;
    }
}

/// What one tenant has waiting; per level asked for, its items in order of admission.
#[derive(Clone, Debug, Default)]
struct Holder {
    tally: Tally,
    cost: u64,
    by_age: [BTreeMap<u64, ItemId>; 4],
}

/// What waits, counted by the level asked for: an aged item has earned an earlier turn, not the
/// right to push others out.
#[derive(Clone, Debug, Default)]
pub(super) struct Holdings {
    total: Tally,
    cost: u64,
    levels: [Tally; 4],
    tenants: BTreeMap<TenantId, Holder>,
    /// Per level, tenants by how many items they have there.
    by_backlog: [BTreeSet<(usize, TenantId)>; 4],
}

impl Holdings {
    pub(super) fn total(&self) -> Tally {
        self.total
    }

    pub(super) fn level(&self, priority: Priority) -> Tally {
        self.levels[priority.index()]
    }

    pub(super) fn tenant(&self, tenant: &TenantId) -> Tally {
        self.tenants
            .get(tenant)
            .map(|holder| holder.tally)
            .unwrap_or_default()
    }

    /// Tenants that would wait if this one had an item waiting.
    pub(super) fn tenants_with(&self, tenant: &TenantId) -> usize {
        self.tenants.len() + usize::from(!self.tenants.contains_key(tenant))
    }

    /// A level other than this one has items waiting.
    pub(super) fn other_levels_wait(&self, priority: Priority) -> bool {
        self.total.items > self.level(priority).items
    }

    /// With this item the tenant would have more than its fair part of the waiting cost, and it
    /// would not be the only one waiting.
    pub(super) fn over_fair_share(&self, item: &Item) -> bool {
        let tenants = self.tenants_with(&item.tenant);
        let own = self
            .tenants
            .get(&item.tenant)
            .map_or(0, |holder| holder.cost)
            + item.cost;
        let tenants_wide = u64::try_from(tenants).unwrap_or(u64::MAX);
        tenants > 1 && own.saturating_mul(tenants_wide) > self.cost + item.cost
    }

    /// What waits on levels strictly lower than this one.
    pub(super) fn below(&self, level: Priority) -> Tally {
        let mut below = Tally::default();
        for tally in &self.levels[level.index() + 1..] {
            below.items += tally.items;
            below.bytes += tally.bytes;
        }
        below
    }

    /// Who gives way to `level`: the newest item of the tenant with the largest backlog in the
    /// lowest level, if that is strictly lower.
    pub(super) fn victim(&self, level: Priority) -> Option<ItemId> {
        let lower = level.index() + 1..self.levels.len();
        let lowest = lower.rev().find(|index| self.levels[*index].items > 0)?;
        let (_, tenant) = self.by_backlog[lowest].last()?;
        let (_, newest) = self.tenants.get(tenant)?.by_age[lowest].last_key_value()?;
        Some(*newest)
    }

    /// Counts an item in. `sequence` grows with each admission.
    pub(super) fn add(&mut self, item: &Item, sequence: u64) {
        let index = item.priority.index();
        self.total.add(item.bytes);
        self.levels[index].add(item.bytes);
        self.cost += item.cost;
        let holder = self.tenants.entry(item.tenant.clone()).or_default();
        holder.tally.add(item.bytes);
        holder.cost += item.cost;
        let before = holder.by_age[index].len();
        holder.by_age[index].insert(sequence, item.id);
        rank(
            &mut self.by_backlog[index],
            &item.tenant,
            before,
            before + 1,
        );
    }

    /// Counts an item out that was counted in under `sequence`.
    pub(super) fn remove(&mut self, item: &Item, sequence: u64) {
        let index = item.priority.index();
        let Some(holder) = self.tenants.get_mut(&item.tenant) else {
            return;
        };
        let before = holder.by_age[index].len();
        if holder.by_age[index].remove(&sequence).is_none() {
            return;
        }
        holder.tally.subtract(item.bytes);
        holder.cost -= item.cost;
        let empty = holder.tally.items == 0;
        self.total.subtract(item.bytes);
        self.levels[index].subtract(item.bytes);
        self.cost -= item.cost;
        rank(
            &mut self.by_backlog[index],
            &item.tenant,
            before,
            before - 1,
        );
        if empty {
            self.tenants.remove(&item.tenant);
        }
    }
}

fn rank(order: &mut BTreeSet<(usize, TenantId)>, tenant: &TenantId, before: usize, after: usize) {
    order.remove(&(before, tenant.clone()));
    if after > 0 {
        order.insert((after, tenant.clone()));
    }
}
