//! What must hold at every moment, one invariant per file. Everything of note that happens is told
//! as an event to each of them; the first that is broken ends the run.

mod agreement;
mod breaker;
mod committed;
mod completeness;
mod election;
mod log_matching;
mod monotone;
mod order;
mod promises;
mod sound;

use std::collections::hash_map::DefaultHasher;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use llm_router_cluster::Outcome;
use openraft::RaftMetrics;

use crate::disk::Image;
use crate::types::{Entry, LogId, Sim, Vote, now};

/// Something that happened.
pub(crate) enum Event<'a> {
    /// A node appends an entry after another.
    Appended {
        node: u64,
        before: Option<LogId>,
        entry: &'a Entry,
    },
    /// A node drops the end of its log.
    Truncated { node: u64, gone: &'a [LogId] },
    /// A node answered a peer, and by that promised to keep a vote and a log.
    Promised {
        node: u64,
        vote: Vote,
        last: Option<LogId>,
    },
    /// A process starts on what it finds.
    Booted {
        node: u64,
        boot: u64,
        image: &'a Image,
    },
    /// A process applied an entry.
    Applied {
        node: u64,
        boot: u64,
        id: LogId,
        outcome: &'a Outcome,
        digest: Option<[u8; 32]>,
    },
    /// A process takes over a snapshot.
    Installed {
        node: u64,
        boot: u64,
        last: Option<LogId>,
        digest: [u8; 32],
    },
    /// A look at a running process.
    Seen {
        node: u64,
        boot: u64,
        metrics: &'a RaftMetrics<Sim>,
        image: &'a Image,
    },
}

/// A promise that is checked with every event.
trait Invariant: Debug + Send {
    /// Takes notice; `Err` says how it is broken.
    fn notice(&mut self, event: &Event<'_>) -> Result<(), String>;
}

/// Sees everything. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    invariants: Vec<(&'static str, Box<dyn Invariant>)>,
    broken: Option<String>,
    /// Over everything that happened, so that two runs of a seed can be compared.
    trace: DefaultHasher,
    events: u64,
}

impl Witness {
    pub(crate) fn new() -> Self {
        let invariants: Vec<(&'static str, Box<dyn Invariant>)> = vec![
            ("nodes agree", Box::<agreement::Agreement>::default()),
            ("one holder per epoch", Box::<breaker::Breakers>::default()),
            (
                "committed is for ever",
                Box::<committed::Committed>::default(),
            ),
            (
                "leader completeness",
                Box::<completeness::Completeness>::default(),
            ),
            ("election safety", Box::<election::Elections>::default()),
            ("log matching", Box::<log_matching::LogMatching>::default()),
            ("nothing goes back", Box::<monotone::Monotone>::default()),
            ("order of indexes", Box::<order::Order>::default()),
            ("promises are kept", Box::<promises::Promises>::default()),
            ("nobody gives up", Box::<sound::Sound>::default()),
        ];
        Witness {
            inner: Arc::new(Mutex::new(Inner {
                invariants,
                broken: None,
                trace: DefaultHasher::new(),
                events: 0,
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of something that happened.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.events += 1;
        now().hash(&mut inner.trace);
        event.mark(&mut inner.trace);
        for (name, invariant) in &mut inner.invariants {
            if let Err(how) = invariant.notice(event) {
                inner
                    .broken
                    .get_or_insert_with(|| format!("{name}, at {:?}: {how}", now()));
            }
        }
    }

    /// Something else is wrong.
    pub(crate) fn accuse(&self, what: impl FnOnce() -> String) {
        self.lock().broken.get_or_insert_with(what);
    }

    /// What is wrong, if anything.
    pub(crate) fn broken(&self) -> Option<String> {
        self.lock().broken.clone()
    }

    /// A number for all that happened.
    pub(crate) fn trace(&self) -> u64 {
        self.lock().trace.finish()
    }
}

impl Event<'_> {
    fn mark(&self, trace: &mut DefaultHasher) {
        let (kind, node, index) = match self {
            Event::Appended { node, entry, .. } => (0, *node, entry.log_id.index),
            Event::Truncated { node, gone } => (1, *node, gone.len() as u64),
            Event::Promised { node, vote, .. } => (2, *node, vote.leader_id.term),
            Event::Booted { node, boot, .. } => (3, *node, *boot),
            Event::Applied { node, id, .. } => (4, *node, id.index),
            Event::Installed { node, boot, .. } => (5, *node, *boot),
            Event::Seen { node, metrics, .. } => (6, *node, metrics.current_term),
        };
        (kind, node, index).hash(trace);
    }
}
