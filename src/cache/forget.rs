//! What comes from disk and what leaves memory, indexes and disk together.

use std::sync::Arc;

use super::answer::Purge;
use super::compact::Compact;
use super::entry::Entry;
use super::shelf::Removed;
use super::stats::Counters;
use super::store::{self, Doomed, Found, Record};
use super::{Error, Inner, SWEEP_BATCH};
use crate::types::unix_millis;

/// Entries looked at under one lock of the shelf, some 100 µs.
const AT_ONCE: usize = 1024;

impl Inner {
    /// Puts what was on disk on the shelf; returns the keys that may go. Epochs that were not agreed
    /// begin anew: whatever is there is older than any purge to come.
    pub(super) fn load(&self, found: Found, epochs_are_agreed: bool) -> Vec<u64> {
        let now = unix_millis();
        let space = self.embedder.as_ref().map(|embedder| embedder.space());
        Counters::add_many(&self.counters.corrupt, found.corrupt.len());
        let mut dead = found.corrupt;
        let mut shelf = self.shelf.lock();
        for Record { mut entry, vector } in found.records {
            let serial = entry.serial;
            if !epochs_are_agreed {
                entry.epoch = 0;
            }
            shelf.seen(serial);
            if entry.expires <= now {
                dead.push(serial);
                continue;
            }
            let removed = shelf.insert(Arc::new(entry));
            let Some(removed) = removed else { continue };
            dead.extend(Inner::drop_rows(removed));
            let Some((made_in, vector)) = vector else {
                continue;
            };
            if Some(made_in.as_str()) == space
                && let Some(index) = shelf.attach(serial, &vector)
            {
                index.insert(serial, &vector.widen());
            }
        }
        dead
    }

    pub(super) fn sweeper(&self) -> store::Sweep {
        let (shelf, counters) = (Arc::downgrade(&self.shelf), Arc::clone(&self.counters));
        Box::new(move || {
            let Some(shelf) = shelf.upgrade() else {
                return Vec::new();
            };
            let removed = shelf.lock().sweep(unix_millis(), SWEEP_BATCH);
            Counters::add_many(&counters.evictions, removed.len());
            Inner::drop_rows(removed)
        })
    }

    /// Takes rows out of their indexes; returns their serials.
    pub(super) fn drop_rows(removed: Vec<Removed>) -> Vec<u64> {
        let mut serials = Vec::with_capacity(removed.len());
        for Removed { serial, index } in removed {
            if let Some(index) = index {
                index.remove(serial);
            }
            serials.push(serial);
        }
        serials
    }

    /// Takes what left the shelf out of the indexes and off the disk. Blocks.
    pub(super) fn take_out(&self, removed: Vec<Removed>) {
        let serials = Inner::drop_rows(removed);
        if let Some(Err(error)) = self.writer.as_ref().map(|writer| writer.delete(serials)) {
            tracing::debug!(%error, "evicted entries stay on disk until they expire");
        }
    }

    /// Everything held, with its vectors. Others get at the shelf meanwhile: what comes or goes in
    /// between may be in it or not.
    pub(super) fn held(&self) -> Vec<(Arc<Entry>, Option<Compact>)> {
        let mut held: Vec<(Arc<Entry>, Option<Compact>)> = Vec::new();
        loop {
            let last = held.last();
            let after = last.map_or((0, 0), |(entry, _)| (entry.expires, entry.serial));
            let some = self.shelf.lock().some(after, AT_ONCE);
            let is_end = some.len() < AT_ONCE;
            held.extend(some);
            if is_end {
                return held;
            }
        }
    }

    /// Calls off on a cache that stands alone.
    pub(super) fn purge(&self, what: Purge) -> Result<u64, Error> {
        self.epochs.grow(&what);
        self.forget(&[what])
    }

    /// Takes what was called off out of memory and off the disk. Returns how many entries.
    pub(super) fn forget(&self, purges: &[Purge]) -> Result<u64, Error> {
        {
            let mut statements = self.statements.lock();
            purges.iter().for_each(|purge| statements.purge(purge));
        }
        if !purges.is_empty() {
            self.flights.detach_all();
        }
        let (mut count, mut after) = (0, Some((0, 0)));
        while let Some(place) = after {
            let (removed, last) = self.shelf.lock().forget(place, AT_ONCE);
            let serials = Inner::drop_rows(removed);
            count += serials.len() as u64;
            if let Some(writer) = &self.writer {
                writer.delete(serials)?;
            }
            after = last;
        }
        let Some(writer) = &self.writer else {
            return Ok(count);
        };
        for purge in purges {
            match purge {
                Purge::All => writer.destroy(Doomed::All)?,
                Purge::Tenant(tenant) => writer.destroy(Doomed::Tenant(tenant.clone()))?,
                Purge::Tag(..) | Purge::Model(_) | Purge::Entry(_) => {}
            }
        }
        writer.flush()?;
        Ok(count)
    }
}
