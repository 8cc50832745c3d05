//! Dot products of signed bytes: one query against many rows.
//!
//! VNNI or AVX2 where the processor has them, plain Rust elsewhere; all give the same integers.
//! VNNI multiplies unsigned by signed bytes, so rows are moved up by 128 and the query's sum times
//! 128 is taken off again: `Σ (r + 128) q − 128 Σ q = Σ r q`, exact in 32 bits for any vector of
//! fewer than 65,000 dimensions.

#[cfg(target_arch = "x86_64")]
mod x86;

/// How many rows a kernel is asked for at once.
pub(super) const BATCH: usize = 64;

/// Signed bytes with what the kernels want to know about them beforehand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left<'a> {
    codes: &'a [i8],
    sum: i32,
}

impl<'a> Left<'a> {
    /// With their [`sum`], computed once for many rows.
    pub(super) fn new(codes: &'a [i8], sum: i32) -> Self {
        Left { codes, sum }
    }
}

/// The sum of the codes.
pub(super) fn sum(codes: &[i8]) -> i32 {
    codes.iter().map(|&code| i32::from(code)).sum()
}

/// Kernels of this processor, looked up once per scan or graph.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel {
    one: fn(Left<'_>, &[i8]) -> i32,
    many: fn(Left<'_>, &[i8], &mut [i32]),
}

impl Kernel {
    /// The fastest this processor has.
    pub(super) fn best() -> Kernel {
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = x86::kernels().into_iter().flatten().next() {
            return kernel;
        }
        Kernel::PORTABLE
    }

    const PORTABLE: Kernel = Kernel {
        one: portable,
        many: portable_many,
    };

    /// The dot product with one row of the same length.
    pub(super) fn dot(self, left: Left<'_>, row: &[i8]) -> i32 {
        (self.one)(left, row)
    }

    /// Calls `each(row, dot)` for every row of `rows`, which holds rows as long as the query, end
    /// to end.
    pub(super) fn scan(self, query: Left<'_>, rows: &[i8], mut each: impl FnMut(usize, i32)) {
        let dimensions = query.codes.len();
        if dimensions == 0 {
            return;
        }
        let mut dots = [0i32; BATCH];
        for (batch, rows) in rows.chunks(BATCH * dimensions).enumerate() {
            let count = (rows.len() / dimensions).min(BATCH);
            (self.many)(query, rows, &mut dots[..count]);
            for (row, &dot) in dots[..count].iter().enumerate() {
                each(batch * BATCH + row, dot);
            }
        }
    }
}

/// The reference: what every other kernel must equal.
fn portable(left: Left<'_>, row: &[i8]) -> i32 {
    left.codes
        .iter()
        .zip(row)
        .map(|(&q, &r)| i32::from(q) * i32::from(r))
        .sum()
}

fn portable_many(left: Left<'_>, rows: &[i8], dots: &mut [i32]) {
    for (dot, row) in dots.iter_mut().zip(rows.chunks_exact(left.codes.len())) {
        *dot = portable(left, row);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn every_kernel() -> Vec<Kernel> {
        let mut kernels = vec![Kernel::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        kernels.extend(x86::kernels().into_iter().flatten());
        kernels
    }

    #[test]
    fn extremes_do_not_overflow() {
        for kernel in every_kernel() {
            for (query, row, each) in [(i8::MIN, i8::MIN, 16_384), (i8::MAX, i8::MIN, -16_256)] {
                let query = [query; 1024];
                let mut seen = Vec::new();
                kernel.scan(Left::new(&query, sum(&query)), &[row; 2048], |row, dot| {
                    seen.push((row, dot));
                });
                assert_eq!(seen, [(0, 1024 * each), (1, 1024 * each)]);
            }
        }
    }

    proptest! {
        #[test]
        fn every_kernel_equals_the_reference(
            dimensions in 1usize..500,
            rows in 0usize..140,
            seed in prop::collection::vec(any::<i8>(), 1009),
        ) {
            let query: Vec<i8> = seed.iter().copied().cycle().take(dimensions).collect();
            let slab: Vec<i8> = seed.iter().copied().cycle().skip(7).step_by(3).take(dimensions * rows).collect();
            let expected: Vec<i32> = slab
                .chunks_exact(dimensions)
                .map(|row| query.iter().zip(row).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum())
                .collect();
            for kernel in every_kernel() {
                let mut seen = Vec::new();
                kernel.scan(Left::new(&query, sum(&query)), &slab, |_, dot| seen.push(dot));
                prop_assert_eq!(&seen, &expected);
                for (row, expected) in slab.chunks_exact(dimensions).zip(&expected) {
                    prop_assert_eq!(kernel.dot(Left::new(&query, sum(&query)), row), *expected);
                }
            }
        }
    }
}
