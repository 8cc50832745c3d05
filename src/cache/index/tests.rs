use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

mod in_flight;
mod model;

/// An index whose work is done by hand.
fn by_hand(dimensions: usize, kind: IndexKind) -> Arc<PartitionIndex> {
    let upkeep = Upkeep::new(kind);
    upkeep.stop();
    PartitionIndex::new(dimensions, upkeep)
}

fn one_thread() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap()
}

/// Claims all blocks for one graph, however few rows they hold.
fn claim_for_graph(index: &PartitionIndex) -> Job {
    let mut state = index.state.write();
    let inputs = state.parts.to_vec();
    for segment in &inputs {
        segment.set_busy(Some(Slot::Graph));
    }
    state.removed[Slot::Graph.at()] = Some(Vec::new());
    Job {
        index: Weak::clone(&index.me),
        slot: Slot::Graph,
        inputs,
        dimensions: index.dimensions,
        called_off: Arc::clone(&index.called_off),
        published: false,
    }
}

/// Builds one graph of all blocks.
fn link(index: &PartitionIndex) {
    let job = claim_for_graph(index);
    let segment = Segment::with_graph(job.merged(), &one_thread(), job.called_off());
    job.publish(segment.unwrap());
    assert!(index.parts().iter().any(|part| part.graph));
}

/// Does all work that is due.
fn settle(index: &PartitionIndex) {
    let pool = one_thread();
    loop {
        if let Some(job) = index.begin(Slot::Flat) {
            let merged = job.merged();
            job.publish(Segment::flat(merged));
        } else if let Some(job) = index.begin(Slot::Graph) {
            let segment = Segment::with_graph(job.merged(), &pool, job.called_off());
            job.publish(segment.unwrap());
        } else {
            assert!(index.is_settled());
            return;
        }
    }
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let norm = dot(&vector, &vector).sqrt();
    vector.iter_mut().for_each(|x| *x /= norm);
    vector
}

fn direction(rng: &mut StdRng, dimensions: usize) -> Vec<f32> {
    // twelve uniform numbers are normal enough
    let normal = |rng: &mut StdRng| (0..12).map(|_| rng.random_range(-0.5..0.5f32)).sum();
    unit((0..dimensions).map(|_| normal(rng)).collect())
}

/// A unit vector at this cosine of `vector`.
fn near(rng: &mut StdRng, vector: &[f32], cosine: f32) -> Vec<f32> {
    let other = direction(rng, vector.len());
    let along = dot(&other, vector);
    let away: Vec<f32> = other
        .iter()
        .zip(vector)
        .map(|(o, v)| o - along * v)
        .collect();
    let (away, sine) = (unit(away), (1.0 - cosine * cosine).sqrt());
    vector
        .iter()
        .zip(away)
        .map(|(v, a)| cosine * v + sine * a)
        .collect()
}

/// Questions as they come: of few subjects, some close to one another.
fn clustered(rng: &mut StdRng, dimensions: usize, count: usize) -> Vec<Vec<f32>> {
    let centres: Vec<Vec<f32>> = (0..count / 40 + 1)
        .map(|_| direction(rng, dimensions))
        .collect();
    (0..count)
        .map(|_| {
            let centre = &centres[rng.random_range(0..centres.len())];
            let cosine = rng.random_range(0.5..0.95);
            near(rng, centre, cosine)
        })
        .collect()
}

fn labels(found: &[Neighbour]) -> Vec<u64> {
    found.iter().map(|near| near.label).collect()
}

#[test]
fn a_vector_of_another_size_or_without_numbers_is_refused() {
    let index = by_hand(4, IndexKind::Auto);
    assert!(!index.insert(1, &[1.0, 0.0]));
    assert!(!index.insert(1, &[f32::NAN, 0.0, 0.0, 0.0]));
    assert!(index.is_empty());
    assert!(index.insert(1, &[1.0, 0.0, 0.0, 0.0]));
    assert!(index.search(&[1.0, 0.0], 3, |_| true).is_empty());
    assert!(
        index
            .search(&[f32::INFINITY, 0.0, 0.0, 0.0], 3, |_| true)
            .is_empty()
    );
    assert!(index.search(&[1.0, 0.0, 0.0, 0.0], 0, |_| true).is_empty());
}

#[test]
fn a_vector_of_zeros_is_near_nothing() {
    let index = by_hand(3, IndexKind::Auto);
    assert!(index.insert(1, &[0.0; 3]));
    let found = index.search(&[1.0, 0.0, 0.0], 1, |_| true);
    assert!(found[0].similarity.abs() < 1e-6);
}

#[test]
fn inserting_a_label_again_replaces_its_vector_wherever_it_is() {
    let mut rng = StdRng::seed_from_u64(5);
    let index = by_hand(16, IndexKind::Auto);
    let first = clustered(&mut rng, 16, 600);
    for (label, vector) in (0..).zip(&first) {
        assert!(index.insert(label, vector));
    }
    let second = clustered(&mut rng, 16, 600);
    for (label, vector) in (0..).zip(&second) {
        assert!(index.insert(label, vector));
        let found = index.search(vector, 8, |_| true);
        assert!(labels(&found).contains(&label));
    }
    assert_eq!(index.len(), 600);
    settle(&index);
    assert_eq!(index.search(&first[0], 1000, |_| true).len(), 600);
}

#[test]
fn a_small_partition_costs_little() {
    let mut rng = StdRng::seed_from_u64(6);
    let index = by_hand(384, IndexKind::Auto);
    assert!(index.bytes() < 512, "{} bytes", index.bytes());
    for entries in 1..=10 {
        index.insert(entries, &direction(&mut rng, 384));
        let most = 512 + 900 * usize::try_from(entries).unwrap();
        assert!(index.bytes() < most, "{entries}: {} bytes", index.bytes());
    }
}

#[test]
fn an_emptied_index_holds_nothing() {
    let mut rng = StdRng::seed_from_u64(7);
    let index = by_hand(16, IndexKind::Auto);
    for label in 0..2000 {
        index.insert(label, &direction(&mut rng, 16));
    }
    for label in 0..2000 {
        assert!(index.remove(label));
        assert!(!index.remove(label));
    }
    assert!(index.is_empty());
    let rows: usize = index.parts().iter().map(|part| part.rows).sum();
    assert_eq!(rows, 0);
}

#[test]
fn a_graph_finds_the_nearest_of_clustered_vectors() {
    let mut rng = StdRng::seed_from_u64(8);
    let index = by_hand(64, IndexKind::Hnsw);
    let vectors = clustered(&mut rng, 64, 2048);
    for (label, vector) in (0..).zip(&vectors) {
        index.insert(label, vector);
    }
    link(&index);
    let mut right = 0;
    for _ in 0..1000 {
        let about = &vectors[rng.random_range(0..vectors.len())];
        let query = near(&mut rng, about, 0.92);
        let best = vectors
            .iter()
            .map(|v| dot(v, &query))
            .fold(f32::MIN, f32::max);
        let found = index.search(&query, 8, |_| true);
        assert_eq!(found.len(), 8);
        right += usize::from((found[0].similarity - best).abs() < 1e-3);
    }
    assert!(right >= 995, "{right} of 1000");
}

#[test]
fn a_strict_filter_over_a_graph_still_finds_what_it_allows() {
    let mut rng = StdRng::seed_from_u64(9);
    let index = by_hand(32, IndexKind::Hnsw);
    let vectors = clustered(&mut rng, 32, 2048);
    for (label, vector) in (0..).zip(&vectors) {
        index.insert(label, vector);
    }
    link(&index);
    let query = &vectors[17];
    for one_in in [2, 64, 512, 2048] {
        let allowed = |label: u64| label.is_multiple_of(one_in);
        let mut best: Vec<f32> = (0..)
            .zip(&vectors)
            .filter(|(label, _)| allowed(*label))
            .map(|(_, vector)| dot(vector, query))
            .collect();
        best.sort_by(|a, b| b.total_cmp(a));
        best.truncate(8);
        let found = index.search(query, 8, allowed);
        assert!(found.iter().all(|near| allowed(near.label)));
        assert_eq!(found.len(), best.len());
        if one_in > 2 {
            let near = found
                .iter()
                .zip(&best)
                .all(|(f, b)| (f.similarity - b).abs() < 1e-3);
            assert!(near, "{found:?} {best:?}");
        }
    }
}

#[test]
fn more_equal_vectors_than_a_point_has_links_hide_nobody() {
    let mut rng = StdRng::seed_from_u64(10);
    let index = by_hand(32, IndexKind::Hnsw);
    let popular = direction(&mut rng, 32);
    let others = clustered(&mut rng, 32, 1000);
    for (label, vector) in (0..).zip(&others) {
        index.insert(label, vector);
    }
    for label in 1000..2048 {
        index.insert(label, &popular);
    }
    link(&index);
    for (label, vector) in (0..).zip(&others).step_by(10) {
        assert!(labels(&index.search(vector, 8, |_| true)).contains(&label));
    }
    let found = index.search(&popular, 8, |_| true);
    assert!(
        found
            .iter()
            .all(|near| near.label >= 1000 && near.similarity > 0.999)
    );
    for label in 1000..2047 {
        assert!(index.remove(label));
        if label.is_multiple_of(250) {
            assert!(index.search(&popular, 1, |_| true)[0].label > label);
        }
    }
    assert_eq!(index.search(&popular, 1, |_| true)[0].label, 2047);
}

#[test]
fn a_flat_index_never_has_a_graph() {
    let mut rng = StdRng::seed_from_u64(11);
    let index = by_hand(2, IndexKind::Flat);
    for label in 0..40_000 {
        index.insert(label, &direction(&mut rng, 2));
        if label % 8192 == 0 {
            settle(&index);
        }
    }
    settle(&index);
    assert!(index.parts().iter().all(|part| !part.graph));
    assert!(index.parts().iter().any(|part| part.rows >= 32_768));
}

#[test]
fn a_look_at_sketches_finds_the_nearest_and_what_a_filter_allows() {
    let mut rng = StdRng::seed_from_u64(12);
    let index = by_hand(64, IndexKind::Auto);
    let vectors = clustered(&mut rng, 64, 36_000);
    for (label, vector) in (0..).zip(&vectors) {
        index.insert(label, vector);
    }
    settle(&index);
    let (mut right, rounds) = (0, 400);
    for round in 0..rounds {
        let query = near(&mut rng, &vectors[round * 90], 0.92);
        let one_in = [1, 1, 1, 50][round % 4];
        let allowed = |label: u64| label.is_multiple_of(one_in);
        let best = (0..).zip(&vectors).filter(|(label, _)| allowed(*label));
        let best = best.map(|(_, v)| dot(v, &query)).fold(f32::MIN, f32::max);
        let found = index.search(&query, 8, allowed);
        assert!(found.len() == 8 && found.iter().all(|near| allowed(near.label)));
        right += usize::from((found[0].similarity - best).abs() < 1e-3);
    }
    assert!(right * 1000 >= rounds * 995, "{right} of {rounds}");
    for label in 0..35_990 {
        assert!(index.remove(label));
    }
    assert_eq!(index.search(&vectors[0], 20, |_| true).len(), 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn twelve_bits_are_within_a_thousandth(seed in any::<u64>(), dimensions in 1usize..800, spike in 0.0f32..60.0) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut vector = direction(&mut rng, dimensions);
        // one number far larger than the rest makes the steps of all the others coarse
        vector[dimensions / 2] += spike / (dimensions as f32).sqrt();
        let vector = unit(vector);
        let index = by_hand(dimensions, IndexKind::Auto);
        index.insert(1, &vector);
        for query in [direction(&mut rng, dimensions), near(&mut rng, &vector, 0.9), vector.clone()] {
            if query.iter().all(|x| x.is_finite()) {
                let found = index.search(&query, 1, |_| true)[0];
                prop_assert!((found.similarity - dot(&vector, &query)).abs() <= 1e-3);
            }
        }
    }
}
