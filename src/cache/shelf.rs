//! Everything held in memory, and the order in which it goes: exact entries, partitions, least
//! recent use, expiry, and the memory of recent purges. No I/O, no clock, no lock of its own.
//!
//! The vectors live in one index per partition with locks of its own, so a long scan never holds
//! up the exact tier. Whatever leaves the shelf is returned as [`Removed`]; the caller takes
//! it out of index and disk after letting go of the shelf. A label found in an index but not on
//! the shelf is a removal on its way and counts as absent.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::answer::Purge;
use super::entry::Entry;
use super::index::{PartitionIndex, Upkeep};
use super::key::{EntryId, PartitionId};

/// Most memory for entries, in bytes, whatever `max_entries` says.
const MAX_BYTES: usize = 512 << 20;
/// Purges remembered; requests older than the oldest are refused their insert.
const PURGES_REMEMBERED: usize = 256;

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
    used: u64,
    indexed: bool,
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
    by_use: BTreeMap<u64, EntryId>,
    by_expiry: BTreeSet<(u64, u64)>,
    segments: HashMap<PartitionId, Segment>,
    upkeep: Upkeep,
    bytes: usize,
    uses: u64,
    next_serial: u64,
    epoch: u64,
    purges: VecDeque<Purge>,
}

impl Shelf {
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

    /// Purges so far.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn partitions(&self) -> usize {
        self.segments.len()
    }

    /// The fresh entry of `id`, marked as used.
    pub(crate) fn get(&mut self, id: EntryId, now: u64, ttl_millis: u64) -> Option<Arc<Entry>> {
        let entry = &self.slots.get(&id)?.entry;
        if !entry.is_fresh(now, ttl_millis) {
            return None;
        }
        let entry = Arc::clone(entry);
        self.touch(id);
        Some(entry)
    }

    /// The entry under a label of an index.
    pub(crate) fn by_serial(&self, serial: u64) -> Option<Arc<Entry>> {
        let id = self.by_serial.get(&serial)?;
        self.slots.get(id).map(|slot| Arc::clone(&slot.entry))
    }

    /// Marks `id` as used just now.
    pub(crate) fn touch(&mut self, id: EntryId) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        self.by_use.remove(&slot.used);
        self.uses += 1;
        slot.used = self.uses;
        self.by_use.insert(slot.used, id);
    }

    /// The index of a partition that holds at least one entry.
    pub(crate) fn index(&self, partition: PartitionId) -> Option<SharedIndex> {
        self.segments
            .get(&partition)
            .map(|segment| Arc::clone(&segment.index))
    }

    /// Every index.
    pub(crate) fn indexes(&self) -> Vec<SharedIndex> {
        self.segments
            .values()
            .map(|segment| Arc::clone(&segment.index))
            .collect()
    }

    /// Puts an entry in unless a purge since `epoch` means it; it may push others out.
    pub(crate) fn insert(
        &mut self,
        entry: Arc<Entry>,
        epoch: u64,
        max_entries: u64,
    ) -> Option<Vec<Removed>> {
        if self.purged_since(&entry, epoch) {
            return None;
        }
        let mut removed: Vec<Removed> = self.remove(entry.id).into_iter().collect();
        let id = entry.id;
        self.uses += 1;
        self.bytes += entry.bytes();
        self.by_serial.insert(entry.serial, id);
        self.by_use.insert(self.uses, id);
        self.by_expiry.insert((entry.expires, entry.serial));
        self.slots.insert(
            id,
            Slot {
                entry,
                used: self.uses,
                indexed: false,
            },
        );
        removed.extend(self.trim(max_entries));
        Some(removed)
    }

    /// Opens the partition's index for a live entry; `None` when it has left meanwhile, is there
    /// already, has no meaning or the partition's vectors have another length. The caller then adds the vector.
    pub(crate) fn attach(&mut self, serial: u64, dimensions: usize) -> Option<SharedIndex> {
        let slot = self
            .by_serial
            .get(&serial)
            .and_then(|id| self.slots.get_mut(id))?;
        let partition = slot.entry.meaning.as_ref()?.partition;
        if slot.indexed {
            return None;
        }
        let other = self.segments.get(&partition);
        if other.is_some_and(|segment| segment.index.dimensions() != dimensions) {
            return None;
        }
        slot.indexed = true;
        let segment = self.segments.entry(partition).or_insert_with(|| Segment {
            live: 0,
            index: PartitionIndex::new(dimensions, self.upkeep.clone()),
        });
        segment.live += 1;
        Some(Arc::clone(&segment.index))
    }

    /// Pushes out the least recently used until both bounds hold.
    pub(crate) fn trim(&mut self, max_entries: u64) -> Vec<Removed> {
        let mut removed = Vec::new();
        while self.slots.len() as u64 > max_entries.max(1)
            || self.bytes > MAX_BYTES && self.slots.len() > 1
        {
            let Some((_, &oldest)) = self.by_use.first_key_value() else {
                break;
            };
            removed.extend(self.remove(oldest));
        }
        removed
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

    /// Takes out what `purge` means, and keeps it out for requests that began before.
    pub(crate) fn purge(&mut self, purge: Purge) -> Vec<Removed> {
        let meant: Vec<EntryId> = self
            .slots
            .values()
            .filter(|slot| slot.entry.is_meant_by(&purge))
            .map(|slot| slot.entry.id)
            .collect();
        self.epoch += 1;
        self.purges.push_back(purge);
        if self.purges.len() > PURGES_REMEMBERED {
            self.purges.pop_front();
        }
        meant.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// A purge after `epoch` means the entry, or too many purges have passed to know.
    fn purged_since(&self, entry: &Entry, epoch: u64) -> bool {
        let missed = usize::try_from(self.epoch.saturating_sub(epoch)).unwrap_or(usize::MAX);
        missed > self.purges.len()
            || self
                .purges
                .iter()
                .rev()
                .take(missed)
                .any(|p| entry.is_meant_by(p))
    }

    fn remove(&mut self, id: EntryId) -> Option<Removed> {
        let slot = self.slots.remove(&id)?;
        let serial = slot.entry.serial;
        self.by_serial.remove(&serial);
        self.by_use.remove(&slot.used);
        self.by_expiry.remove(&(slot.entry.expires, serial));
        self.bytes = self.bytes.saturating_sub(slot.entry.bytes());
        let partition = slot
            .entry
            .meaning
            .as_ref()
            .filter(|_| slot.indexed)
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
