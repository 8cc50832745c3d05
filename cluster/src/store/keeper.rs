//! Looks after the store off the commit path, on a thread of its own: moves the watermark, asks
//! RocksDB for errors of its background work, compacts the log after it was purged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use openraft::type_config::alias::VoteOf;
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::db::{Db, Family};
use super::disk::Disk;
use super::entry::{self, Tail};
use super::mark::Mark;
use crate::identity::{MemberId, NodeId};
use crate::raft::TypeConfig;

/// The watermark lags by no more than this, nor by more entries than [`MARK_ENTRIES`].
const MARK_EVERY: Duration = Duration::from_secs(1);
/// See [`MARK_EVERY`]. A busy log would move it more often than the disk likes, hence [`MARK_PAUSE`].
const MARK_ENTRIES: u64 = 64;
/// Two writes of the watermark are at least this far apart: at most a few percent of a slow disk.
const MARK_PAUSE: Duration = Duration::from_millis(100);
/// Deleted entries are dropped from the files once there are this many: tombstones slow reading.
const COMPACT_ENTRIES: u64 = 4096;

/// Whether the store has failed, and how. The first reason stays.
#[derive(Clone, Debug)]
pub(super) struct Health {
    failed: Arc<watch::Sender<Option<String>>>,
}

impl Health {
    pub(super) fn new() -> Self {
        Health {
            failed: Arc::new(watch::Sender::new(None)),
        }
    }

    /// The store is not to be written to again in this process.
    pub(super) fn fail(&self, reason: String) {
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            if first {
                tracing::error!(reason, "the store has failed");
                *failed = Some(reason);
            }
            first
        });
    }

    /// Refuses once it has failed.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.failed.borrow().as_ref() {
            Some(reason) => Err(io::Error::other(format!("the store has failed: {reason}"))),
            None => Ok(()),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Option<String>> {
        self.failed.subscribe()
    }
}

/// The keeper's handle. Ends its thread when dropped, with a last look at the watermark.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    /// What the file holds. Held while it is written, and taken before `seen`.
    written: Mutex<Mark>,
    seen: Mutex<Seen>,
    wake: Condvar,
}

/// What has become durable since.
#[derive(Debug)]
struct Seen {
    mark: Mark,
    /// Grows with each truncation: what was durable before it may be gone.
    generation: u64,
    entries: u64,
    urgent: bool,
    purged: u64,
    compact_to: Option<u64>,
    stop: bool,
}

impl Keeper {
    /// Starts with the watermark as it is on disk.
    pub(super) fn start(
        dir: &Path,
        mark: Mark,
        db: Arc<Db>,
        disk: Arc<Disk>,
        health: Health,
    ) -> io::Result<Self> {
        let seen = Seen {
            mark: mark.clone(),
            generation: 0,
            entries: 0,
            urgent: false,
            purged: 0,
            compact_to: None,
            stop: false,
        };
        let shared = Arc::new(Shared {
            dir: dir.to_path_buf(),
            written: Mutex::new(mark),
            seen: Mutex::new(seen),
            wake: Condvar::new(),
        });
        let run = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store-keeper".to_owned())
            .spawn(move || run.run(&db, &disk, &health))?;
        Ok(Keeper {
            shared,
            thread: Some(thread),
        })
    }

    /// The generation that entries written now belong to.
    pub(super) fn generation(&self) -> u64 {
        self.shared.seen.lock().generation
    }

    /// Entries up to a tail are durable.
    pub(super) fn entries_durable(&self, generation: u64, tail: Tail, entries: u64) {
        let mut seen = self.shared.seen.lock();
        if seen.generation != generation {
            return; // truncated since; what is left of them is written with the next entries
        }
        if tail.next_index() > seen.mark.tail.next_index() {
            seen.mark.tail = tail;
        }
        seen.entries = seen.entries.saturating_add(entries);
        if seen.entries >= MARK_ENTRIES {
            seen.urgent = true;
            self.shared.wake.notify_one();
        }
    }

    /// A vote is durable.
    pub(super) fn vote_durable(&self, vote: &VoteOf<TypeConfig>) {
        let mut seen = self.shared.seen.lock();
        seen.mark.vote = Some(*vote);
        seen.urgent = true;
        self.shared.wake.notify_one();
    }

    /// The directory's owner is durable; so is the watermark that says so, on return.
    pub(super) fn owner_durable(&self, member: MemberId, node: NodeId) -> io::Result<()> {
        self.shared.seen.lock().mark.owner = Some((member, node));
        self.shared.write()
    }

    /// Entries behind a tail are about to be truncated: the watermark steps back first, durable on
    /// return, so that it never asks for what was given up rightly.
    pub(super) fn truncating(&self, left: Tail) -> io::Result<()> {
        let mut written = self.shared.written.lock();
        let mark = {
            let mut seen = self.shared.seen.lock();
            seen.generation += 1;
            if seen.mark.tail.next_index() > left.next_index() {
                seen.mark.tail = left;
            }
            seen.mark.clone()
        };
        if written.tail.next_index() > left.next_index() {
            mark.write(&self.shared.dir)?;
            *written = mark;
        }
        Ok(())
    }

    /// Entries up to an index were deleted.
    pub(super) fn purged(&self, index: u64, entries: u64) {
        let mut seen = self.shared.seen.lock();
        seen.purged = seen.purged.saturating_add(entries);
        if seen.purged >= COMPACT_ENTRIES {
            seen.purged = 0;
            seen.compact_to = Some(index);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.seen.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, db: &Db, disk: &Disk, health: &Health) {
        loop {
            let (stop, compact_to) = self.wait();
            let mut written = self.write();
            if let Err(error) = written {
                // a file that is made anew may be tried again, once there is room
                disk.relieve(error);
                written = self.write();
            }
            if let Err(error) = written {
                health.fail(format!("the watermark cannot be written: {error}"));
            }
            match db.background_errors() {
                Ok(0) => {}
                Ok(count) => {
                    disk.relieve_if_full();
                    health.fail(format!("{count} errors in RocksDB's own threads"));
                }
                Err(error) => health.fail(format!("RocksDB cannot be asked: {error}")),
            }
            if stop {
                return;
            }
            // Files are dropped by compaction alone. It is told of deletions by the database, so
            // unlike deleting files by range it cannot run ahead of a purge that is not durable.
            if let Some(index) = compact_to
                && let Err(error) = db.compact(Family::Logs, &entry::key(0), &entry::key(index))
            {
                tracing::warn!(%error, "the log cannot be compacted");
            }
        }
    }

    fn wait(&self) -> (bool, Option<u64>) {
        let mut seen = self.seen.lock();
        let wake = &self.wake;
        wake.wait_while_for(&mut seen, |seen| !seen.stop, MARK_PAUSE);
        let idle = |seen: &mut Seen| !seen.stop && !seen.urgent && seen.compact_to.is_none();
        wake.wait_while_for(&mut seen, idle, MARK_EVERY);
        (seen.stop, seen.compact_to.take())
    }

    /// Writes the watermark if it has moved.
    fn write(&self) -> io::Result<()> {
        let mut written = self.written.lock();
        let mark = {
            let mut seen = self.seen.lock();
            seen.entries = 0;
            seen.urgent = false;
            seen.mark.clone()
        };
        if *written != mark {
            mark.write(&self.dir)?;
            *written = mark;
        }
        Ok(())
    }
}
