//! An exact nearest-neighbour scan: int8 codes for the scan, f32 originals for the last word.
//!
//! Each vector is kept as one signed byte per dimension under a scale of its own (the scan's order
//! is off by about a thousandth of cosine) and as the original, with which the best few are scored
//! again. Inserting and removing take constant time; a removed row is filled by the last one.

pub mod kernel;

use std::collections::HashMap;

/// How many rows the scan keeps for scoring in full precision, at least.
const RESCORED: usize = 8;

/// Vectors of one space, each under a label.
#[derive(Clone, Debug, Default)]
pub struct FlatIndex {
    dimensions: usize,
    codes: Vec<i8>,
    scales: Vec<f32>,
    originals: Vec<f32>,
    labels: Vec<u64>,
    rows: HashMap<u64, usize>,
}

/// A vector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its label.
    pub label: u64,
    /// Cosine, for unit-length vectors.
    pub similarity: f32,
}

impl FlatIndex {
    /// An empty index of vectors with so many dimensions.
    pub fn new(dimensions: usize) -> Self {
        FlatIndex {
            dimensions,
            ..FlatIndex::default()
        }
    }

    /// Vectors held.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Holds nothing.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Adds or replaces the unit-length `vector` of `label`. False, and nothing happens, when it
    /// has another number of dimensions or holds something that is not a finite number.
    pub fn insert(&mut self, label: u64, vector: &[f32]) -> bool {
        if vector.len() != self.dimensions || !vector.iter().all(|x| x.is_finite()) {
            return false;
        }
        self.remove(label);
        let (codes, scale) = quantise(vector);
        self.rows.insert(label, self.labels.len());
        self.labels.push(label);
        self.codes.extend_from_slice(&codes);
        self.scales.push(scale);
        self.originals.extend_from_slice(vector);
        true
    }

    /// Takes the vector of `label` out; false when there is none.
    pub fn remove(&mut self, label: u64) -> bool {
        let Some(row) = self.rows.remove(&label) else {
            return false;
        };
        let (last, d) = (self.labels.len() - 1, self.dimensions);
        self.labels.swap_remove(row);
        self.scales.swap_remove(row);
        if row != last {
            self.codes.copy_within(last * d..(last + 1) * d, row * d);
            self.originals
                .copy_within(last * d..(last + 1) * d, row * d);
            self.rows.insert(self.labels[row], row);
        }
        self.codes.truncate(last * d);
        self.originals.truncate(last * d);
        true
    }

    /// The `k` nearest vectors, nearest first. Reads every row.
    pub fn search(&self, query: &[f32], k: usize) -> Vec<Neighbour> {
        if query.len() != self.dimensions || k == 0 || self.is_empty() {
            return Vec::new();
        }
        let (codes, scale) = quantise(query);
        let mut best = Best::new(k.max(RESCORED));
        kernel::scan(&codes, &self.codes, |row, dot| {
            best.offer(row, kernel::to_f32(dot) * self.scales[row] * scale);
        });
        let mut found: Vec<Neighbour> = best
            .rows
            .iter()
            .map(|&(row, _)| Neighbour {
                label: self.labels[row],
                similarity: self.cosine(row, query),
            })
            .collect();
        found.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        found.truncate(k);
        found
    }

    fn cosine(&self, row: usize, query: &[f32]) -> f32 {
        let start = row * self.dimensions;
        dot(&self.originals[start..start + self.dimensions], query)
    }
}

/// Dot product in full precision; the cosine of unit-length vectors. Zero past the shorter end.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Codes and scale such that `code * scale` is close to the value.
fn quantise(vector: &[f32]) -> (Vec<i8>, f32) {
    let largest = vector
        .iter()
        .fold(0.0f32, |largest, x| largest.max(x.abs()));
    if largest <= 0.0 || !largest.is_finite() {
        return (vec![0; vector.len()], 0.0);
    }
    let scale = largest / 127.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounded into -127..=127 by the scale"
    )]
    let codes = vector.iter().map(|x| (x / scale).round() as i8).collect();
    (codes, scale)
}

/// The best rows so far, unsorted; `floor` is the worst of them once it is full.
struct Best {
    room: usize,
    rows: Vec<(usize, f32)>,
    floor: f32,
}

impl Best {
    fn new(room: usize) -> Self {
        Best {
            room,
            rows: Vec::with_capacity(room),
            floor: f32::NEG_INFINITY,
        }
    }

    fn offer(&mut self, row: usize, score: f32) {
        if self.rows.len() < self.room {
            self.rows.push((row, score));
        } else if score > self.floor {
            if let Some(worst) = self.rows.iter_mut().min_by(|a, b| a.1.total_cmp(&b.1)) {
                *worst = (row, score);
            }
        } else {
            return;
        }
        if self.rows.len() == self.room {
            self.floor = self
                .rows
                .iter()
                .map(|(_, score)| *score)
                .fold(f32::INFINITY, f32::min);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn unit(rng: &mut StdRng, dimensions: usize) -> Vec<f32> {
        let mut vector: Vec<f32> = (0..dimensions)
            .map(|_| rng.random_range(-1.0..1.0))
            .collect();
        let norm = dot(&vector, &vector).sqrt();
        vector.iter_mut().for_each(|x| *x /= norm);
        vector
    }

    #[test]
    fn a_vector_of_another_size_or_without_numbers_is_refused() {
        let mut index = FlatIndex::new(4);
        assert!(!index.insert(1, &[1.0, 0.0]));
        assert!(!index.insert(1, &[f32::NAN, 0.0, 0.0, 0.0]));
        assert!(index.is_empty());
        assert!(index.search(&[1.0, 0.0], 3).is_empty());
    }

    #[test]
    fn a_removed_vector_is_never_found_and_the_rest_stay() {
        let mut rng = StdRng::seed_from_u64(3);
        let vectors: Vec<Vec<f32>> = (0..50).map(|_| unit(&mut rng, 384)).collect();
        let mut index = FlatIndex::new(384);
        for (label, vector) in (0..).zip(&vectors) {
            assert!(index.insert(label, vector));
        }
        for label in (0..50).step_by(2) {
            assert!(index.remove(label));
            assert!(!index.remove(label));
        }
        for (label, vector) in (0..).zip(&vectors) {
            let nearest = index.search(vector, 1)[0];
            assert_eq!(nearest.label == label, label % 2 == 1);
        }
        assert_eq!(index.len(), 25);
    }

    #[test]
    fn inserting_a_label_again_replaces_its_vector() {
        let mut index = FlatIndex::new(2);
        index.insert(1, &[1.0, 0.0]);
        index.insert(1, &[0.0, 1.0]);
        let found = index.search(&[0.0, 1.0], 5);
        assert_eq!(found.len(), 1);
        assert!(found[0].similarity > 0.999);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_nearest_is_as_near_as_brute_force_says(seed in any::<u64>(), count in 1usize..300) {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut index = FlatIndex::new(384);
            let vectors: Vec<Vec<f32>> = (0..count).map(|_| unit(&mut rng, 384)).collect();
            for (label, vector) in (0..).zip(&vectors) {
                index.insert(label, vector);
            }
            let query = unit(&mut rng, 384);
            let best = vectors.iter().map(|v| dot(v, &query)).fold(f32::MIN, f32::max);
            let found = index.search(&query, 8);
            prop_assert!((found[0].similarity - best).abs() < 1e-3);
            prop_assert!(found.windows(2).all(|w| w[0].similarity >= w[1].similarity));
            prop_assert_eq!(found.len(), count.min(8));
        }
    }
}
