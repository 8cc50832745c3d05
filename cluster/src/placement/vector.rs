//! Dot products, written so that the compiler uses vector registers.

const LANES: usize = 16;

/// The dot product of what the two share: the cosine, of vectors of length 1. Sums in sixteen lanes
/// in a fixed order, so it comes out the same everywhere.
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
    lanes.iter().sum::<f32>() + rest.sum::<f32>()
}

/// Scales to length 1; false, and unchanged, when it points nowhere.
pub(super) fn unit(row: &mut [f32]) -> bool {
    let by = 1.0 / dot(row, row).sqrt();
    if !by.is_finite() || by <= 0.0 {
        return false;
    }
    row.iter_mut().for_each(|component| *component *= by);
    true
}
