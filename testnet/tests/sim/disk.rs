//! A disk that keeps what was synced and, of what was written after that, some: as many of the
//! writes as a crash leaves, in their order, for they go through one write-ahead log.

use std::collections::{BTreeMap, VecDeque};

use llm_router_cluster::State;
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::types::{Entry, LogId, Membership, Meta, Rows, Vote};

/// Everything a node keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) vote: Option<Vote>,
    pub(crate) log: BTreeMap<u64, Entry>,
    pub(crate) purged: Option<LogId>,
    pub(crate) committed: Option<LogId>,
    pub(crate) applied: Applied,
    pub(crate) snapshot: Option<Kept>,
}

/// The state machine as it is stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applied {
    pub(crate) state: State,
    pub(crate) last: Option<LogId>,
    pub(crate) membership: Membership,
}

/// A snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) meta: Meta,
    pub(crate) rows: Rows,
}

/// One atomic write.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Vote(Vote),
    Append(Vec<Entry>),
    Truncate(Option<LogId>),
    Purge(LogId),
    Committed(Option<LogId>),
    Applied(Applied),
    Snapshot(Kept),
    Install(Kept, Applied),
}

impl Image {
    fn take(&mut self, write: Write) {
        match write {
            Write::Vote(vote) => self.vote = Some(vote),
            Write::Append(entries) => {
                self.log
                    .extend(entries.into_iter().map(|entry| (entry.log_id.index, entry)));
            }
            Write::Truncate(last) => {
                let first_gone = last.map_or(0, |last| last.index + 1);
                self.log.split_off(&first_gone);
            }
            Write::Purge(upto) => {
                self.log = self.log.split_off(&(upto.index + 1));
                self.purged = self.purged.max(Some(upto));
            }
            Write::Committed(committed) => self.committed = committed,
            Write::Applied(applied) => self.applied = applied,
            Write::Snapshot(kept) => self.keep(kept),
            Write::Install(kept, applied) => {
                self.keep(kept);
                self.applied = applied;
            }
        }
    }

    /// A build that took long must not replace a newer snapshot that was received meanwhile.
    fn keep(&mut self, kept: Kept) {
        let have = self
            .snapshot
            .as_ref()
            .and_then(|have| have.meta.last_log_id);
        if kept.meta.last_log_id >= have {
            self.snapshot = Some(kept);
        }
    }

    /// The last entry it has, be it purged.
    pub(crate) fn last(&self) -> Option<LogId> {
        let last = self.log.values().next_back().map(|entry| entry.log_id);
        last.max(self.purged)
    }

    /// Whether it has this entry, in its log or under what was purged or taken over as a snapshot.
    pub(crate) fn holds(&self, id: LogId) -> bool {
        let below = [self.purged, self.applied.last];
        below.iter().flatten().any(|below| below.index >= id.index)
            || self
                .log
                .get(&id.index)
                .is_some_and(|entry| entry.log_id == id)
    }
}

/// A node's disk. Its boot number tells the processes apart that use it one after the other.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    synced: Image,
    written: Image,
    pending: VecDeque<Write>,
    /// Writes ever made; the number of a write to sync to.
    count: u64,
    boot: u64,
}

impl Disk {
    /// What a process sees.
    pub(crate) fn image(&self) -> &Image {
        &self.written
    }

    /// The process that uses it now.
    pub(crate) fn boot(&self) -> u64 {
        self.boot
    }

    /// Writes, unsynced; tells the number to sync to.
    pub(crate) fn write(&mut self, write: Write) -> u64 {
        self.written.take(write.clone());
        self.pending.push_back(write);
        self.count += 1;
        self.count
    }

    /// Everything up to a write survives a crash.
    pub(crate) fn sync(&mut self, upto: u64) {
        let keep = self.count.saturating_sub(upto);
        while self.pending.len() as u64 > keep {
            if let Some(write) = self.pending.pop_front() {
                self.synced.take(write);
            }
        }
    }

    /// The process ends at once; a part of what was not synced is lost.
    pub(crate) fn crash(&mut self, rng: &mut SmallRng) {
        let survive = rng.random_range(0..=self.pending.len());
        self.sync(self.count - (self.pending.len() - survive) as u64);
        self.pending.clear();
        self.boot += 1;
        // The next process reads its state from rows, as one that opens a database does.
        let applied = &mut self.synced.applied;
        applied.state = State::from_rows(applied.state.rows()).unwrap();
        self.written = self.synced.clone();
    }
}
