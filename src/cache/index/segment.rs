//! Rows that change no more: only which of them are dead still does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use super::graph::Graph;
use super::plan::{Held, SEALED_ROWS, Slot};
use super::rows::Rows;
use super::sketch::{Planes, Sketches};

/// Least rows of a body that has sketches.
const LEAST_SKETCHED: usize = SEALED_ROWS / 2;

/// Rows and which of them are dead. Shared by a segment and the one that adds a graph to it, so
/// that a removal counts in both.
#[derive(Debug)]
pub(super) struct Body {
    rows: Arc<Rows>,
    /// A first look; a block is read whole.
    sketches: Option<Sketches>,
    dead: Box<[AtomicU64]>,
    dead_count: AtomicUsize,
}

impl Body {
    /// All rows alive.
    pub(super) fn new(rows: Rows) -> Self {
        Body {
            dead: (0..rows.len().div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
            dead_count: AtomicUsize::new(0),
            sketches: None,
            rows: Arc::new(rows),
        }
    }

    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    pub(super) fn sketches(&self) -> Option<&Sketches> {
        self.sketches.as_ref()
    }

    fn is_dead(&self, row: usize) -> bool {
        let word = self.dead.get(row / 64);
        word.is_none_or(|word| word.load(Ordering::Relaxed) >> (row % 64) & 1 == 1)
    }

    /// The living row of `label`.
    pub(super) fn find(&self, label: u64) -> Option<usize> {
        let row = self.rows.find(label)?;
        (!self.is_dead(row)).then_some(row)
    }

    /// Alive, and allowed.
    pub(super) fn may(&self, row: usize, admits: &mut dyn FnMut(u64) -> bool) -> bool {
        !self.is_dead(row)
            && self
                .rows
                .labels()
                .get(row)
                .is_some_and(|&label| admits(label))
    }

    /// Marks a row as dead; false when it was already.
    pub(super) fn kill(&self, row: usize) -> bool {
        let bit = 1u64 << (row % 64);
        let word = self.dead.get(row / 64);
        let was_alive = word.is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0);
        if was_alive {
            self.dead_count.fetch_add(1, Ordering::Relaxed);
        }
        was_alive
    }

    pub(super) fn dead(&self) -> usize {
        self.dead_count.load(Ordering::Relaxed)
    }

    pub(super) fn live(&self) -> usize {
        self.rows.len().saturating_sub(self.dead())
    }

    /// The living rows of all `bodies`, which share no living label, as one.
    pub(super) fn merge<'a>(
        bodies: impl Iterator<Item = &'a Body> + Clone,
        dimensions: usize,
    ) -> Body {
        let mut order: Vec<(u64, &Body, usize)> = bodies
            .flat_map(|body| {
                let labels = body.rows.labels().iter().enumerate();
                labels.map(move |(row, label)| (*label, body, row))
            })
            .filter(|(_, body, row)| !body.is_dead(*row))
            .collect();
        order.sort_unstable_by_key(|(label, ..)| *label);
        let mut rows = Rows::with_capacity(dimensions, order.len());
        for (_, body, row) in &order {
            rows.append(&body.rows, *row);
        }
        let sketches = (order.len() >= LEAST_SKETCHED).then(|| {
            let mut sketches = Sketches::with_capacity(order.len());
            let planes = Planes::new(dimensions);
            for (_, body, row) in order {
                sketches.push(match &body.sketches {
                    Some(sketches) => sketches.get(row),
                    None => planes.sketch(body.rows.row(row).iter().map(|&code| f32::from(code))),
                });
            }
            sketches
        });
        Body {
            sketches,
            ..Body::new(rows)
        }
    }
}

/// One sealed part of a partition's index.
#[derive(Debug)]
pub(super) struct Segment {
    body: Arc<Body>,
    graph: Option<Graph>,
    /// The job that reads it to write another in its place.
    busy: AtomicU8,
}

impl Segment {
    pub(super) fn flat(body: Arc<Body>) -> Self {
        Segment {
            body,
            graph: None,
            busy: AtomicU8::new(0),
        }
    }

    /// With a graph; without when the building was called off.
    pub(super) fn with_graph(
        body: Arc<Body>,
        pool: &rayon::ThreadPool,
        called_off: &Arc<AtomicBool>,
    ) -> Option<Self> {
        let graph = Graph::build(&body.rows, pool, called_off)?;
        Some(Segment {
            graph: Some(graph),
            ..Segment::flat(body)
        })
    }

    pub(super) fn body(&self) -> &Arc<Body> {
        &self.body
    }

    pub(super) fn graph(&self) -> Option<&Graph> {
        self.graph.as_ref()
    }

    pub(super) fn busy(&self) -> Option<Slot> {
        Slot::from_number(self.busy.load(Ordering::Relaxed))
    }

    pub(super) fn set_busy(&self, slot: Option<Slot>) {
        self.busy
            .store(slot.map_or(0, Slot::number), Ordering::Relaxed);
    }

    pub(super) fn held(&self) -> Held {
        Held {
            rows: self.body.rows.len(),
            dead: self.body.dead(),
            graph: self.graph.is_some(),
            busy: self.busy().is_some(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Segment>()
            + size_of::<Body>()
            + self.body.rows.bytes()
            + self.body.dead.len() * 8
            + self.body.sketches.as_ref().map_or(0, Sketches::bytes)
            + self.graph.as_ref().map_or(0, Graph::bytes)
    }
}
