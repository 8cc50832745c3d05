//! What the index costs: searches beside exact ones, inserts, removals, memory, building.
//!
//! The vectors are made up but shaped like questions: of one subject in fifty, at a cosine of 0.5
//! to 0.95 of it. Each query is a rewording, at 0.92 of a vector that is there. Vectors are made
//! again from their labels where they are needed, so that what is resident is the index alone.

use std::time::Duration;

use hdrhistogram::Histogram;
use llm_router::cache::index::{IndexKind, PartitionIndex, Upkeep, dot};
use llm_router_testnet::table::Table;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

const DIMENSIONS: usize = 384;
const QUERIES: u64 = 1000;
/// Queries that are compared with an exact search of all vectors.
const COMPARED: usize = 250;
/// Entries of one subject, on average.
const PER_SUBJECT: u64 = 50;
/// One in so many entries is removed at the end.
const REMOVED_ONE_IN: u64 = 10;
const NEAREST: usize = 8;

/// Measures and prints one table: without graphs up to 100,000 entries, with them where `graphs`
/// says so, and a million where `million` does.
///
/// # Errors
/// When the index refuses a vector or loses one.
pub(crate) async fn run(graphs: bool, million: bool) -> anyhow::Result<()> {
    println!("\nthe index: {DIMENSIONS} dimensions, one search at a time, microseconds");
    let mut table = Table::new(&[
        "entries",
        "kind",
        "p50",
        "p99",
        "cpu",
        "recall@1",
        "B/entry",
        "resident",
        "inserts/s",
        "removals/s",
        "built s",
        "graphs",
    ]);
    let mut cases = vec![
        (1_000, IndexKind::Auto),
        (10_000, IndexKind::Auto),
        (100_000, IndexKind::Auto),
    ];
    if graphs {
        cases.push((131_072, IndexKind::Flat));
        cases.push((131_072, IndexKind::Hnsw));
    }
    if million {
        cases.push((1_000_000, IndexKind::Auto));
    }
    for (entries, kind) in cases {
        table.row(measure(entries, kind).await?);
    }
    println!("{table}");
    println!(
        "cpu: processor time of the mean search; resident: growth of the process per entry; \
         built: until nothing was left to merge or to link after the last insert"
    );
    Ok(())
}

async fn measure(entries: u64, kind: IndexKind) -> anyhow::Result<Vec<String>> {
    let before = resident();
    let upkeep = Upkeep::new(kind);
    let index = PartitionIndex::new(DIMENSIONS, upkeep.clone());
    let queries: Vec<Vec<f32>> = (0..QUERIES).map(|number| query(number, entries)).collect();
    let mut best = vec![f32::MIN; COMPARED];
    let mut inserting = Duration::ZERO;
    for label in 0..entries {
        let vector = vector(label, entries);
        for (best, query) in best.iter_mut().zip(&queries) {
            *best = best.max(dot(&vector, query));
        }
        let started = Instant::now();
        anyhow::ensure!(index.insert(label, &vector), "a vector was refused");
        inserting += started.elapsed();
    }
    let started = Instant::now();
    while !index.is_settled() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let building = started.elapsed();
    let (took, cpu, recall) = search(&index, &queries, &best)?;
    let parts = index.parts();
    let grown = resident().saturating_sub(before);
    let (bytes, held) = (index.bytes(), index.len());
    let started = Instant::now();
    for label in (0..entries).step_by(usize::try_from(REMOVED_ONE_IN)?) {
        anyhow::ensure!(index.remove(label), "a vector was lost");
    }
    let removing = started.elapsed();
    upkeep.stop();
    let removed = entries.div_ceil(REMOVED_ONE_IN);
    Ok(vec![
        entries.to_string(),
        format!("{kind:?}").to_lowercase(),
        took.value_at_percentile(50.0).to_string(),
        took.value_at_percentile(99.0).to_string(),
        format!("{:.0}", cpu.as_secs_f64() * 1e6),
        format!("{recall:.3}"),
        (bytes / held).to_string(),
        (grown / held).to_string(),
        rate(entries, inserting),
        rate(removed, removing),
        format!("{:.1}", building.as_secs_f64()),
        parts.iter().filter(|part| part.graph).count().to_string(),
    ])
}

/// How long each search took, the processor's time for the mean one, and how many of those
/// compared found a vector as near as the nearest.
fn search(
    index: &PartitionIndex,
    queries: &[Vec<f32>],
    best: &[f32],
) -> anyhow::Result<(Histogram<u64>, Duration, f64)> {
    let mut took = Histogram::new(3)?;
    let mut right = 0u32;
    for (number, query) in queries.iter().enumerate() {
        let started = Instant::now();
        let found = index.search(query, NEAREST, |_label| true);
        took.record(u64::try_from(started.elapsed().as_micros())?)?;
        anyhow::ensure!(found.len() == NEAREST, "found {} of {NEAREST}", found.len());
        if let (Some(nearest), Some(best)) = (found.first(), best.get(number)) {
            right += u32::from((nearest.similarity - best).abs() < 1e-3);
        }
    }
    let before = processor_time();
    for query in queries {
        _ = std::hint::black_box(index.search(query, NEAREST, |_label| true));
    }
    let cpu = (processor_time().saturating_sub(before)) / u32::try_from(queries.len())?;
    Ok((took, cpu, f64::from(right) / best.len() as f64))
}

fn vector(label: u64, entries: u64) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(label);
    let subject = random.random_range(0..entries / PER_SUBJECT + 1);
    let subject = direction(&mut StdRng::seed_from_u64(u64::MAX - subject));
    let cosine = random.random_range(0.5..0.95);
    near(&mut random, &subject, cosine)
}

fn query(number: u64, entries: u64) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(1 << 40 | number);
    let about = vector(random.random_range(0..entries), entries);
    near(&mut random, &about, 0.92)
}

fn direction(random: &mut StdRng) -> Vec<f32> {
    // the sum of a few uniform numbers is normal enough
    let mut normal = || (0..4).map(|_| random.random_range(-0.5..0.5f32)).sum();
    unit((0..DIMENSIONS).map(|_| normal()).collect())
}

fn near(random: &mut StdRng, vector: &[f32], cosine: f32) -> Vec<f32> {
    let other = direction(random);
    let along = dot(&other, vector);
    let away = unit(
        other
            .iter()
            .zip(vector)
            .map(|(o, v)| o - along * v)
            .collect(),
    );
    let sine = (1.0 - cosine * cosine).sqrt();
    let both = vector.iter().zip(away);
    both.map(|(v, a)| cosine * v + sine * a).collect()
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let norm = dot(&vector, &vector).sqrt();
    vector.iter_mut().for_each(|x| *x /= norm);
    vector
}

/// Bytes of this process in memory; none where the system does not say.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// What this thread has had of the processor; nothing where the system does not say.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn rate(count: u64, took: Duration) -> String {
    format!("{:.0}", count as f64 / took.as_secs_f64().max(1e-9))
}
