//! A text's place in the embedder's space.

/// Numbers per vector.
pub const DIMENSIONS: usize = 384;
const LANES: usize = 16;

/// A direction: [`DIMENSIONS`] finite numbers of length 1, so that a dot product is a cosine.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector(Box<[f32]>);

impl Vector {
    /// Scales `components` to length 1. `None` unless there are [`DIMENSIONS`] finite ones that point
    /// somewhere.
    pub fn new(mut components: Vec<f32>) -> Option<Self> {
        if components.len() != DIMENSIONS {
            return None;
        }
        let by = 1.0 / dot(&components, &components).sqrt();
        if !by.is_finite() || by <= 0.0 {
            return None;
        }
        for component in &mut components {
            *component *= by;
        }
        Some(Vector(components.into_boxed_slice()))
    }

    /// The cosine of the angle between the two, -1 to 1 up to rounding.
    pub fn dot(&self, other: &Vector) -> f32 {
        dot(&self.0, &other.0)
    }

    /// The components.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }
}

/// Sums in 16 lanes, so that the compiler may use vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in a
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(b.as_chunks::<LANES>().0)
    {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_points_nowhere_or_has_another_size_is_refused() {
        assert!(Vector::new(vec![0.0; DIMENSIONS]).is_none());
        assert!(Vector::new(vec![1.0; DIMENSIONS - 1]).is_none());
        assert!(Vector::new(vec![f32::NAN; DIMENSIONS]).is_none());
        assert!(Vector::new(vec![f32::INFINITY; DIMENSIONS]).is_none());
        assert!(Vector::new(vec![f32::MAX; DIMENSIONS]).is_none());
    }

    proptest! {
        #[test]
        fn every_vector_has_length_one(components in proptest::collection::vec(-9.0_f32..9.0, DIMENSIONS)) {
            let vector = Vector::new(components).unwrap();
            prop_assert!((vector.dot(&vector) - 1.0).abs() < 1e-5);
        }
    }
}
