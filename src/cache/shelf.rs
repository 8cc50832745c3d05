//! Everything held in memory, and the order in which it goes: exact entries, partitions, use,
//! expiry, quotas. No I/O, no clock, no lock of its own.
//!
//! The vectors live in one index per partition with locks of its own, so a long scan never holds
//! up the exact tier. Whatever leaves the shelf is returned as [`Removed`]; the caller takes
//! it out of index and disk after letting go of the shelf. A label found in an index but not on
//! the shelf is a removal on its way and counts as absent.

mod order;
mod sketch;

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::compact::Compact;
use super::entry::Entry;
use super::epochs::Epochs;
use super::index::{PartitionIndex, Upkeep};
use super::key::{EntryId, PartitionId};
use crate::config::routing::Eviction;
use crate::types::TenantId;

pub(crate) use order::Limits;
use order::{Order, Place};
use sketch::Sketch;

/// Most memory for entries, in bytes, whatever `max_entries` says.
const MAX_BYTES: usize = 512 << 20;

/// The index of one partition.
pub(crate) type SharedIndex = Arc<PartitionIndex>;

/// An entry that left the shelf.
#[derive(Debug)]
pub(crate) struct Removed {
    pub(crate) serial: u64,
    pub(crate) index: Option<SharedIndex>,
}

#[derive(Debug)]
struct Slot {
    entry: Arc<Entry>,
    place: Place,
    /// Of its question; it is in the partition's index then.
    vector: Option<Compact>,
}

#[derive(Debug)]
struct Segment {
    live: usize,
    index: SharedIndex,
}

/// The entries.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    slots: HashMap<EntryId, Slot>,
    by_serial: HashMap<u64, EntryId>,
    order: Order,
    limits: Limits,
    /// How often each id is asked for; kept under `cost` alone.
    asked: Option<Sketch>,
    by_expiry: BTreeSet<(u64, u64)>,
    segments: HashMap<PartitionId, Segment>,
    upkeep: Upkeep,
    bytes: usize,
    next_serial: u64,
    epochs: Arc<Epochs>,
}

impl Shelf {
    /// A shelf whose entries are off by these epochs.
    pub(crate) fn new(epochs: Arc<Epochs>) -> Self {
        Shelf {
            epochs,
            ..Shelf::default()
        }
    }

    /// Whatever rewrites the indexes of this shelf.
    pub(crate) fn upkeep(&self) -> Upkeep {
        self.upkeep.clone()
    }

    /// A number no entry on this node has had, disk included once `seen` was called for it.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    /// Never hands out `serial` again.
    pub(crate) fn seen(&mut self, serial: u64) {
        self.next_serial = self.next_serial.max(serial);
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn partitions(&self) -> usize {
        self.segments.len()
    }

    /// The fresh entry of `id`, marked as used. Asking counts, found or not.
    pub(crate) fn get(&mut self, id: EntryId, now: u64, ttl_millis: u64) -> Option<Arc<Entry>> {
        self.count(id);
        let entry = &self.slots.get(&id)?.entry;
        if !entry.is_fresh(now, ttl_millis) || self.epochs.is_off(entry) {
            return None;
        }
        let entry = Arc::clone(entry);
        self.renew(id);
        Some(entry)
    }

    /// The entry under a label of an index, unless it was called off.
    pub(crate) fn by_serial(&self, serial: u64) -> Option<Arc<Entry>> {
        let slot = self.slots.get(self.by_serial.get(&serial)?)?;
        (!self.epochs.is_off(&slot.entry)).then(|| Arc::clone(&slot.entry))
    }

    /// The entry of `id` as it is held, whether or not it may be served, and whether it is indexed.
    pub(crate) fn held(&self, id: EntryId) -> Option<(&Arc<Entry>, bool)> {
        let slot = self.slots.get(&id)?;
        Some((&slot.entry, slot.vector.is_some()))
    }

    /// Some of what is held, with its vectors, after this place in the order of expiry. To go through
    /// everything without holding up anybody, ask for some and let go of the lock.
    pub(crate) fn some(
        &self,
        after: (u64, u64),
        most: usize,
    ) -> Vec<(Arc<Entry>, Option<Compact>)> {
        let later = (Bound::Excluded(after), Bound::Unbounded);
        let serials = self.by_expiry.range(later).take(most);
        let slots = serials.filter_map(|(_, serial)| self.slots.get(self.by_serial.get(serial)?));
        slots
            .map(|slot| (Arc::clone(&slot.entry), slot.vector.clone()))
            .collect()
    }

    /// Whatever else comes pushes something out.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() as u64 >= self.limits.max_entries || self.bytes >= MAX_BYTES
    }

    /// One more fits without pushing anything out.
    pub(crate) fn has_room_for(&self, entry: &Entry) -> bool {
        let quota = self.limits.per_tenant;
        (self.slots.len() as u64) < self.limits.max_entries
            && self.bytes + entry.bytes() <= MAX_BYTES
            && (quota == 0 || self.order.of_tenant(&entry.tenant) < quota)
    }

    /// Marks `id` as asked for and used just now.
    pub(crate) fn touch(&mut self, id: EntryId) {
        self.count(id);
        self.renew(id);
    }

    fn count(&mut self, id: EntryId) {
        if let Some(asked) = &mut self.asked {
            asked.count(id);
        }
    }

    fn renew(&mut self, id: EntryId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.place = self.order.renew(id, slot.place, &slot.entry.tenant);
        }
    }

    /// The index of a partition that holds at least one entry.
    pub(crate) fn index(&self, partition: PartitionId) -> Option<SharedIndex> {
        self.segments
            .get(&partition)
            .map(|segment| Arc::clone(&segment.index))
    }

    /// Rows of all indexes.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> usize {
        let segments = self.segments.values();
        segments.map(|segment| segment.index.len()).sum()
    }

    /// Some of a tenant's partitions.
    pub(crate) fn partitions_of(&self, tenant: &TenantId, most: usize) -> Vec<PartitionId> {
        let slots = self.slots.values();
        let its = slots.filter(|slot| slot.entry.tenant == *tenant && slot.vector.is_some());
        let partitions = its.filter_map(|slot| Some(slot.entry.meaning.as_ref()?.partition));
        let distinct: BTreeSet<PartitionId> = partitions.collect();
        distinct.into_iter().take(most).collect()
    }

    /// Changes what it may hold; what is too much goes.
    pub(crate) fn configure(&mut self, limits: Limits) -> Vec<Removed> {
        self.limits = limits;
        match limits.eviction {
            Eviction::Lru => self.asked = None,
            Eviction::Cost => {
                let fits = |asked: &Sketch| asked.suits(limits.max_entries);
                if !self.asked.as_ref().is_some_and(fits) {
                    self.asked = Some(Sketch::new(limits.max_entries));
                }
            }
        }
        self.trim()
    }

    /// Puts an entry in unless it was called off; it may push others out, or under `cost` go again
    /// itself.
    pub(crate) fn insert(&mut self, entry: Arc<Entry>) -> Option<Vec<Removed>> {
        if self.epochs.is_off(&entry) {
            return None;
        }
        let mut removed: Vec<Removed> = self.remove(entry.id).into_iter().collect();
        let (id, tenant) = (entry.id, entry.tenant.clone());
        self.bytes += entry.bytes();
        self.by_serial.insert(entry.serial, id);
        self.by_expiry.insert((entry.expires, entry.serial));
        let place = self.order.enter(id, &tenant, self.limits.eviction);
        let slot = Slot {
            entry,
            place,
            vector: None,
        };
        self.slots.insert(id, slot);
        let quota = self.limits.per_tenant;
        if quota > 0 && self.order.of_tenant(&tenant) > quota {
            removed.extend(self.trim_tenant(&tenant, quota));
        }
        removed.extend(self.trim_all());
        Some(removed)
    }

    /// Opens the partition's index for a live entry; `None` when it has left meanwhile, is there
    /// already, has no meaning or the partition's vectors have another length. The caller then adds the vector.
    pub(crate) fn attach(&mut self, serial: u64, vector: &Compact) -> Option<SharedIndex> {
        let dimensions = vector.len();
        let slot = self
            .by_serial
            .get(&serial)
            .and_then(|id| self.slots.get_mut(id))?;
        let partition = slot.entry.meaning.as_ref()?.partition;
        if slot.vector.is_some() {
            return None;
        }
        let other = self.segments.get(&partition);
        if other.is_some_and(|segment| segment.index.dimensions() != dimensions) {
            return None;
        }
        slot.vector = Some(vector.clone());
        let segment = self.segments.entry(partition).or_insert_with(|| Segment {
            live: 0,
            index: PartitionIndex::new(dimensions, self.upkeep.clone()),
        });
        segment.live += 1;
        Some(Arc::clone(&segment.index))
    }

    /// Pushes out what is too much, of tenants over their quota first.
    fn trim(&mut self) -> Vec<Removed> {
        let mut removed = Vec::new();
        let quota = self.limits.per_tenant;
        if quota > 0 {
            for tenant in self.order.over(quota) {
                removed.extend(self.trim_tenant(&tenant, quota));
            }
        }
        removed.extend(self.trim_all());
        removed
    }

    fn trim_tenant(&mut self, tenant: &TenantId, quota: u64) -> Vec<Removed> {
        let mut removed = Vec::new();
        while self.order.of_tenant(tenant) > quota {
            let victim = match self.limits.eviction {
                Eviction::Lru => self.order.oldest_of(tenant),
                Eviction::Cost => self.order.cheapest_of(tenant, |id| self.worth(id)),
            };
            let Some(victim) = victim else { break };
            removed.extend(self.remove(victim));
        }
        removed
    }

    fn trim_all(&mut self) -> Vec<Removed> {
        let mut removed = Vec::new();
        while self.slots.len() as u64 > self.limits.max_entries
            || self.bytes > MAX_BYTES && self.slots.len() > 1
        {
            let Some(victim) = self.victim() else { break };
            removed.extend(self.remove(victim));
        }
        while let Some(id) = self.order.leaving_window(self.limits) {
            self.settle(id);
        }
        removed
    }

    /// Who goes from a full shelf.
    fn victim(&mut self) -> Option<EntryId> {
        if self.limits.eviction == Eviction::Lru {
            return self.order.oldest();
        }
        let cheapest = self.order.cheapest(|id| self.worth(id));
        match (self.order.leaving_window(self.limits), cheapest) {
            (Some(newcomer), Some(cheapest)) if self.worth(newcomer) > self.worth(cheapest) => {
                self.settle(newcomer);
                Some(cheapest)
            }
            (Some(newcomer), _) => Some(newcomer),
            (None, cheapest) => cheapest.or_else(|| self.order.oldest()),
        }
    }

    fn settle(&mut self, id: EntryId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.place = self.order.settle(id, slot.place);
        }
    }

    /// What keeping an entry is worth: times asked for, times tokens saved, by bytes.
    fn worth(&self, id: EntryId) -> f64 {
        let Some(slot) = self.slots.get(&id) else {
            return 0.0;
        };
        let asked = self.asked.as_ref().map_or(1, |asked| asked.estimate(id));
        let tokens = u32::try_from(slot.entry.tokens_saved()).unwrap_or(u32::MAX);
        let bytes = u32::try_from(slot.entry.bytes()).unwrap_or(u32::MAX);
        f64::from(asked) * f64::from(tokens) / f64::from(bytes.max(1))
    }

    /// Takes out at most `most` entries whose lifetime is over.
    pub(crate) fn sweep(&mut self, now: u64, most: usize) -> Vec<Removed> {
        let over: Vec<u64> = self
            .by_expiry
            .iter()
            .take_while(|(expires, _)| *expires <= now)
            .take(most)
            .map(|(_, serial)| *serial)
            .collect();
        let ids: Vec<EntryId> = over
            .iter()
            .filter_map(|serial| self.by_serial.get(serial).copied())
            .collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Takes out what was called off of some of what is held, and says how far it came: `None` at the
    /// end. It is not served from the moment it was called off.
    pub(crate) fn forget(
        &mut self,
        after: (u64, u64),
        most: usize,
    ) -> (Vec<Removed>, Option<(u64, u64)>) {
        let table = self.epochs.now();
        let some = self.some(after, most);
        let last = some.last().filter(|_| some.len() == most);
        let last = last.map(|(entry, _)| (entry.expires, entry.serial));
        let off = some.iter().filter(|(entry, _)| table.is_off(entry));
        let removed = off.filter_map(|(entry, _)| self.remove(entry.id)).collect();
        (removed, last)
    }

    /// Takes out the entry under a label.
    pub(crate) fn drop_serial(&mut self, serial: u64) -> Option<Removed> {
        let id = *self.by_serial.get(&serial)?;
        self.remove(id)
    }

    fn remove(&mut self, id: EntryId) -> Option<Removed> {
        let slot = self.slots.remove(&id)?;
        let serial = slot.entry.serial;
        self.by_serial.remove(&serial);
        self.order.leave(slot.place, &slot.entry.tenant);
        self.by_expiry.remove(&(slot.entry.expires, serial));
        self.bytes = self.bytes.saturating_sub(slot.entry.bytes());
        let partition = slot
            .entry
            .meaning
            .as_ref()
            .filter(|_| slot.vector.is_some())
            .map(|m| m.partition);
        let index = partition.and_then(|partition| self.leave(partition));
        Some(Removed { serial, index })
    }

    fn leave(&mut self, partition: PartitionId) -> Option<SharedIndex> {
        let segment = self.segments.get_mut(&partition)?;
        segment.live = segment.live.saturating_sub(1);
        let index = Arc::clone(&segment.index);
        if segment.live == 0 {
            self.segments.remove(&partition);
        }
        Some(index)
    }
}

#[cfg(test)]
mod tests;
