//! Dot products of signed bytes: one query against many rows.
//!
//! AVX2 where the processor has it, plain Rust elsewhere; both give the same integers.

/// Calls `each(row, dot)` for every row of `rows`, which holds rows as long as `query`, end to end.
pub fn scan(query: &[i8], rows: &[i8], mut each: impl FnMut(usize, i32)) {
    if query.is_empty() {
        return;
    }
    let wide: Vec<i16> = query.iter().map(|&x| i16::from(x)).collect();
    let dot = best_dot();
    for (row, codes) in rows.chunks_exact(query.len()).enumerate() {
        each(row, dot(&wide, codes));
    }
}

type Dot = fn(&[i16], &[i8]) -> i32;

fn best_dot() -> Dot {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        return avx2::dot;
    }
    portable
}

/// The reference: what every other kernel must equal.
fn portable(query: &[i16], row: &[i8]) -> i32 {
    query
        .iter()
        .zip(row)
        .map(|(&q, &r)| i32::from(q) * i32::from(r))
        .sum()
}

/// Integer scores stay below 2^24 for up to a thousand dimensions, so nothing is lost.
#[expect(
    clippy::cast_precision_loss,
    reason = "127 * 127 * dimensions fits the mantissa"
)]
pub(super) fn to_f32(dot: i32) -> f32 {
    dot as f32
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi8_epi16,
        _mm256_loadu_si256, _mm256_madd_epi16, _mm256_setzero_si256, _mm256_storeu_si256,
    };

    /// Bytes of a row taken at once.
    const LANES: usize = 16;

    pub(super) fn dot(query: &[i16], row: &[i8]) -> i32 {
        #[expect(
            unsafe_code,
            reason = "best_dot has seen AVX2; inputs are slices of checked length"
        )]
        // SAFETY: handed out by `best_dot` alone, after the processor was asked for AVX2
        unsafe {
            dot_avx2(query, row)
        }
    }

    #[target_feature(enable = "avx2")]
    fn dot_avx2(query: &[i16], row: &[i8]) -> i32 {
        let (queries, query_rest) = query.as_chunks::<LANES>();
        let (rows, row_rest) = row.as_chunks::<LANES>();
        let mut sums = _mm256_setzero_si256();
        for (q, r) in queries.iter().zip(rows) {
            #[expect(
                unsafe_code,
                reason = "unaligned loads of whole arrays of the right size"
            )]
            // SAFETY: `q` points to 32 readable bytes, `r` to 16, and the loads need no alignment
            let (q, r) = unsafe {
                (
                    _mm256_loadu_si256(q.as_ptr().cast::<__m256i>()),
                    _mm_loadu_si128(r.as_ptr().cast::<__m128i>()),
                )
            };
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(q, _mm256_cvtepi8_epi16(r)));
        }
        let mut lanes = [0i32; 8];
        #[expect(
            unsafe_code,
            reason = "an unaligned store into an array of the right size"
        )]
        // SAFETY: `lanes` has room for 32 bytes and the store needs no alignment
        unsafe {
            _mm256_storeu_si256(lanes.as_mut_ptr().cast::<__m256i>(), sums);
        }
        lanes.iter().sum::<i32>() + super::portable(query_rest, row_rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn extremes_do_not_overflow() {
        let query = [i8::MIN; 384];
        let mut seen = Vec::new();
        scan(&query, &[i8::MIN; 768], |row, dot| seen.push((row, dot)));
        assert_eq!(seen, [(0, 384 * 16_384), (1, 384 * 16_384)]);
    }

    proptest! {
        #[test]
        fn the_fast_kernel_equals_the_reference(pairs in prop::collection::vec(any::<(i8, i8)>(), 1..500)) {
            let (query, row): (Vec<i8>, Vec<i8>) = pairs.into_iter().unzip();
            let expected: i32 = query.iter().zip(&row).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
            let mut seen = None;
            scan(&query, &row, |_, dot| seen = Some(dot));
            prop_assert_eq!(seen, Some(expected));
        }
    }
}
