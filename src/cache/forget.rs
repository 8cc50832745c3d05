//! What comes from disk and what leaves memory, indexes and disk together.

use std::sync::Arc;

use super::answer::Purge;
use super::shelf::Removed;
use super::stats::Counters;
use super::store::{self, Doomed, Found, Record};
use super::{Error, Inner, SWEEP_BATCH};
use crate::types::unix_millis;

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

    /// Calls off on a cache that stands alone.
    pub(super) fn purge(&self, what: Purge) -> Result<u64, Error> {
        self.epochs.grow(&what);
        self.forget(&[what])
    }

    /// Takes what was called off out of memory and off the disk. Returns how many entries.
    pub(super) fn forget(&self, purges: &[Purge]) -> Result<u64, Error> {
        let removed = {
            // both at once, or an answer could become everyone's in between
            let mut shelf = self.shelf.lock();
            let mut statements = self.statements.lock();
            purges.iter().for_each(|purge| statements.purge(purge));
            shelf.forget()
        };
        if !purges.is_empty() {
            self.flights.detach_all();
        }
        let serials = Inner::drop_rows(removed);
        let count = serials.len() as u64;
        let Some(writer) = &self.writer else {
            return Ok(count);
        };
        writer.delete(serials)?;
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
