//! How many entries each node keeps, and how many move when a node joins or leaves.

use std::collections::BTreeMap;

use llm_router_cluster::MemberId;
use llm_router_cluster::placement::{Bucket, Near, Ownership};

/// Copies of an entry.
const COPIES: usize = 2;

/// What part of all entries each bucket has; the parts sum to 1.
pub type Parts = [f64; 16];

/// One partition that holds everything, in each bucket in turn.
pub fn each_bucket() -> [Parts; 16] {
    std::array::from_fn(|bucket| {
        let mut parts = [0.0; 16];
        parts[bucket] = 1.0;
        parts
    })
}

/// So many partitions whose sizes fall as 1/rank (Zipf's law), in buckets by turns.
pub fn many_partitions(count: u32) -> Parts {
    let mut parts = [0.0; 16];
    for rank in 0..count {
        // An odd number times the rank: neighbours in size are not neighbours in the buckets.
        let bucket = rank.wrapping_mul(0x9E37_79B1) >> 28;
        parts[bucket as usize] += 1.0 / f64::from(rank + 1);
    }
    let sum: f64 = parts.iter().sum();
    parts.map(|part| part / sum)
}

/// Entries per node, by how a sample of them would lie: every node of `members`, those without any
/// among them.
pub fn of_nodes(
    ownership: &Ownership,
    sample: &[Vec<Near>],
    parts: &Parts,
    entries: f64,
) -> Vec<f64> {
    let mut load: BTreeMap<MemberId, f64> = ownership
        .members()
        .iter()
        .map(|(member, _)| (*member, 0.0))
        .collect();
    for_each(sample, parts, entries, |near, bucket, weight| {
        for member in ownership.walk(near, bucket, COPIES) {
            *load.entry(member).or_default() += weight;
        }
    });
    load.into_values().collect()
}

/// The same for one partition in this bucket, if cells went to their highest scorer whatever it has
/// already: what bounding the load is measured against.
pub fn unbounded(
    ownership: &Ownership,
    cells: u16,
    sample: &[Vec<Near>],
    bucket: Bucket,
) -> Vec<f64> {
    let owner = |cell: u16| {
        let mut key = [0; 16];
        key[0] = bucket.number();
        key[1..3].copy_from_slice(&cell.to_le_bytes());
        ownership.of_key(&key).next()
    };
    let owners: Vec<Option<MemberId>> = (0..cells).map(owner).collect();
    let mut load: BTreeMap<MemberId, f64> = ownership
        .members()
        .iter()
        .map(|(member, _)| (*member, 0.0))
        .collect();
    for near in sample {
        let mut copies: Vec<MemberId> = Vec::with_capacity(COPIES);
        let owners = near
            .iter()
            .filter_map(|one| owners.get(usize::from(one.cell)).copied().flatten());
        for owner in owners {
            if copies.len() < COPIES && !copies.contains(&owner) {
                copies.push(owner);
                *load.entry(owner).or_default() += 1.0;
            }
        }
    }
    load.into_values().collect()
}

/// The largest, and the 99th hundredth, each over the mean; there is at least one node.
pub fn spread(mut load: Vec<f64>) -> (f64, f64) {
    load.sort_unstable_by(f64::total_cmp);
    let nodes = load.len().max(1);
    let mean = load.iter().sum::<f64>() / f64::from(u32::try_from(nodes).unwrap_or(u32::MAX));
    let at = |place: usize| load.get(place).copied().unwrap_or(0.0) / mean;
    (at(nodes - 1), at((nodes * 99).div_ceil(100) - 1))
}

/// The part of all copies that has to be sent when `before` becomes `after`, 0 to 1: those a node
/// needs and had not.
pub fn moved(before: &Ownership, after: &Ownership, sample: &[Vec<Near>], parts: &Parts) -> f64 {
    let mut sent = 0.0;
    for_each(sample, parts, 1.0, |near, bucket, weight| {
        let had = before.walk(near, bucket, COPIES);
        for member in after.walk(near, bucket, COPIES) {
            if !had.contains(&member) {
                sent += weight;
            }
        }
    });
    sent / copies(1.0)
}

/// Copies of all entries together.
pub fn copies(entries: f64) -> f64 {
    entries * 2.0
}

fn for_each(
    sample: &[Vec<Near>],
    parts: &Parts,
    entries: f64,
    mut each: impl FnMut(&[Near], Bucket, f64),
) {
    let count = u32::try_from(sample.len()).unwrap_or(u32::MAX).max(1);
    for (bucket, part) in Bucket::all().zip(parts) {
        if *part > 0.0 {
            let weight = entries * part / f64::from(count);
            for near in sample {
                each(near, bucket, weight);
            }
        }
    }
}
