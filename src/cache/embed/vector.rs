//! A text's place in the embedder's space.

const LANES: usize = 16;

/// A direction: finite numbers of length 1, so that a dot product is a cosine.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector(Box<[f32]>);

impl Vector {
    /// Scales `components` to length 1. `None` unless they are finite and point somewhere.
    pub fn new(mut components: Vec<f32>) -> Option<Self> {
        let by = 1.0 / dot(&components, &components).sqrt();
        if !by.is_finite() || by <= 0.0 {
            return None;
        }
        for component in &mut components {
            *component *= by;
        }
        Some(Vector(components.into_boxed_slice()))
    }

    /// The cosine of the angle between the two, -1 to 1 up to rounding. Of vectors of different
    /// lengths, what they share counts.
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
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
    lanes.iter().sum::<f32>() + rest.sum::<f32>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_points_nowhere_is_refused() {
        assert!(Vector::new(vec![0.0; 384]).is_none());
        assert!(Vector::new(Vec::new()).is_none());
        assert!(Vector::new(vec![f32::NAN; 384]).is_none());
        assert!(Vector::new(vec![f32::INFINITY; 384]).is_none());
        assert!(Vector::new(vec![f32::MAX; 384]).is_none());
    }

    proptest! {
        #[test]
        fn every_vector_has_length_one(components in proptest::collection::vec(-9.0_f32..9.0, 1..400)) {
            prop_assume!(components.iter().any(|x| x.abs() > 0.1));
            let vector = Vector::new(components).unwrap();
            prop_assert!((vector.dot(&vector) - 1.0).abs() < 1e-5);
        }
    }
}
