//! Who is excused: a request to a node that is down or stands still may fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What the nemesis tells the clients about each node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Board(Arc<Vec<Entry>>);

#[derive(Debug, Default)]
struct Entry {
    excused: AtomicBool,
    /// It finishes what it has, and is asked nothing new.
    leaving: AtomicBool,
    /// Grows whenever the node is excused or comes back.
    change: AtomicUsize,
}

/// How a node stood when a request began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    node: usize,
    excused: bool,
    change: usize,
}

impl Board {
    /// A board for nodes 1 to `n`, none excused.
    pub fn new(n: usize) -> Self {
        Board(Arc::new((0..=n).map(|_| Entry::default()).collect()))
    }

    /// The node is about to be harmed.
    pub fn excuse(&self, node: usize) {
        self.0[node].excused.store(true, Ordering::SeqCst);
        self.0[node].change.fetch_add(1, Ordering::SeqCst);
    }

    /// The node is about to end in an orderly way: who balances loads sends it nothing new, and what
    /// it has been sent already it has to answer.
    pub fn leave(&self, node: usize) {
        self.0[node].leaving.store(true, Ordering::SeqCst);
    }

    /// It may be asked: it is whole, and not about to end.
    pub fn may_be_asked(&self, node: usize) -> bool {
        let entry = &self.0[node];
        !entry.leaving.load(Ordering::SeqCst) && !entry.excused.load(Ordering::SeqCst)
    }

    /// The node is whole again.
    pub fn accuse(&self, node: usize) {
        self.0[node].leaving.store(false, Ordering::SeqCst);
        self.0[node].change.fetch_add(1, Ordering::SeqCst);
        self.0[node].excused.store(false, Ordering::SeqCst);
    }

    /// How it stands now.
    pub fn mark(&self, node: usize) -> Mark {
        Mark {
            node,
            excused: self.0[node].excused.load(Ordering::SeqCst),
            change: self.0[node].change.load(Ordering::SeqCst),
        }
    }

    /// The node was whole from `mark` until now.
    pub fn was_whole(&self, mark: Mark) -> bool {
        !mark.excused && self.mark(mark.node) == mark
    }

    /// Which run of the node this is, near enough: it grows with every restart.
    pub fn boot(&self, node: usize) -> usize {
        self.0[node].change.load(Ordering::SeqCst)
    }
}
