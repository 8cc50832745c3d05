//! Vectors as they are kept and sent: in half precision.
//!
//! Rounding a number twice changes nothing, so every node that holds an entry has the very same
//! vector of it, and finds the same cells for it. What it costs is less than 2⁻¹¹ of each number: a
//! cosine moves by about 10⁻⁵.

use std::fmt;
use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt as _;

/// A vector in half precision. Cheap to clone.
#[derive(Clone, PartialEq)]
pub(crate) struct Compact(Arc<[f16]>);

impl fmt::Debug for Compact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Compact({} numbers)", self.0.len())
    }
}

impl Compact {
    /// Rounds a vector.
    pub(crate) fn of(vector: &[f32]) -> Self {
        let mut halves = vec![f16::ZERO; vector.len()];
        halves.convert_from_f32_slice(vector);
        Compact(halves.into())
    }

    /// The numbers as they are computed with.
    pub(crate) fn widen(&self) -> Arc<[f32]> {
        let mut wide = vec![0.0; self.0.len()];
        self.0.convert_to_f32_slice(&mut wide);
        wide.into()
    }

    /// Numbers in it.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends the numbers, little endian.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.reserve(self.0.len() * 2);
        self.0
            .iter()
            .for_each(|half| bytes.extend_from_slice(&half.to_le_bytes()));
    }

    /// Reads what [`Compact::write`] wrote; `None` where it is no vector of finite numbers.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (pairs, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() || pairs.is_empty() {
            return None;
        }
        let halves: Arc<[f16]> = pairs.iter().map(|pair| f16::from_le_bytes(*pair)).collect();
        halves
            .iter()
            .all(|half| half.is_finite())
            .then_some(Compact(halves))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_vector_is_the_same_however_often_it_is_rounded_written_and_read(
            vector in prop::collection::vec(-1.0f32..1.0, 1..400),
        ) {
            let once = Compact::of(&vector);
            let again = Compact::of(&once.widen());
            let mut bytes = Vec::new();
            again.write(&mut bytes);
            prop_assert_eq!(Compact::read(&bytes).unwrap(), once.clone());
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= a.abs() / 2048.0 + 1e-7;
            prop_assert!(vector.iter().zip(once.widen().iter()).all(near));
        }
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        for bytes in [&[][..], &[1], &[0, 0x7c], &[1, 0x7e, 0]] {
            assert_eq!(Compact::read(bytes), None);
        }
    }
}
