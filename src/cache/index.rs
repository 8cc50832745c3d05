//! The nearest vectors of one partition: a small part to write to, sealed parts to read.
//!
//! ```text
//! insert ─► tail (256 rows, behind a lock) ─► blocks ─► segments ─► segments with a graph
//! search ─► tail, then every block and segment without a lock ─► the best few again, finely
//! ```
//!
//! Vectors are scanned as one signed byte a number and the best few are scored again with twelve
//! bits, within 0.001 of the exact cosine. In a partition of more than 32,768 entries a look at
//! sketches, or where the configuration wants it a graph, says which rows are worth scoring. Blocks and segments never change but for a bit per row
//! that says it is dead, so a search takes a list of them and reads without a lock; merges and
//! graphs are made beside them by [`Upkeep`] and put in their place. Removals meanwhile are noted
//! and marked in the new segment before anybody sees it. What is locked takes microseconds: the
//! scan of the tail, an insert into it, a bit.
//!
//! Nothing here is kept on disk: the store has the vectors and the index is filled from it at
//! start.
//!
//! ```
//! use llm_router::cache::index::{PartitionIndex, Upkeep};
//!
//! let index = PartitionIndex::new(2, Upkeep::default());
//! assert!(index.insert(7, &[1.0, 0.0]));
//! let found = index.search(&[1.0, 0.0], 8, |_label| true);
//! assert_eq!(found.first().map(|near| near.label), Some(7));
//! ```

mod best;
mod graph;
mod job;
mod kernel;
mod plan;
mod rows;
mod search;
mod segment;
mod sketch;
mod upkeep;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

pub use crate::config::routing::IndexKind;
pub use upkeep::Upkeep;

use job::Job;
use kernel::Kernel;
use plan::{Slot, TAIL_ROWS};
use rows::{Packed, Rows};
use search::Search;
use segment::{Body, Segment};

/// A part with too many dead rows asks for its rewriting once in so many removals.
const ASK_EVERY: usize = 32;
/// Rounds of marking removals without the lock before the rest is marked under it.
const ROUNDS: usize = 16;
/// So few removals are marked under the lock at once.
const FEW: usize = 64;

/// A vector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its label.
    pub label: u64,
    /// Cosine, for unit-length vectors.
    pub similarity: f32,
}

/// A part of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Rows, dead ones included.
    pub rows: usize,
    /// Rows that are never found any more.
    pub dead: usize,
    /// Searched through a graph.
    pub graph: bool,
}

/// Vectors of one length, each under a label. Shared between threads; every method takes `&self`.
#[derive(Debug)]
pub struct PartitionIndex {
    me: Weak<PartitionIndex>,
    dimensions: usize,
    kernel: Kernel,
    upkeep: Upkeep,
    live: AtomicUsize,
    /// A look for flat work or for a graph is asked for already.
    asked: [AtomicBool; 2],
    called_off: Arc<AtomicBool>,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    tail: Rows,
    parts: Arc<Vec<Arc<Segment>>>,
    /// Per kind of work under way, what was removed from its inputs since it began. Bounded by
    /// their rows.
    removed: [Option<Vec<u64>>; 2],
}

impl PartitionIndex {
    /// An empty index of vectors with so many dimensions.
    pub fn new(dimensions: usize, upkeep: Upkeep) -> Arc<Self> {
        Arc::new_cyclic(|me| PartitionIndex {
            me: Weak::clone(me),
            dimensions,
            kernel: Kernel::best(),
            upkeep,
            live: AtomicUsize::new(0),
            asked: Default::default(),
            called_off: Arc::default(),
            state: RwLock::new(State {
                tail: Rows::with_capacity(dimensions, 0),
                parts: Arc::default(),
                removed: [None, None],
            }),
        })
    }

    /// Numbers in each vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Vectors that can be found.
    pub fn len(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory held; those of a graph by the layout of its crate.
    pub fn bytes(&self) -> usize {
        let state = self.state.read();
        let parts: usize = state.parts.iter().map(|part| part.bytes()).sum();
        size_of::<Self>() + state.tail.bytes() + state.parts.capacity() * 8 + parts
    }

    /// The parts, the one written to last.
    pub fn parts(&self) -> Vec<Part> {
        let state = self.state.read();
        let sealed = state.parts.iter().map(|part| part.held());
        let tail = plan::Held {
            rows: state.tail.len(),
            dead: 0,
            graph: false,
            busy: false,
        };
        let all = sealed.chain([tail]);
        all.map(|part| Part {
            rows: part.rows,
            dead: part.dead,
            graph: part.graph,
        })
        .collect()
    }

    /// Nothing is being rewritten and nothing is due to be.
    pub fn is_settled(&self) -> bool {
        let state = self.state.read();
        let (held, kind) = (state.held(), self.upkeep.kind());
        state.removed.iter().all(Option::is_none)
            && Slot::ALL
                .into_iter()
                .all(|slot| plan::next(slot, &held, kind).is_none())
    }

    /// Adds or replaces the unit-length `vector` of `label`; a search at the same moment may find
    /// neither the old nor the new one. False, and nothing happens, when it
    /// has another number of dimensions or holds something that is not a finite number.
    pub fn insert(&self, label: u64, vector: &[f32]) -> bool {
        if !self.takes(vector) {
            return false;
        }
        let packed = Packed::new(vector);
        let mut state = self.state.write();
        self.remove_from(&mut state, label);
        state.tail.insert(label, &packed);
        self.live.fetch_add(1, Ordering::Relaxed);
        if state.tail.len() < TAIL_ROWS {
            return true;
        }
        let full = std::mem::replace(&mut state.tail, Rows::with_capacity(self.dimensions, 0));
        let block = Segment::flat(Arc::new(Body::new(full)));
        Arc::make_mut(&mut state.parts).push(Arc::new(block));
        drop(state);
        self.ask(Slot::Flat);
        true
    }

    /// Takes the vector of `label` out; false when there is none. No search that begins afterwards
    /// finds it.
    pub fn remove(&self, label: u64) -> bool {
        let (was_there, due) = self.remove_from(&mut self.state.write(), label);
        if due {
            self.ask(Slot::Flat);
        }
        was_there
    }

    /// The `k` nearest vectors whose label `admits` allows, nearest first; none for a query that
    /// [`PartitionIndex::insert`] would refuse. Takes some 15 µs per thousand entries up to 30,000
    /// and 5 µs beyond; call it from a thread that may be kept so long.
    ///
    /// `admits` is asked under a lock: it is quick and does not come back to this index.
    pub fn search(
        &self,
        vector: &[f32],
        k: usize,
        mut admits: impl FnMut(u64) -> bool,
    ) -> Vec<Neighbour> {
        if !self.takes(vector) || k == 0 {
            return Vec::new();
        }
        let sketches = plan::looks_at_sketches(self.len(), self.upkeep.kind());
        let mut search = Search::new(vector, k, self.kernel, sketches);
        let (mut found, parts) = {
            let state = self.state.read();
            (
                search.tail(&state.tail, &mut admits),
                Arc::clone(&state.parts),
            )
        };
        for (number, part) in parts.iter().enumerate() {
            search.part(number, part, &mut admits);
        }
        found.extend(search.finish(&parts));
        found.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        found.truncate(k);
        found
    }

    fn takes(&self, vector: &[f32]) -> bool {
        vector.len() == self.dimensions && vector.iter().all(|x| x.is_finite())
    }

    /// Whether it was there, and whether its part is due to be rewritten.
    fn remove_from(&self, state: &mut State, label: u64) -> (bool, bool) {
        if let Some(row) = state.tail.find(label) {
            state.tail.remove(row);
            self.live.fetch_sub(1, Ordering::Relaxed);
            return (true, false);
        }
        let mut parts = state.parts.iter();
        let Some((part, row)) = parts.find_map(|part| Some((part, part.body().find(label)?)))
        else {
            return (false, false);
        };
        let (part, body) = (Arc::clone(part), Arc::clone(part.body()));
        body.kill(row);
        self.live.fetch_sub(1, Ordering::Relaxed);
        match part.busy() {
            Some(slot) => state.removed[slot.at()].get_or_insert_default().push(label),
            None if body.live() == 0 => {
                Arc::make_mut(&mut state.parts).retain(|other| !Arc::ptr_eq(other, &part));
            }
            None => {}
        }
        let dead = body.dead();
        (
            true,
            dead.is_multiple_of(ASK_EVERY) && part.held().wants_vacuum(),
        )
    }

    /// Asks for a look, unless one is asked for already.
    fn ask(&self, slot: Slot) {
        let Some(asked) = self.asked.get(slot.at()) else {
            return;
        };
        if !asked.swap(true, Ordering::AcqRel) && !self.upkeep.ask(Weak::clone(&self.me), slot) {
            asked.store(false, Ordering::Release);
        }
    }

    fn ask_if_wanted(&self, slot: Slot) {
        let held = self.state.read().held();
        if plan::next(slot, &held, self.upkeep.kind()).is_some() {
            self.ask(slot);
        }
    }

    /// The look begins: what happens from here on is worth another.
    fn answer(&self, slot: Slot) {
        if let Some(asked) = self.asked.get(slot.at()) {
            asked.store(false, Ordering::Release);
        }
    }

    /// Claims the segments of the next piece of work, if there is any and none is under way.
    fn begin(&self, slot: Slot) -> Option<Job> {
        let mut state = self.state.write();
        if state.removed[slot.at()].is_some() {
            return None;
        }
        let parts = plan::next(slot, &state.held(), self.upkeep.kind())?;
        let inputs: Vec<Arc<Segment>> = parts
            .iter()
            .filter_map(|&at| state.parts.get(at).map(Arc::clone))
            .collect();
        for segment in &inputs {
            segment.set_busy(Some(slot));
        }
        state.removed[slot.at()] = Some(Vec::new());
        Some(Job {
            index: Weak::clone(&self.me),
            slot,
            inputs,
            dimensions: self.dimensions,
            called_off: Arc::clone(&self.called_off),
            published: false,
        })
    }

    /// Puts `segment` in the place of what the work of `slot` was given.
    fn publish(&self, slot: Slot, segment: Segment) {
        let body = Arc::clone(segment.body());
        let mark = |labels: Vec<u64>| {
            for label in labels {
                body.find(label).map(|row| body.kill(row));
            }
        };
        for round in 0.. {
            let mut state = self.state.write();
            let removed = state.removed[slot.at()]
                .replace(Vec::new())
                .unwrap_or_default();
            if removed.len() > FEW && round < ROUNDS {
                drop(state);
                mark(removed);
                continue;
            }
            mark(removed);
            let parts = Arc::make_mut(&mut state.parts);
            parts.retain(|part| part.busy() != Some(slot));
            if body.live() > 0 {
                parts.push(Arc::new(segment));
            }
            state.removed[slot.at()] = None;
            return;
        }
    }

    /// The work of `slot` came to nothing.
    fn abandon(&self, slot: Slot) {
        let mut state = self.state.write();
        for part in state.parts.iter().filter(|part| part.busy() == Some(slot)) {
            part.set_busy(None);
        }
        state.removed[slot.at()] = None;
    }
}

impl State {
    fn held(&self) -> Vec<plan::Held> {
        self.parts.iter().map(|part| part.held()).collect()
    }
}

impl Drop for PartitionIndex {
    fn drop(&mut self) {
        self.called_off.store(true, Ordering::Relaxed);
    }
}

/// Dot product in full precision; the cosine of unit-length vectors. Zero past the shorter end.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests;
