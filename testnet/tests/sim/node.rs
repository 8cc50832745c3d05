//! A node's ground: its disk, how slow that is, and the crashes that wait for it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::disk::{Disk, Image, Write};
use crate::invariants::{Event, Witness};
use crate::types::{ms, now, pause};

/// A node, over all its processes.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) witness: Witness,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    disk: Disk,
    rng: SmallRng,
    /// How long a sync takes.
    sync: (Duration, Duration),
    /// A crash waits for a disk operation.
    ambush: Option<Ambush>,
    /// When it may start again after a crash.
    down_until: Duration,
}

/// A crash in the middle of a disk operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ambush {
    /// Operations that still pass.
    pub(crate) after: u32,
    /// After the write and its sync, when nobody was told yet; otherwise between the two.
    pub(crate) synced: bool,
}

const QUICK: (Duration, Duration) = (Duration::from_micros(500), ms(6));

impl Node {
    pub(crate) fn new(id: u64, seed: u64, witness: Witness) -> Arc<Self> {
        Arc::new(Node {
            id,
            witness,
            inner: Mutex::new(Inner {
                disk: Disk::default(),
                rng: SmallRng::seed_from_u64(seed ^ (id << 32)),
                sync: QUICK,
                ambush: None,
                down_until: Duration::ZERO,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process that may use the disk.
    pub(crate) fn boot(&self) -> u64 {
        self.lock().disk.boot()
    }

    /// Whether it may start now.
    pub(crate) fn is_up(&self) -> bool {
        self.lock().down_until <= now()
    }

    /// Looks at what a process sees.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Image) -> T) -> T {
        at(self.lock().disk.image())
    }

    /// The process ends now and may come back later.
    pub(crate) fn crash(&self, down: Duration) {
        self.lock().crash(down);
    }

    /// The node's process crashes at one of its next disk operations.
    pub(crate) fn lie_in_ambush(&self, ambush: Ambush) {
        self.lock().ambush = Some(ambush);
    }

    /// Syncs take so long from now on.
    pub(crate) fn slow_down(&self, sync: (Duration, Duration)) {
        self.lock().sync = sync;
    }

    /// As good as new, and back at once.
    pub(crate) fn heal(&self) {
        let mut inner = self.lock();
        inner.sync = QUICK;
        inner.ambush = None;
        inner.down_until = now();
    }

    /// A process writes; `Err` for one that crashed.
    pub(crate) fn write(&self, boot: u64, write: Write) -> io::Result<u64> {
        let mut inner = self.lock();
        inner.alive(boot)?;
        Ok(inner.disk.write(write))
    }

    /// A process reads.
    pub(crate) fn read<T>(&self, boot: u64, read: impl FnOnce(&Image) -> T) -> io::Result<T> {
        let inner = self.lock();
        inner.alive(boot)?;
        Ok(read(inner.disk.image()))
    }

    /// A process waits until a write is safe.
    pub(crate) async fn sync(&self, boot: u64, upto: u64) -> io::Result<()> {
        let wait = {
            let mut inner = self.lock();
            inner.alive(boot)?;
            inner.spring(false)?;
            let (shortest, longest) = inner.sync;
            inner.rng.random_range(shortest..=longest)
        };
        pause(wait).await;
        let mut inner = self.lock();
        inner.alive(boot)?;
        inner.disk.sync(upto);
        inner.spring(true)
    }

    /// A process is busy with a file for a while.
    pub(crate) async fn linger(&self, boot: u64, longest: Duration) -> io::Result<()> {
        let wait = {
            let mut inner = self.lock();
            inner.alive(boot)?;
            inner.rng.random_range(Duration::ZERO..=longest)
        };
        pause(wait).await;
        self.lock().alive(boot)
    }

    /// Tells of something that happened here.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.witness.tell(event);
    }
}

impl Inner {
    fn alive(&self, boot: u64) -> io::Result<()> {
        if self.disk.boot() == boot {
            return Ok(());
        }
        Err(io::Error::other("this process has crashed"))
    }

    fn crash(&mut self, down: Duration) {
        self.disk.crash(&mut self.rng);
        self.ambush = None;
        self.down_until = now() + down;
    }

    fn spring(&mut self, synced: bool) -> io::Result<()> {
        let Some(ambush) = &mut self.ambush else {
            return Ok(());
        };
        if ambush.after > 0 {
            ambush.after -= 1;
            return Ok(());
        }
        if ambush.synced != synced {
            return Ok(());
        }
        let down = ms(self.rng.random_range(20..1_500));
        self.crash(down);
        Err(io::Error::other("this process crashes here"))
    }
}
