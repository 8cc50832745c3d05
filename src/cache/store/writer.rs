//! The one thread that writes to the database.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::{Disk, Put, StoreError};
use crate::cache::stats::Counters;
use crate::types::TenantId;

/// Orders that may wait for the disk.
const WAITING: usize = 4096;
/// How often expired entries are swept while nothing is written.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Takes expired entries out of memory and names them, so that they go from disk as well.
pub(crate) type Sweep = Box<dyn Fn() -> Vec<u64> + Send>;

/// Whose data keys are destroyed.
#[derive(Clone, Debug)]
pub(crate) enum Doomed {
    /// One tenant's.
    Tenant(TenantId),
    /// Everybody's.
    All,
}

enum Order {
    Put(Put),
    Delete(Vec<u64>),
    /// Answered when the keys are gone.
    Destroy(Doomed, SyncSender<Result<(), StoreError>>),
    /// Answered when everything before it is written; `true` syncs the log and stops the thread.
    Settle(SyncSender<Result<(), StoreError>>, bool),
}

/// A handle on the writer. Dropping it lets the thread finish what waits and end.
#[derive(Debug)]
pub(crate) struct Writer {
    orders: SyncSender<Order>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(
        disk: Disk,
        counters: Arc<Counters>,
        sweep: Sweep,
    ) -> Result<Self, StoreError> {
        let (orders, inbox) = sync_channel(WAITING);
        std::thread::Builder::new()
            .name("cache-writer".to_owned())
            .spawn(move || run(disk, inbox, &counters, &sweep))
            .map_err(StoreError::Thread)?;
        Ok(Writer { orders })
    }

    /// Hands an entry over without waiting; false when the channel is full or closed.
    pub(crate) fn put(&self, put: Put) -> bool {
        self.orders.try_send(Order::Put(put)).is_ok()
    }

    /// Hands keys to delete over, waiting for room. Never call it on an async thread.
    pub(crate) fn delete(&self, serials: Vec<u64>) -> Result<(), StoreError> {
        if serials.is_empty() {
            return Ok(());
        }
        self.orders
            .send(Order::Delete(serials))
            .map_err(|_| StoreError::Stopped)
    }

    /// Destroys data keys and waits until they are gone; what was handed over before is written
    /// before. Never call it on an async thread.
    pub(crate) fn destroy(&self, doomed: Doomed) -> Result<(), StoreError> {
        let (done, wait) = sync_channel(1);
        self.orders
            .send(Order::Destroy(doomed, done))
            .map_err(|_| StoreError::Stopped)?;
        wait.recv().map_err(|_| StoreError::Stopped)?
    }

    /// Waits until everything handed over is written. Never call it on an async thread.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.settle(false)
    }

    /// The same, then syncs the log, closes the database and ends the thread.
    pub(crate) fn stop(&self) -> Result<(), StoreError> {
        self.settle(true)
    }

    fn settle(&self, stop: bool) -> Result<(), StoreError> {
        let (done, wait) = sync_channel(1);
        self.orders
            .send(Order::Settle(done, stop))
            .map_err(|_| StoreError::Stopped)?;
        wait.recv().map_err(|_| StoreError::Stopped)?
    }
}

fn run(mut disk: Disk, inbox: Receiver<Order>, counters: &Counters, sweep: &Sweep) {
    loop {
        match inbox.recv_timeout(SWEEP_EVERY) {
            Ok(Order::Put(put)) => note(counters, disk.put(&put)),
            Ok(Order::Delete(serials)) => note(counters, disk.delete(&serials)),
            Ok(Order::Destroy(doomed, done)) => _ = done.send(disk.destroy(&doomed)),
            Ok(Order::Settle(done, stop)) => {
                let result = disk.flush_log(stop);
                if stop {
                    // before anyone is told: the directory's lock is free, and whatever comes
                    // later is refused and counted by its sender
                    let late = inbox
                        .try_iter()
                        .filter(|order| matches!(order, Order::Put(_)));
                    Counters::add_many(&counters.not_persisted, late.count());
                    drop(inbox);
                    drop(disk);
                    _ = done.send(result);
                    return;
                }
                _ = done.send(result);
            }
            Err(RecvTimeoutError::Timeout) => note(counters, disk.delete(&sweep())),
            Err(RecvTimeoutError::Disconnected) => {
                note(counters, disk.flush_log(true));
                return;
            }
        }
    }
}

fn note(counters: &Counters, result: Result<(), StoreError>) {
    if let Err(error) = result {
        Counters::add(&counters.not_persisted);
        tracing::warn!(%error, "cache entry not written");
    }
}
