//! Whether the nodes that are asked have the nearest entry.

use llm_router_cluster::MemberId;
use llm_router_cluster::placement::{Bucket, Cells, Near, Ownership, dot};

use super::texts::Vectors;

/// Cells of a vector that are looked at, from the nearest: enough to meet three nodes.
const LOOKED_AT: usize = 64;

/// A question's nearest entry, by looking at all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Which entry.
    pub entry: usize,
    /// The cosine.
    pub similarity: f32,
}

/// The nearest entry of every question; there is at least one entry.
pub fn exact(entries: &Vectors, questions: &Vectors) -> Vec<Nearest> {
    let nearest = |question| {
        let similarity = |entry| Nearest {
            entry,
            similarity: dot(entries.row(entry), questions.row(question)),
        };
        (1..entries.count())
            .map(similarity)
            .fold(similarity(0), |best, one| {
                if one.similarity > best.similarity {
                    one
                } else {
                    best
                }
            })
    };
    (0..questions.count()).map(nearest).collect()
}

/// How entries are kept and looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// So many copies, so many nodes asked.
    Fixed(usize, usize),
    /// So many copies; one node is asked where the margin says so, at most this many otherwise.
    Adaptive(usize, usize),
}

impl Rule {
    /// Copies of an entry.
    pub fn copies(self) -> usize {
        match self {
            Rule::Fixed(copies, _) | Rule::Adaptive(copies, _) => copies,
        }
    }

    fn asked(self, ownership: &Ownership, near: &[Near], bucket: Bucket) -> Vec<MemberId> {
        match self {
            Rule::Fixed(_, probes) => ownership.walk(near, bucket, probes),
            Rule::Adaptive(_, probes) => ownership.probe(near, bucket, probes),
        }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Rule::Fixed(copies, probes) => write!(f, "{copies} / {probes}"),
            Rule::Adaptive(copies, probes) => write!(f, "{copies} / 1 to {probes}"),
        }
    }
}

/// What came of asking, over every bucket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Questions asked.
    pub asked: u64,
    /// Those for which a node that was asked had the nearest entry.
    pub found: u64,
    /// Nodes asked, all together.
    pub nodes: u64,
    /// Most nodes that one question asked.
    pub most: usize,
}

impl Found {
    /// The share found, 0 to 1.
    pub fn recall(&self) -> f64 {
        part(self.found, self.asked)
    }

    /// Nodes asked by a question, on average.
    pub fn mean_nodes(&self) -> f64 {
        part(self.nodes, self.asked)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn part(of: u64, all: u64) -> f64 {
    of as f64 / all.max(1) as f64
}

/// The cells of every vector, the nearest first.
pub fn cells_of(cells: &Cells, vectors: &Vectors) -> Vec<Vec<Near>> {
    let near = |at| {
        let mut near = cells.nearest(vectors.row(at));
        near.truncate(LOOKED_AT);
        near
    };
    (0..vectors.count()).map(near).collect()
}

/// A question: its cells, and those of its nearest entry.
pub type Pair<'a> = (&'a [Near], &'a [Near]);

/// Asks every question in every bucket.
pub fn measure(ownership: &Ownership, pairs: &[Pair<'_>], rule: Rule) -> Found {
    let mut sum = Found::default();
    for bucket in Bucket::all() {
        for (question, entry) in pairs {
            let copies = ownership.walk(entry, bucket, rule.copies());
            let asked = rule.asked(ownership, question, bucket);
            sum.asked += 1;
            sum.found += u64::from(asked.iter().any(|node| copies.contains(node)));
            sum.nodes += asked.len() as u64;
            sum.most = sum.most.max(asked.len());
        }
    }
    sum
}
