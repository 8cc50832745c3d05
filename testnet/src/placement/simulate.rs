//! A simulator of placement: real vectors, made-up nodes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, ensure};
use llm_router_cluster::MemberId;
use llm_router_cluster::placement::{Bucket, Cells, Near, Ownership, kmeans};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::load::{self, Parts};
use super::recall::{self, Nearest, Pair, Rule};
use super::texts::Vectors;
use crate::table::Table;

/// Nodes for which load and movement are shown.
const FLEETS: [u64; 8] = [3, 5, 8, 16, 50, 100, 200, 500];
/// Nodes for which recall is shown.
const SMALL_FLEETS: [u64; 4] = [3, 5, 8, 16];
/// Cells of a trained set that is shown.
const CELLS: [usize; 3] = [64, 128, 256];
const ROUNDS: usize = 10;
const RULES: [Rule; 7] = [
    Rule::Fixed(1, 1),
    Rule::Fixed(2, 1),
    Rule::Fixed(2, 2),
    Rule::Adaptive(2, 2),
    Rule::Fixed(2, 3),
    Rule::Adaptive(2, 3),
    Rule::Fixed(3, 3),
];
/// Topics of made-up vectors.
const TOPICS: u32 = 400;

/// What is placed.
#[derive(Clone, Debug)]
pub struct Material {
    /// Vectors of entries.
    pub entries: Vectors,
    /// Vectors of questions.
    pub questions: Vectors,
    /// Where they are from.
    pub source: String,
    /// The embedding space; made-up vectors have none.
    pub space: Option<String>,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Entries the cluster keeps; the sample stands for them.
    pub entries: f64,
    /// Bytes of an entry with its vector and answer.
    pub entry_bytes: f64,
    /// What everything random follows from.
    pub seed: u64,
}

impl Material {
    /// Texts in an order that follows from the seed: the first are entries, those after them
    /// questions.
    ///
    /// # Errors
    /// Fewer vectors than asked for.
    pub fn from_texts(
        all: &Vectors,
        space: &str,
        counts: (usize, usize),
        seed: u64,
    ) -> Result<Self> {
        let (entries, questions) = counts;
        ensure!(
            entries > 0 && entries + questions <= all.count(),
            "{} texts are fewer than {entries} entries and {questions} questions",
            all.count()
        );
        let mut order: Vec<usize> = (0..all.count()).collect();
        order.shuffle(&mut SmallRng::seed_from_u64(seed));
        Ok(Material {
            entries: all.only(&order[..entries]),
            questions: all.only(&order[entries..entries + questions]),
            source: format!("{} real texts", all.count()),
            space: Some(space.to_owned()),
        })
    }

    /// Made-up unit vectors around topics of unequal popularity; each question is near an entry, at
    /// a cosine of 0.8 and up. There is at least one entry.
    pub fn made_up(counts: (usize, usize), dimensions: usize, seed: u64) -> Self {
        let counts = (counts.0.max(1), counts.1);
        let mut rng = SmallRng::seed_from_u64(seed);
        let topics: Vec<Vec<f32>> = (0..TOPICS)
            .map(|_| direction(&mut rng, dimensions))
            .collect();
        let mut entries = Vec::with_capacity(counts.0 * dimensions);
        for _ in 0..counts.0 {
            // The lesser of two draws: the first topic is twice as popular as the mean.
            let topic = rng.random_range(0..TOPICS).min(rng.random_range(0..TOPICS));
            entries.extend(beside(&mut rng, &topics[topic as usize], 0.6));
        }
        let entries = Vectors {
            numbers: entries,
            dimensions,
        };
        let mut questions = Vec::with_capacity(counts.1 * dimensions);
        for _ in 0..counts.1 {
            let entry = rng.random_range(0..counts.0);
            let cosine = rng.random_range(0.8..1.0);
            questions.extend(beside(&mut rng, entries.row(entry), cosine));
        }
        Material {
            entries,
            questions: Vectors {
                numbers: questions,
                dimensions,
            },
            source: "made-up vectors, no real texts".to_owned(),
            space: None,
        }
    }

    /// `k` cells trained on the entries.
    ///
    /// # Errors
    /// No entries, or none that point anywhere.
    pub fn train(&self, k: usize, seed: u64) -> Result<Cells> {
        let dimensions = self.entries.dimensions;
        let trained = kmeans::train(&self.entries.numbers, dimensions, k, seed, ROUNDS);
        let space = self.space.as_deref().unwrap_or("made up");
        Ok(Cells::new(
            space,
            1,
            dimensions,
            trained.centroids,
            trained.shares,
        )?)
    }
}

fn direction(rng: &mut SmallRng, dimensions: usize) -> Vec<f32> {
    let row: Vec<f32> = (0..dimensions)
        .map(|_| (0..6).map(|_| rng.random_range(-1.0..1.0_f32)).sum())
        .collect();
    scaled(row)
}

/// A unit vector at about this cosine of another.
fn beside(rng: &mut SmallRng, of: &[f32], cosine: f32) -> Vec<f32> {
    let other = direction(rng, of.len());
    let across = (1.0 - cosine * cosine).sqrt();
    scaled(
        of.iter()
            .zip(other)
            .map(|(a, b)| a * cosine + b * across)
            .collect(),
    )
}

fn scaled(mut row: Vec<f32>) -> Vec<f32> {
    let length: f32 = row.iter().map(|n| n * n).sum::<f32>().sqrt();
    row.iter_mut()
        .for_each(|n| *n /= length.max(f32::MIN_POSITIVE));
    row
}

/// Members 1 to `count`, of one weight.
pub fn members(count: u64) -> BTreeMap<MemberId, u32> {
    (1..=count).map(|id| (MemberId(id), 1)).collect()
}

/// Every figure, as tables.
///
/// # Errors
/// Material of which no cells can be made.
pub fn run(material: &Material, scale: Scale) -> Result<String> {
    let mut report = format!(
        "{}: {} entries, {} questions; {:.0} entries of {:.0} bytes in the cluster\n",
        material.source,
        material.entries.count(),
        material.questions.count(),
        scale.entries,
        scale.entry_bytes,
    );
    let nearest = recall::exact(&material.entries, &material.questions);
    let mut sets = Vec::new();
    for k in CELLS {
        let cells = material.train(k, scale.seed)?;
        sets.push((format!("{k} cells trained on the entries"), cells));
    }
    if let Some(space) = &material.space {
        let cells = Cells::starting(space, material.entries.dimensions);
        sets.push(("the starting set".to_owned(), cells));
    }
    for (name, cells) in &sets {
        let shown = recalls(material, cells, &nearest);
        write!(report, "\nrecall@1, {name}\n{shown}")?;
        let sample = recall::cells_of(cells, &material.entries);
        let questions = recall::cells_of(cells, &material.questions);
        let shown = loads(cells, &sample, &questions);
        write!(report, "\nload and fan-out, {name}\n{shown}")?;
        let shown = moves(cells, &sample, scale);
        write!(report, "\nmovement, {name}\n{shown}")?;
    }
    Ok(report)
}

fn recalls(material: &Material, cells: &Cells, nearest: &[Nearest]) -> Table {
    let entries = recall::cells_of(cells, &material.entries);
    let questions = recall::cells_of(cells, &material.questions);
    let band = |from: f32, to: f32| -> Vec<Pair<'_>> {
        let inside = nearest
            .iter()
            .zip(&questions)
            .filter(|(nearest, _)| (from..to).contains(&nearest.similarity));
        inside
            .map(|(nearest, question)| (&question[..], &entries[nearest.entry][..]))
            .collect()
    };
    let (close, far) = (band(0.92, f32::MAX), band(0.80, 0.92));
    let mut table = Table::new(&[
        "nodes, copies / probes",
        &format!(">= 0.92 (of {})", close.len()),
        &format!("0.80 to 0.92 (of {})", far.len()),
        "nodes asked, mean",
        "most",
    ]);
    for nodes in SMALL_FLEETS {
        let ownership = Ownership::new(cells, &members(nodes));
        for rule in RULES {
            let found = recall::measure(&ownership, &close, rule);
            let farther = recall::measure(&ownership, &far, rule);
            table.row(vec![
                format!("{nodes:>2}, {rule}"),
                format!("{:.4}", found.recall()),
                format!("{:.4}", farther.recall()),
                format!("{:.2}", found.mean_nodes()),
                farther.most.max(found.most).to_string(),
            ]);
        }
    }
    table
}

fn loads(cells: &Cells, sample: &[Vec<Near>], questions: &[Vec<Near>]) -> Table {
    let mut table = Table::new(&[
        "nodes",
        "one partition: max / mean",
        "worst bucket",
        "p99 / mean",
        "1,000: max / mean",
        "p99 / mean",
        "asked, 1 to 2",
        "asked, 1 to 3",
        "unbounded: max / mean",
        "worst",
    ]);
    let count = u16::try_from(cells.count()).unwrap_or(u16::MAX);
    let alone: Vec<Pair<'_>> = questions
        .iter()
        .map(|near| (&near[..], &near[..]))
        .collect();
    for nodes in FLEETS {
        let ownership = Ownership::new(cells, &members(nodes));
        let spread = |parts: &Parts| load::spread(load::of_nodes(&ownership, sample, parts, 1.0));
        let each: Vec<(f64, f64)> = load::each_bucket().iter().map(spread).collect();
        let (mean, worst) = mean_and_most(each.iter().map(|(most, _)| *most));
        let (tail, _) = mean_and_most(each.iter().map(|(_, tail)| *tail));
        let many = spread(&load::many_partitions(1000));
        let fan = |probes| recall::measure(&ownership, &alone, Rule::Adaptive(2, probes));
        let mut row = vec![nodes.to_string()];
        row.extend([mean, worst, tail, many.0, many.1].map(|number| format!("{number:.2}")));
        row.extend([2, 3].map(|probes| format!("{:.2}", fan(probes).mean_nodes())));
        let unbounded = Bucket::all()
            .map(|bucket| load::spread(load::unbounded(&ownership, count, sample, bucket)).0);
        let (mean, worst) = mean_and_most(unbounded);
        row.extend([mean, worst].map(|number| format!("{number:.2}")));
        table.row(row);
    }
    table
}

fn moves(cells: &Cells, sample: &[Vec<Near>], scale: Scale) -> Table {
    let mut table = Table::new(&[
        "nodes",
        "join: copies",
        "GB",
        "of ideal",
        "worst bucket",
        "leave: copies",
        "GB",
        "of ideal",
        "worst bucket",
    ]);
    for nodes in FLEETS {
        let before = Ownership::new(cells, &members(nodes));
        let more = Ownership::new(cells, &members(nodes + 1));
        // The node in the middle goes, so that it is not the last that came.
        let mut rest = members(nodes);
        rest.remove(&MemberId(nodes.div_ceil(2)));
        let fewer = Ownership::new(cells, &rest);
        let mut row = vec![nodes.to_string()];
        for (after, ideal) in [(&more, nodes + 1), (&fewer, nodes)] {
            let sent = load::each_bucket().map(|parts| load::moved(&before, after, sample, &parts));
            let (mean, worst) = mean_and_most(sent.iter().copied());
            let copies = mean * load::copies(scale.entries);
            let times = f64::from(u32::try_from(ideal).unwrap_or(u32::MAX));
            row.extend([
                format!("{copies:.3e}"),
                format!("{:.1}", copies * scale.entry_bytes / 1e9),
                format!("{:.2}", mean * times),
                format!("{:.2}", worst * times),
            ]);
        }
        table.row(row);
    }
    table
}

fn mean_and_most(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let (count, sum, most) = numbers.fold((0.0, 0.0, f64::MIN), |(count, sum, most), one| {
        (count + 1.0, sum + one, f64::max(most, one))
    });
    (sum / f64::max(count, 1.0), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_nodes_share_evenly_find_what_is_near_and_move_little() {
        let material = Material::made_up((4000, 400), 48, 7);
        let cells = material.train(256, 7).unwrap();
        let sample = recall::cells_of(&cells, &material.entries);
        let eight = Ownership::new(&cells, &members(8));
        let nine = Ownership::new(&cells, &members(9));
        for parts in load::each_bucket() {
            let (most, _) = load::spread(load::of_nodes(&eight, &sample, &parts, 1.0));
            assert!(most <= 1.3, "{most} times the mean");
        }
        let sent = load::each_bucket().map(|parts| load::moved(&eight, &nine, &sample, &parts));
        let (mean, _) = mean_and_most(sent.iter().copied());
        assert!(
            (0.7..=1.3).contains(&(mean * 9.0)),
            "{} times ideal",
            mean * 9.0
        );

        let questions = recall::cells_of(&cells, &material.questions);
        let nearest = recall::exact(&material.entries, &material.questions);
        let close: Vec<Pair<'_>> = (nearest.iter().zip(&questions))
            .filter(|(nearest, _)| nearest.similarity >= 0.92)
            .map(|(nearest, question)| (&question[..], &sample[nearest.entry][..]))
            .collect();
        assert!(close.len() > 100);
        let recall = |rule| recall::measure(&eight, &close, rule).recall();
        let (one, two) = (recall(Rule::Fixed(1, 1)), recall(Rule::Fixed(2, 2)));
        assert!(one < two && two > 0.97, "{one} of one copy, {two} of two");
        assert!(recall(Rule::Adaptive(2, 2)) >= 0.995 * two);
    }

    #[test]
    fn a_report_has_every_fleet() {
        let material = Material::made_up((600, 60), 24, 3);
        let scale = Scale {
            entries: 1e9,
            entry_bytes: 4096.0,
            seed: 3,
        };
        let report = run(&material, scale).unwrap();
        assert!(report.contains("made-up"));
        for nodes in FLEETS {
            let row = format!("\n{nodes:<5}");
            let tables = report.matches(&row).count();
            assert_eq!(tables, 2 * CELLS.len(), "{nodes} nodes\n{report}");
        }
    }
}
