//! A graph over the rows of one segment (HNSW, the crate `instant-distance`).
//!
//! The crate's graphs take no inserts and no removals and search with a breadth fixed when they are
//! built, so one belongs to one sealed segment and dies with it. Its points are row numbers beside a
//! pointer to the rows. Rows with equal codes are one point: more than 64 of them would fill each
//! other's links and nobody else would find the way in.
//!
//! Building takes minutes for the largest segment and the crate has no way to stop it; the distance
//! unwinds when the build is called off, and [`Graph::build`] catches that.

use std::collections::HashMap;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use instant_distance::{Builder, Hnsw, Point, Search};
use parking_lot::Mutex;

use super::kernel::{Kernel, Left, sum};
use super::rows::{Query, Rows, to_f32};

/// Candidates kept while links are chosen.
const BREADTH_BUILDING: usize = 48;
/// Candidates kept by a search; also how many it returns.
const BREADTH_SEARCHING: usize = 64;
/// Equal rows give equal graphs on one thread.
const SEED: u64 = 0x5eed;
/// Scratch spaces kept for the next searches; one is a byte per row.
const SCRATCH_KEPT: usize = 2;
/// Links the crate keeps per point: 64 at the bottom, 32 in each layer above, of which there are
/// 0.4 per point, four bytes each.
const BYTES_PER_POINT: usize = 64 * 4 + 52 + size_of::<Place>();

/// The graph.
pub(super) struct Graph {
    hnsw: Hnsw<Place>,
    points: usize,
    /// Further rows with the codes of a point's row.
    twins: Twins,
    kernel: Kernel,
    scratch: Mutex<Vec<Search>>,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("twins", &self.twins.len())
            .finish_non_exhaustive()
    }
}

/// What all points of a graph, or a query, point into.
struct Ground {
    holds: Holds,
    kernel: Kernel,
    /// Set to call the build off; a query has none.
    called_off: Option<Arc<AtomicBool>>,
}

enum Holds {
    Segment(Arc<Rows>),
    Query(Vec<i8>, f32),
}

/// A point.
#[derive(Clone)]
struct Place {
    ground: Arc<Ground>,
    row: u32,
    /// Of its codes; it fills what would be padding.
    sum: i32,
}

impl Place {
    fn codes(&self) -> (&[i8], f32) {
        match &self.ground.holds {
            Holds::Segment(rows) => (rows.row(self.row as usize), rows.scale(self.row as usize)),
            Holds::Query(codes, scale) => (codes, *scale),
        }
    }
}

/// Carried by the unwinding of a build that was called off.
struct CalledOff;

impl Point for Place {
    fn distance(&self, other: &Self) -> f32 {
        let called_off = self.ground.called_off.as_ref();
        if called_off.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            panic::resume_unwind(Box::new(CalledOff));
        }
        let ((a, a_scale), (b, b_scale)) = (self.codes(), other.codes());
        let dot = self.ground.kernel.dot(Left::new(a, self.sum), b);
        1.0 - to_f32(dot) * (a_scale * b_scale)
    }
}

impl Graph {
    /// Builds the graph of `rows` on the threads of `pool`. `None` when `called_off` was set, or
    /// when there are too many rows to number.
    pub(super) fn build(
        rows: &Arc<Rows>,
        pool: &rayon::ThreadPool,
        called_off: &Arc<AtomicBool>,
    ) -> Option<Graph> {
        let kernel = Kernel::best();
        let ground = Arc::new(Ground {
            holds: Holds::Segment(Arc::clone(rows)),
            kernel,
            called_off: Some(Arc::clone(called_off)),
        });
        let (first, twins) = distinct(rows)?;
        let count = first.len();
        let points: Vec<Place> = first
            .into_iter()
            .map(|row| Place {
                ground: Arc::clone(&ground),
                row,
                sum: sum(rows.row(row as usize)),
            })
            .collect();
        let build = AssertUnwindSafe(|| {
            let builder = Builder::default()
                .seed(SEED)
                .ef_construction(BREADTH_BUILDING)
                .ef_search(BREADTH_SEARCHING);
            pool.install(|| builder.build_hnsw(points)).0
        });
        // the half-made graph is dropped by the unwinding; nothing else was touched
        let hnsw = panic::catch_unwind(build).ok()?;
        Some(Graph {
            hnsw,
            points: count,
            twins,
            kernel,
            scratch: Mutex::default(),
        })
    }

    /// Calls `each(row, score)` for the rows found near the query, by the scan's eight bits, nearest
    /// first; about 64, fewer only in a smaller graph.
    pub(super) fn search(&self, query: &Query, mut each: impl FnMut(usize, f32)) {
        let (codes, scale) = query.parts();
        let place = Place {
            row: 0,
            sum: sum(codes),
            ground: Arc::new(Ground {
                holds: Holds::Query(codes.to_vec(), scale),
                kernel: self.kernel,
                called_off: None,
            }),
        };
        let mut scratch = self.scratch.lock().pop().unwrap_or_default();
        for item in self.hnsw.search(&place, &mut scratch) {
            let (row, score) = (item.point.row, 1.0 - item.distance);
            each(row as usize, score);
            for &twin in self.twins.get(&row).into_iter().flatten() {
                each(twin as usize, score);
            }
        }
        let mut kept = self.scratch.lock();
        if kept.len() < SCRATCH_KEPT {
            kept.push(scratch);
        }
    }

    /// Bytes held beside the rows.
    pub(super) fn bytes(&self) -> usize {
        let points = self.points;
        let twins: usize = self
            .twins
            .values()
            .map(|rows| 32 + rows.capacity() * 4)
            .sum();
        points * BYTES_PER_POINT + twins + SCRATCH_KEPT * points
    }
}

/// Further rows by the first of their set.
type Twins = HashMap<u32, Vec<u32>>;

/// The first row of each set of rows with equal codes, and the rest of each set.
fn distinct(rows: &Rows) -> Option<(Vec<u32>, Twins)> {
    let mut seen: HashMap<&[i8], u32> = HashMap::with_capacity(rows.len());
    let (mut first, mut twins) = (Vec::new(), Twins::new());
    for row in 0..u32::try_from(rows.len()).ok()? {
        match seen.entry(rows.row(row as usize)) {
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(row);
                first.push(row);
            }
            std::collections::hash_map::Entry::Occupied(taken) => {
                twins.entry(*taken.get()).or_default().push(row);
            }
        }
    }
    Some((first, twins))
}
