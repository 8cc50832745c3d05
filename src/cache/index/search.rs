//! One search through the parts of an index.
//!
//! A part with a graph is searched through it. In a large index one with sketches is looked at, and
//! a few hundred rows of all such parts together are scored. Everything else is scored row by row. The best by eight bits are scored again with twelve.

use std::sync::Arc;

use super::Neighbour;
use super::best::Best;
use super::graph::Graph;
use super::kernel::Kernel;
use super::rows::{Query, Rows};
use super::segment::{Body, Segment};
use super::sketch::{Planes, Shortlist, Sketches};

/// Rows scored again beyond those asked for: the order by eight bits is off by a thousandth.
const SCORED_AGAIN: usize = 8;
/// Rows scored after a look at all sketches. The nearest row is among the nearest few by sketch
/// unless hundreds lie almost as near; the recall is measured.
const SHORTLISTED: usize = 512;

/// Where a row is: the number of its part, and its number there.
type Place = (usize, usize);

/// The search.
#[derive(Debug)]
pub(super) struct Search<'a> {
    vector: &'a [f32],
    query: Query,
    kernel: Kernel,
    k: usize,
    best: Best<Place>,
    shortlist: Option<Shortlist>,
    /// Sketches are looked at.
    looks: bool,
}

impl<'a> Search<'a> {
    /// For the `k` nearest of `vector`; by sketches where there are some, if `looks`.
    pub(super) fn new(vector: &'a [f32], k: usize, kernel: Kernel, looks: bool) -> Self {
        Search {
            vector,
            query: Query::new(vector),
            kernel,
            k,
            best: Best::new(k + SCORED_AGAIN),
            shortlist: None,
            looks,
        }
    }

    /// The nearest of rows that may change once this returns.
    pub(super) fn tail(&self, tail: &Rows, admits: &mut dyn FnMut(u64) -> bool) -> Vec<Neighbour> {
        let mut best = Best::new(self.k + SCORED_AGAIN);
        self.scan(tail, |row, score| {
            if best.wants(score) && tail.labels().get(row).is_some_and(|&label| admits(label)) {
                best.offer(row, score);
            }
        });
        let rows = best.into_held().into_iter();
        rows.filter_map(|(row, _)| self.neighbour(tail, row))
            .collect()
    }

    /// Searches the part with this number.
    pub(super) fn part(
        &mut self,
        number: usize,
        segment: &Segment,
        admits: &mut dyn FnMut(u64) -> bool,
    ) {
        let body = &**segment.body();
        let through_graph = segment
            .graph()
            .is_some_and(|graph| self.walk(graph, number, body, admits));
        if through_graph {
            return;
        }
        match body.sketches().filter(|_| self.looks) {
            Some(sketches) => self.look(sketches, number, body, admits),
            None => {
                let mut best = std::mem::take(&mut self.best);
                self.scan(body.rows(), |row, score| {
                    if best.wants(score) && body.may(row, admits) {
                        best.offer((number, row), score);
                    }
                });
                self.best = best;
            }
        }
    }

    /// False when the graph finds fewer than were asked for that may be used. All rows are read
    /// then: a strict filter or many dead rows cost time, never an answer.
    fn walk(
        &mut self,
        graph: &Graph,
        number: usize,
        body: &Body,
        admits: &mut dyn FnMut(u64) -> bool,
    ) -> bool {
        let mut found = Vec::new();
        graph.search(&self.query, |row, score| {
            if body.may(row, admits) {
                found.push((row, score));
            }
        });
        let enough = found.len() >= self.k.min(body.live());
        if enough {
            for (row, score) in found {
                self.best.offer((number, row), score);
            }
        }
        enough
    }

    fn look(
        &mut self,
        sketches: &Sketches,
        number: usize,
        body: &Body,
        admits: &mut dyn FnMut(u64) -> bool,
    ) {
        let (vector, k) = (self.vector, self.k);
        let shortlist = self.shortlist.get_or_insert_with(|| {
            let sketch = Planes::new(vector.len()).sketch(vector.iter().copied());
            Shortlist::new(sketch, k.max(SHORTLISTED))
        });
        shortlist.look(number, sketches, |row| body.may(row, admits));
    }

    /// The nearest of `parts`, in no order.
    pub(super) fn finish(mut self, parts: &[Arc<Segment>]) -> Vec<Neighbour> {
        for (number, row) in self.shortlist.iter().flat_map(Shortlist::rows) {
            if let Some(part) = parts.get(number) {
                let rows = part.body().rows();
                let dot = self.kernel.dot(self.query.left(), rows.row(row));
                let score = self.query.score(dot, rows.scale(row));
                self.best.offer((number, row), score);
            }
        }
        let best = std::mem::take(&mut self.best).into_held();
        let places = best.into_iter().map(|(place, _)| place);
        places
            .filter_map(|(number, row)| self.neighbour(parts.get(number)?.body().rows(), row))
            .collect()
    }

    fn scan(&self, rows: &Rows, mut each: impl FnMut(usize, f32)) {
        self.kernel
            .scan(self.query.left(), rows.codes(), |row, dot| {
                each(row, self.query.score(dot, rows.scale(row)));
            });
    }

    fn neighbour(&self, rows: &Rows, row: usize) -> Option<Neighbour> {
        Some(Neighbour {
            label: *rows.labels().get(row)?,
            similarity: rows.cosine(row, self.vector),
        })
    }
}
