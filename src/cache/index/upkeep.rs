//! The two threads that seal, merge and build graphs for every index of a cache.
//!
//! One copies rows, the other builds graphs on a pool of at most half the cores, so that a graph,
//! which takes minutes, keeps no other partition from being sealed. Both start with the first
//! piece of work: a cache of small partitions has neither. Who asks never waits; what does not fit
//! the queue is asked for again by the next block of the same partition.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::plan::Slot;
use super::segment::Segment;
use super::{IndexKind, PartitionIndex};

/// Partitions that may wait for work; each waits at most once.
const WAITING: usize = 4096;

/// The handle. Clones are the same; the threads end when the last one is gone.
#[derive(Clone, Debug, Default)]
pub struct Upkeep {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    kind: ArcSwap<IndexKind>,
    threads: Mutex<Threads>,
    orders: Arc<Orders>,
}

/// What the threads look at between two pieces of work, and a build while it runs.
#[derive(Debug, Default)]
struct Orders {
    stop: AtomicBool,
    /// Calls the build under way off.
    building: Mutex<Option<Arc<AtomicBool>>>,
}

#[derive(Debug, Default)]
enum Threads {
    #[default]
    NotNeededYet,
    Running {
        flat: SyncSender<Weak<PartitionIndex>>,
        graph: SyncSender<Weak<PartitionIndex>>,
        handles: Vec<JoinHandle<()>>,
    },
    Stopped,
}

impl Upkeep {
    /// Upkeep for indexes of a kind. Starts nothing yet.
    pub fn new(kind: IndexKind) -> Self {
        let upkeep = Upkeep::default();
        upkeep.set_kind(kind);
        upkeep
    }

    /// Which kind of index is wanted.
    pub fn kind(&self) -> IndexKind {
        **self.shared.kind.load()
    }

    /// Wants another kind from now on. Graphs that are there stay until their segment is rewritten.
    pub fn set_kind(&self, kind: IndexKind) {
        self.shared.kind.store(Arc::new(kind));
    }

    /// Calls a build off and waits for both threads, at most as long as one flat merge takes. Later
    /// work is not done; indexes go on answering and taking vectors as they are.
    pub fn stop(&self) {
        for handle in self.shared.end() {
            if handle.join().is_err() {
                tracing::warn!("a thread of the index's upkeep had panicked");
            }
        }
    }

    /// Asks for a look at `index`; false when it has to be asked again.
    pub(super) fn ask(&self, index: Weak<PartitionIndex>, slot: Slot) -> bool {
        let mut threads = self.shared.threads.lock();
        if matches!(*threads, Threads::NotNeededYet) {
            *threads = match start(&self.shared.orders) {
                Ok(running) => running,
                Err(error) => {
                    tracing::warn!(%error, "the index stays as it is: no thread for its upkeep");
                    Threads::Stopped
                }
            };
        }
        match (&*threads, slot) {
            (Threads::Running { flat, .. }, Slot::Flat) => flat.try_send(index).is_ok(),
            (Threads::Running { graph, .. }, Slot::Graph) => graph.try_send(index).is_ok(),
            (Threads::NotNeededYet | Threads::Stopped, _) => false,
        }
    }
}

impl Shared {
    fn end(&self) -> Vec<JoinHandle<()>> {
        let ended = std::mem::replace(&mut *self.threads.lock(), Threads::Stopped);
        match ended {
            Threads::NotNeededYet | Threads::Stopped => Vec::new(),
            Threads::Running { handles, .. } => {
                self.orders.stop.store(true, Ordering::SeqCst);
                // a build that begins after this look sees the order to stop
                if let Some(called_off) = &*self.orders.building.lock() {
                    called_off.store(true, Ordering::Relaxed);
                }
                handles
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // the last handle may go on one of the two threads, which cannot wait for itself
        drop(self.end());
    }
}

fn start(orders: &Arc<Orders>) -> std::io::Result<Threads> {
    let (flat, flat_work) = sync_channel(WAITING);
    let (graph, graph_work) = sync_channel(WAITING);
    let (copier, linker) = (Arc::clone(orders), Arc::clone(orders));
    let copying = std::thread::Builder::new()
        .name("index-merge".to_owned())
        .spawn(move || each(&flat_work, &copier, copy_rows))?;
    let mut pool = None;
    let linking = std::thread::Builder::new()
        .name("index-graph".to_owned())
        .spawn(move || {
            each(&graph_work, &linker, |index| {
                build_graph(index, &linker, &mut pool);
            });
        })?;
    Ok(Threads::Running {
        flat,
        graph,
        handles: vec![copying, linking],
    })
}

/// Looks at each partition that comes out of the queue. A panic costs one piece of work.
fn each(
    queue: &Receiver<Weak<PartitionIndex>>,
    orders: &Orders,
    mut look: impl FnMut(&Weak<PartitionIndex>),
) {
    while let Ok(index) = queue.recv() {
        if orders.stop.load(Ordering::SeqCst) {
            return;
        }
        if panic::catch_unwind(AssertUnwindSafe(|| look(&index))).is_err() {
            tracing::error!("a piece of the index's upkeep panicked; its rows stay as they were");
        }
    }
}

/// All flat work a partition has, then a request for a graph if one is wanted.
fn copy_rows(index: &Weak<PartitionIndex>) {
    let Some(index) = index.upgrade() else { return };
    index.answer(Slot::Flat);
    while let Some(job) = index.begin(Slot::Flat) {
        let merged = job.merged();
        job.publish(Segment::flat(merged));
    }
    index.ask_if_wanted(Slot::Graph);
}

/// One graph; then the next partition's turn. Holds no handle of the index meanwhile, so that one
/// that is dropped calls its build off.
fn build_graph(
    index: &Weak<PartitionIndex>,
    orders: &Orders,
    pool: &mut Option<rayon::ThreadPool>,
) {
    let job = index.upgrade().and_then(|index| {
        index.answer(Slot::Graph);
        index.begin(Slot::Graph)
    });
    let Some(job) = job else { return };
    *orders.building.lock() = Some(Arc::clone(job.called_off()));
    if orders.stop.load(Ordering::SeqCst) {
        return;
    }
    let threads = match pool {
        Some(pool) => pool,
        None => match half_the_cores() {
            Ok(built) => pool.insert(built),
            Err(error) => {
                tracing::warn!(%error, "no threads to build a graph on; the index is scanned");
                return;
            }
        },
    };
    let body = job.merged();
    let segment = Segment::with_graph(body, threads, job.called_off());
    *orders.building.lock() = None;
    let Some(segment) = segment else { return };
    job.publish(segment);
    if let Some(index) = index.upgrade() {
        index.ask(Slot::Flat);
    }
}

fn half_the_cores() -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    rayon::ThreadPoolBuilder::new()
        .num_threads((cores / 2).max(1))
        .thread_name(|number| format!("index-graph-{number}"))
        .build()
}
