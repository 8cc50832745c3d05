//! LayerNorm with the residual addition in front of it, in place.

use super::HIDDEN;

/// As in the model's config.
const EPSILON: f32 = 1e-12;
const LANES: usize = 16;
#[expect(clippy::cast_precision_loss, reason = "384 is exact in f32")]
const SHARE: f32 = 1.0 / HIDDEN as f32;

/// Scale and shift of one LayerNorm.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
}

impl Norm {
    /// `hidden = normalise(hidden + delta)`, row by row.
    pub(super) fn add_and_normalise(&self, hidden: &mut [f32], delta: &[f32]) {
        for (row, delta) in hidden
            .chunks_exact_mut(HIDDEN)
            .zip(delta.chunks_exact(HIDDEN))
        {
            for (value, delta) in row.iter_mut().zip(delta) {
                *value += delta;
            }
            let mean = sum_of(row, |value| value) * SHARE;
            let variance = sum_of(row, |value| (value - mean) * (value - mean)) * SHARE;
            let by = 1.0 / (variance + EPSILON).sqrt();
            for ((value, scale), shift) in row.iter_mut().zip(&self.scale).zip(&self.shift) {
                *value = (*value - mean) * by * scale + shift;
            }
        }
    }
}

/// Sums `of` over a row whose length is a multiple of 16, in 16 lanes: one running sum could not be
/// vectorised, and would round worse.
#[inline(always)]
fn sum_of(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for chunk in row.as_chunks::<LANES>().0 {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += of(*value);
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_get_mean_zero_and_variance_one_before_scale_and_shift() {
        let norm = Norm {
            scale: vec![2.0; HIDDEN],
            shift: vec![5.0; HIDDEN],
        };
        let mut hidden: Vec<f32> = (0..2 * HIDDEN)
            .map(|i| f32::from(u16::try_from(i * 37 % 101).unwrap()))
            .collect();
        let delta = vec![100.0; 2 * HIDDEN];
        norm.add_and_normalise(&mut hidden, &delta);
        for row in hidden.chunks_exact(HIDDEN) {
            let mean = row.iter().sum::<f32>() * SHARE;
            let spread = row.iter().map(|v| (v - 5.0) * (v - 5.0)).sum::<f32>() * SHARE;
            assert!((mean - 5.0).abs() < 1e-3, "{mean}");
            assert!((spread - 4.0).abs() < 1e-2, "{spread}");
        }
    }
}
