//! LayerNorm with the residual addition in front of it, in place.

use pulp::{Simd, WithSimd};

use super::vectorise::vectorise;

const LANES: usize = 16;

/// Scale and shift of one LayerNorm.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    /// Added to the variance.
    pub(super) epsilon: f32,
}

impl Norm {
    /// `hidden = normalise(hidden + delta)`, row by row.
    pub(super) fn add_and_normalise(&self, hidden: &mut [f32], delta: &[f32]) {
        vectorise(AddAndNormalise {
            norm: self,
            hidden,
            delta,
        });
    }
}

struct AddAndNormalise<'a> {
    norm: &'a Norm,
    hidden: &'a mut [f32],
    delta: &'a [f32],
}

impl WithSimd for AddAndNormalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Norm {
            scale,
            shift,
            epsilon,
        } = self.norm;
        let width = scale.len();
        #[expect(clippy::cast_precision_loss, reason = "exact: a few thousand at most")]
        let share = 1.0 / width as f32;
        let rows = self.hidden.chunks_exact_mut(width);
        for (row, delta) in rows.zip(self.delta.chunks_exact(width)) {
            for (value, delta) in row.iter_mut().zip(delta) {
                *value += delta;
            }
            let mean = sum_of(row, |value| value) * share;
            let variance = sum_of(row, |value| (value - mean) * (value - mean)) * share;
            let by = 1.0 / (variance + epsilon).sqrt();
            for ((value, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
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
        const HIDDEN: usize = 48;
        let norm = Norm {
            scale: vec![2.0; HIDDEN],
            shift: vec![5.0; HIDDEN],
            epsilon: 1e-12,
        };
        let mut hidden: Vec<f32> = (0..2 * HIDDEN)
            .map(|i| f32::from(u16::try_from(i * 37 % 101).unwrap()))
            .collect();
        let delta = vec![100.0; 2 * HIDDEN];
        norm.add_and_normalise(&mut hidden, &delta);
        for row in hidden.chunks_exact(HIDDEN) {
            let mean = row.iter().sum::<f32>() / 48.0;
            let spread = row.iter().map(|v| (v - 5.0) * (v - 5.0)).sum::<f32>() / 48.0;
            assert!((mean - 5.0).abs() < 1e-3, "{mean}");
            assert!((spread - 4.0).abs() < 1e-2, "{spread}");
        }
    }
}
