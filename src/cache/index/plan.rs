//! What an index needs next: sealing, merging, vacuum, a graph. Pure: sizes in, a decision out.
//!
//! ```text
//! tail ─256 rows─► block … block ─8,192─► segment ─×4─► 32,768 ─×4─► 131,072   (flat, sketches)
//!                                            └──────────┴─── graph ───┘          (kind `hnsw`)
//! ```
//!
//! Flat work takes milliseconds to a second, a graph minutes. They are done side by side on other
//! segments, so that a graph under way keeps nobody from sealing.

use super::IndexKind;

/// Rows of the part that is written to; small, because whoever writes or reads it holds a lock.
pub(super) const TAIL_ROWS: usize = 256;
/// Rows the unsealed blocks hold together before they become a segment.
pub(super) const SEALED_ROWS: usize = 8192;
/// Segments of one size that become one of the next.
const RATIO: usize = 4;
/// Most rows of one segment: a graph of so many is built in one go and thrown away as one.
const LARGEST_ROWS: usize = SEALED_ROWS * RATIO.pow(LARGEST_TIER);
/// The tier that is merged no more.
const LARGEST_TIER: u32 = 2;
/// Up to so many live entries of a partition every row is read: half a millisecond.
const SCANNED_ROWS: usize = 32_768;
/// Least rows of a segment with a graph: half of what is sealed, for some may be dead.
const LEAST_IN_GRAPH: usize = SEALED_ROWS / 2;
/// A segment is rewritten when one in so many rows is dead.
const DEAD_ONE_IN: usize = 5;

/// Which of the two kinds of work; a partition has at most one of each under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Copying rows.
    Flat,
    /// Building a graph.
    Graph,
}

impl Slot {
    /// Every kind.
    pub(super) const ALL: [Slot; 2] = [Slot::Flat, Slot::Graph];

    /// Its place in a list of one thing per slot.
    pub(super) fn at(self) -> usize {
        match self {
            Slot::Flat => 0,
            Slot::Graph => 1,
        }
    }

    pub(super) fn number(self) -> u8 {
        match self {
            Slot::Flat => 1,
            Slot::Graph => 2,
        }
    }

    pub(super) fn from_number(number: u8) -> Option<Slot> {
        Slot::ALL.into_iter().find(|slot| slot.number() == number)
    }
}

/// A part as the plan sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) rows: usize,
    pub(super) dead: usize,
    pub(super) graph: bool,
    /// Read by a job already.
    pub(super) busy: bool,
}

impl Held {
    fn live(self) -> usize {
        self.rows.saturating_sub(self.dead)
    }

    pub(super) fn wants_vacuum(self) -> bool {
        self.dead * DEAD_ONE_IN >= self.rows
    }

    /// A block: not sealed yet, or shrunk to less than that.
    fn is_block(self) -> bool {
        !self.graph && self.rows < SEALED_ROWS
    }

    /// Its size as a power of the ratio above the smallest segment.
    fn tier(self) -> u32 {
        (self.live() / SEALED_ROWS).max(1).ilog(RATIO)
    }
}

/// The parts to be written as one, if anything is to be done.
pub(super) fn next(slot: Slot, held: &[Held], kind: IndexKind) -> Option<Vec<usize>> {
    let least = least_in_graph(kind);
    match slot {
        Slot::Flat => seal(held)
            .or_else(|| merge(held, |part| !part.graph && !part.is_block()))
            .or_else(|| {
                vacuum(held, |part| {
                    !part.is_block() && (!part.graph || least.is_none())
                })
            }),
        Slot::Graph => {
            let least = least?;
            let large = |part: Held| part.rows >= least;
            vacuum(held, |part| part.graph)
                .or_else(|| {
                    merge(held, large).filter(|parts| parts.iter().any(|&at| held[at].graph))
                })
                .or_else(|| largest(held, |part| !part.graph && large(part)))
        }
    }
}

/// Least rows of a segment that gets a graph; `None` when none does.
fn least_in_graph(kind: IndexKind) -> Option<usize> {
    match kind {
        // at every size up to a million sketches were faster, and there at once
        IndexKind::Auto | IndexKind::Flat => None,
        IndexKind::Hnsw => Some(LEAST_IN_GRAPH),
    }
}

/// Whether a search looks at sketches where there are some, instead of reading every row.
pub(super) fn looks_at_sketches(live: usize, kind: IndexKind) -> bool {
    match kind {
        IndexKind::Flat => false,
        IndexKind::Auto | IndexKind::Hnsw => live > SCANNED_ROWS,
    }
}

fn idle(held: &[Held], which: impl Fn(Held) -> bool) -> Vec<usize> {
    let parts = held.iter().enumerate();
    parts
        .filter(|(_, part)| !part.busy && which(**part))
        .map(|(at, _)| at)
        .collect()
}

/// As many of `parts`, in order, as one segment can hold.
fn fitting(held: &[Held], parts: Vec<usize>) -> Vec<usize> {
    let mut sum = 0;
    let mut fits = parts;
    fits.retain(|&at| {
        let with = sum + held[at].live();
        let fits = with <= LARGEST_ROWS;
        sum = if fits { with } else { sum };
        fits
    });
    fits
}

/// All blocks, once they hold enough or too many of their rows are dead.
fn seal(held: &[Held]) -> Option<Vec<usize>> {
    let blocks = idle(held, Held::is_block);
    let rows: usize = blocks.iter().map(|&at| held[at].rows).sum();
    let dead: usize = blocks.iter().map(|&at| held[at].dead).sum();
    let due = rows - dead >= SEALED_ROWS || dead >= TAIL_ROWS && dead * DEAD_ONE_IN >= rows;
    due.then(|| fitting(held, blocks))
}

/// Four or more of one tier, the smallest first.
fn merge(held: &[Held], which: impl Fn(Held) -> bool) -> Option<Vec<usize>> {
    (0..LARGEST_TIER).find_map(|tier| {
        let mut same = idle(held, |part| which(part) && part.tier() == tier);
        same.sort_by_key(|&at| held[at].live());
        let due = same.len() >= RATIO;
        Some(fitting(held, same)).filter(|fits| due && fits.len() >= 2)
    })
}

/// One of which too much is dead.
fn vacuum(held: &[Held], which: impl Fn(Held) -> bool) -> Option<Vec<usize>> {
    let parts = idle(held, |part| part.wants_vacuum() && which(part));
    parts.first().map(|&at| vec![at])
}

fn largest(held: &[Held], which: impl Fn(Held) -> bool) -> Option<Vec<usize>> {
    let parts = idle(held, which);
    let largest = parts.into_iter().max_by_key(|&at| held[at].live());
    largest.map(|at| vec![at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(rows: usize, dead: usize, graph: bool) -> Held {
        Held {
            rows,
            dead,
            graph,
            busy: false,
        }
    }

    fn live(held: &[Held]) -> usize {
        held.iter().map(|part| part.live()).sum()
    }

    fn flat(held: &[Held]) -> Option<Vec<usize>> {
        next(Slot::Flat, held, IndexKind::Auto)
    }

    fn graph(held: &[Held], kind: IndexKind) -> Option<Vec<usize>> {
        next(Slot::Graph, held, kind)
    }

    #[test]
    fn blocks_are_sealed_once_they_hold_enough() {
        let mut held = vec![part(256, 0, false); 31];
        assert_eq!(flat(&held), None);
        held.push(part(256, 0, false));
        assert_eq!(flat(&held), Some((0..32).collect()));
    }

    #[test]
    fn blocks_are_rewritten_when_a_fifth_is_dead() {
        assert_eq!(flat(&[part(256, 200, false); 1]), None);
        assert_eq!(flat(&[part(256, 128, false); 2]), Some(vec![0, 1]));
        assert_eq!(flat(&[part(256, 26, false); 10]), None);
    }

    #[test]
    fn four_of_a_size_become_one() {
        let held = [part(8192, 0, false); 4];
        assert_eq!(flat(&held[..3]), None);
        assert_eq!(flat(&held), Some(vec![0, 1, 2, 3]));
        let held = [part(32_768, 0, false); 4];
        assert_eq!(flat(&held), Some(vec![0, 1, 2, 3]));
        assert_eq!(flat(&[part(131_072, 0, false); 9]), None);
    }

    #[test]
    fn a_merge_never_makes_more_than_the_largest() {
        let held = [part(60_000, 0, false); 5];
        assert_eq!(flat(&held), Some(vec![0, 1]));
        assert_eq!(flat(&[part(100_000, 0, false); 5]), None);
    }

    #[test]
    fn what_a_job_reads_is_left_alone() {
        let mut held = [part(8192, 0, false); 4];
        held[1].busy = true;
        assert_eq!(flat(&held), None);
    }

    #[test]
    fn graphs_come_with_sealing_and_only_where_they_are_wanted() {
        let held = [
            part(2000, 0, false),
            part(8192, 0, false),
            part(32_768, 0, false),
        ];
        assert_eq!(graph(&held, IndexKind::Hnsw), Some(vec![2]));
        assert_eq!(graph(&held[..2], IndexKind::Hnsw), Some(vec![1]));
        assert_eq!(graph(&held[..1], IndexKind::Hnsw), None);
        assert_eq!(graph(&held, IndexKind::Auto), None);
        assert_eq!(graph(&held, IndexKind::Flat), None);
    }

    #[test]
    fn sketches_are_looked_at_where_reading_every_row_takes_long() {
        assert!(!looks_at_sketches(32_768, IndexKind::Auto));
        assert!(looks_at_sketches(32_769, IndexKind::Auto));
        assert!(!looks_at_sketches(1_000_000, IndexKind::Flat));
    }

    #[test]
    fn graphs_are_merged_by_graph_work_alone() {
        let held = [part(32_768, 0, true); 4];
        assert_eq!(flat(&held), None);
        assert_eq!(graph(&held, IndexKind::Hnsw), Some(vec![0, 1, 2, 3]));
    }

    #[test]
    fn a_fifth_dead_is_a_rewrite() {
        let held = [part(131_072, 26_214, true)];
        assert_eq!(graph(&held, IndexKind::Hnsw), None);
        let held = [part(131_072, 26_215, true)];
        assert_eq!(graph(&held, IndexKind::Hnsw), Some(vec![0]));
        assert_eq!(next(Slot::Flat, &held, IndexKind::Hnsw), None);
        let without = next(Slot::Flat, &held, IndexKind::Flat);
        assert_eq!(
            without,
            Some(vec![0]),
            "where graphs are not wanted any more"
        );
    }

    #[test]
    fn every_plan_comes_to_an_end() {
        // blocks trickle in; each piece of work is done at once
        for kind in [IndexKind::Auto, IndexKind::Flat, IndexKind::Hnsw] {
            let mut held: Vec<Held> = Vec::new();
            for _ in 0..4096 {
                held.push(part(TAIL_ROWS, 0, false));
                let mut steps = 0;
                while let Some((slot, parts)) = Slot::ALL
                    .into_iter()
                    .find_map(|slot| next(slot, &held, kind).map(|parts| (slot, parts)))
                {
                    steps += 1;
                    assert!(steps < 20, "{kind:?} goes round in circles");
                    let rows = parts.iter().map(|&at| held[at].live()).sum();
                    assert!(rows <= LARGEST_ROWS);
                    let mut at = 0;
                    held.retain(|_| {
                        at += 1;
                        !parts.contains(&(at - 1))
                    });
                    held.push(part(rows, 0, slot == Slot::Graph));
                }
            }
            assert_eq!(live(&held), 1 << 20);
            assert!(held.len() <= 8 + 3 + 3 + 31, "{} parts", held.len());
            let graphs = held.iter().filter(|part| part.graph).count();
            assert_eq!(graphs > 0, kind == IndexKind::Hnsw);
        }
    }
}
