//! The one thread that makes writes durable.
//!
//! Whoever wrote hands over what to call back; the thread takes all that wait, syncs once for all
//! of them, and answers all. A sync that failed is never tried again: the kernel may have dropped
//! the very pages it could not write, and would call the next one good.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use openraft::storage::IOFlushed;
use openraft::type_config::alias::VoteOf;
use tokio::sync::oneshot;

use super::db::Db;
use super::disk::Disk;
use super::entry::Tail;
use super::faults::{Faults, Point};
use super::keeper::{Health, Keeper};
use crate::raft::TypeConfig;

/// Most that wait for a sync. openraft has fewer appends under way; past it the disk stands still,
/// and waiting is right.
const MAX_WAITING: usize = 4096;

/// What became durable, and whom to tell.
enum Waiter {
    Entries {
        callback: IOFlushed<TypeConfig>,
        generation: u64,
        tail: Tail,
        entries: u64,
    },
    Vote {
        vote: VoteOf<TypeConfig>,
        done: oneshot::Sender<io::Result<()>>,
    },
    Anything {
        done: oneshot::Sender<io::Result<()>>,
    },
}

/// A waiter that is always answered: with an error if it is dropped on the way.
struct Pending(Option<Waiter>);

impl Pending {
    fn answer(mut self, result: io::Result<()>) {
        if let Some(waiter) = self.0.take() {
            waiter.answer(result);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(waiter) = self.0.take() {
            waiter.answer(Err(io::Error::other("the store is closing")));
        }
    }
}

impl Waiter {
    fn answer(self, result: io::Result<()>) {
        match self {
            Waiter::Entries { callback, .. } => callback.io_completed(result),
            Waiter::Vote { done, .. } | Waiter::Anything { done } => {
                let _ = done.send(result);
            }
        }
    }
}

/// The thread's handle. Ends it when dropped, with a last sync.
#[derive(Debug)]
pub(super) struct Syncer {
    queue: Option<SyncSender<Pending>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread works with.
pub(super) struct Tools {
    pub(super) db: Arc<Db>,
    pub(super) disk: Arc<Disk>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) health: Health,
    pub(super) faults: Faults,
}

impl Syncer {
    pub(super) fn start(tools: Tools) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(MAX_WAITING);
        let thread = std::thread::Builder::new()
            .name("store-sync".to_owned())
            .spawn(move || tools.run(&waiting))?;
        Ok(Syncer {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Calls back once entries, already written, are durable.
    pub(super) fn entries(
        &self,
        callback: IOFlushed<TypeConfig>,
        generation: u64,
        tail: Tail,
        entries: u64,
    ) {
        self.push(Waiter::Entries {
            callback,
            generation,
            tail,
            entries,
        });
    }

    /// Returns once a vote, already written, is durable.
    pub(super) async fn vote(&self, vote: VoteOf<TypeConfig>) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.push(Waiter::Vote { vote, done });
        answer.await.map_err(io::Error::other)?
    }

    /// Returns once everything written so far is durable. Blocks.
    pub(super) fn anything(&self) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.push(Waiter::Anything { done });
        futures::executor::block_on(answer).map_err(io::Error::other)?
    }

    fn push(&self, waiter: Waiter) {
        let pending = Pending(Some(waiter));
        match &self.queue {
            // a queue nobody empties gives it back, and its drop answers
            Some(queue) => drop(queue.send(pending)),
            None => drop(pending),
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Tools {
    fn run(&self, waiting: &Receiver<Pending>) {
        while let Ok(first) = waiting.recv() {
            let mut batch = vec![first];
            batch.extend(waiting.try_iter().take(MAX_WAITING));
            let outcome = self.sync();
            if outcome.is_ok() {
                batch.iter().for_each(|pending| self.note(pending));
            }
            for pending in batch {
                pending.answer(again(&outcome));
            }
        }
        let _ = self.sync();
    }

    fn sync(&self) -> io::Result<()> {
        self.health.check()?;
        let outcome = self.faults.around(Point::Fsync, || self.db.sync());
        outcome.map_err(|error| {
            let error = self.disk.relieve(error);
            self.health.fail(format!("a sync failed: {error}"));
            error
        })
    }

    fn note(&self, pending: &Pending) {
        match &pending.0 {
            Some(Waiter::Entries {
                generation,
                tail,
                entries,
                ..
            }) => self.keeper.entries_durable(*generation, *tail, *entries),
            Some(Waiter::Vote { vote, .. }) => self.keeper.vote_durable(vote),
            Some(Waiter::Anything { .. }) | None => {}
        }
    }
}

/// One outcome for several: an error cannot be cloned.
fn again(outcome: &io::Result<()>) -> io::Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
    }
}
