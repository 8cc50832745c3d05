//! The cells a space begins with, before any were trained on what the nodes hold.
//!
//! `starting/all-MiniLM-L6-v2.cells` is made by `llm-router-testnet train-cells` from questions made by rules
//! in this repository, and from a thousand texts each of clinc150 (Larson and others 2019, CC BY 3.0), banking77
//! (Casanueva and others 2020, CC BY 4.0) and the English side of Tatoeba (CC BY 2.0 FR): centroids of their
//! vectors, no text. One byte a number, row after row, then a share per row as little-endian u16.

use sha2::{Digest as _, Sha256};

use super::kmeans::Trained;
use super::score::mix;
use super::vector::unit;

/// Cells of a starting set.
pub const STARTING_CELLS: usize = 256;
/// Spaces whose name begins so begin with the set that ships: bytes or floats, the cells are one.
const TRAINED_FOR: &str = "all-MiniLM-L6-v2";
/// Its dimensions.
const TRAINED_DIMENSIONS: usize = 384;
const TRAINED: &[u8] = include_bytes!("starting/all-MiniLM-L6-v2.cells");
/// Largest byte of a coded number.
const FULL: f32 = 127.0;

/// Centroids row after row, and a share each or none.
pub(super) fn set(space: &str, dimensions: usize) -> (Vec<f32>, Vec<f32>) {
    let fits = space.starts_with(TRAINED_FOR) && dimensions == TRAINED_DIMENSIONS;
    let trained = fits.then(|| decode(TRAINED, dimensions)).flatten();
    trained.map_or_else(
        || (random(space, dimensions), Vec::new()),
        |trained| (trained.centroids, trained.shares),
    )
}

/// Unit vectors in random directions that follow from the space's name.
fn random(space: &str, dimensions: usize) -> Vec<f32> {
    let digest = Sha256::digest(space.as_bytes());
    let seed = digest
        .iter()
        .take(8)
        .fold(0, |number, byte| (number << 8) | u64::from(*byte));
    let mut rows: Vec<f32> = (0..(STARTING_CELLS * dimensions) as u64)
        .map(|at| normal(mix(seed ^ mix(at))))
        .collect();
    rows.chunks_exact_mut(dimensions).for_each(direct);
    rows
}

/// Near enough to a normal deviate: the sum of eight uniform bytes, centred.
fn normal(drawn: u64) -> f32 {
    let bytes = drawn.to_le_bytes();
    let sum: u16 = bytes.iter().map(|byte| u16::from(*byte)).sum();
    f32::from(sum) - 1020.0
}

/// Length 1; what points nowhere is given the first direction.
fn direct(row: &mut [f32]) {
    if !unit(row) {
        row.fill(0.0);
        row[0] = 1.0;
    }
}

/// Cells as they ship: about 0.2 % of a number's length is lost. `None` unless there are
/// [`STARTING_CELLS`] of them.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "scaled to what fits")]
pub fn encode(trained: &Trained, dimensions: usize) -> Option<Vec<u8>> {
    let count = trained.shares.len();
    if count != STARTING_CELLS || trained.centroids.len() != count * dimensions {
        return None;
    }
    let largest = |row: &[f32]| {
        row.iter()
            .fold(f32::MIN_POSITIVE, |most, n| most.max(n.abs()))
    };
    let mut bytes = Vec::with_capacity(count * (dimensions + 2));
    for row in trained.centroids.chunks_exact(dimensions) {
        let by = FULL / largest(row);
        let coded = row.iter().map(|n| (n * by).round() as i8);
        bytes.extend(coded.flat_map(i8::to_le_bytes));
    }
    let by = f32::from(i16::MAX) / largest(&trained.shares);
    let coded = trained
        .shares
        .iter()
        .map(|share| (share * by).round() as i16);
    bytes.extend(coded.flat_map(i16::to_le_bytes));
    Some(bytes)
}

/// The way back; `None` when it is of another length.
fn decode(bytes: &[u8], dimensions: usize) -> Option<Trained> {
    let (rows, shares) = bytes.split_at_checked(STARTING_CELLS * dimensions)?;
    let (shares, rest) = shares.as_chunks::<2>();
    if shares.len() != STARTING_CELLS || !rest.is_empty() {
        return None;
    }
    let mut centroids: Vec<f32> = rows
        .iter()
        .map(|b| f32::from(i8::from_le_bytes([*b])))
        .collect();
    centroids.chunks_exact_mut(dimensions).for_each(direct);
    let shares = shares
        .iter()
        .map(|two| f32::from(i16::from_le_bytes(*two)).max(0.0));
    Some(Trained {
        centroids,
        shares: shares.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::vector::dot;
    use super::*;

    #[test]
    fn the_set_that_ships_is_whole_and_is_used_for_its_model_alone() {
        assert_eq!(TRAINED.len(), STARTING_CELLS * (TRAINED_DIMENSIONS + 2));
        let (bytes, _) = set("all-MiniLM-L6-v2@53aa5117+int8", 384);
        let (floats, shares) = set("all-MiniLM-L6-v2@53aa5117", 384);
        assert_eq!(bytes, floats);
        assert!(
            shares.iter().all(|share| *share > 0.0),
            "no cell is for nothing"
        );
        assert_ne!(set("another-model", 384).0, floats);
        assert!(set("another-model", 384).1.is_empty());
        assert_eq!(set("all-MiniLM-L6-v2", 16).0.len(), STARTING_CELLS * 16);
    }

    #[test]
    fn coding_turns_a_centroid_by_little() {
        let centroids = random("some space", 64);
        let shares = (1_u8..=255).chain([3]).map(f32::from).collect();
        let trained = Trained { centroids, shares };
        let back = decode(&encode(&trained, 64).unwrap(), 64).unwrap();
        let pairs = trained
            .centroids
            .chunks_exact(64)
            .zip(back.centroids.chunks_exact(64));
        for (before, after) in pairs {
            assert!(dot(before, after) > 0.999);
        }
        assert!((back.shares[9] / back.shares[99] - 0.1).abs() < 0.001);
        assert!(encode(&trained, 32).is_none());
        assert!(decode(&[0; 99], 64).is_none());
    }
}
