//! What the cache counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since start. Read one by one, so sums may be off by what happens meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) lookups: AtomicU64,
    pub(crate) exact_hits: AtomicU64,
    pub(crate) semantic_hits: AtomicU64,
    pub(crate) guard_refusals: AtomicU64,
    pub(crate) inserts: AtomicU64,
    pub(crate) evictions: AtomicU64,
    pub(crate) shared: AtomicU64,
    /// Answers that became everyone's.
    pub(crate) promoted: AtomicU64,
    /// Entries and deletions that did not reach the disk.
    pub(crate) not_persisted: AtomicU64,
    /// Values on disk that could not be read at start.
    pub(crate) corrupt: AtomicU64,
}

impl Counters {
    /// One more.
    pub(crate) fn add(counter: &AtomicU64) {
        Counters::add_many(counter, 1);
    }

    /// So many more.
    pub(crate) fn add_many(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The count.
    pub(crate) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
