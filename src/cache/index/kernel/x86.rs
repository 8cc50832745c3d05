//! Kernels for x86-64: AVX-512 VNNI, AVX-VNNI, AVX2.

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi8_epi16,
    _mm256_dpbusd_avx_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi8,
    _mm256_setzero_si256, _mm256_storeu_si256, _mm256_xor_si256, _mm512_dpbusd_epi32,
    _mm512_loadu_si512, _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_setzero_si512,
    _mm512_xor_si512,
};

use super::{Kernel, Left};

/// What this processor can run, fastest first.
pub(super) fn kernels() -> [Option<Kernel>; 3] {
    let wide = is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw");
    [
        wide.then_some(WIDE),
        is_x86_feature_detected!("avxvnni").then_some(NARROW),
        is_x86_feature_detected!("avx2").then_some(PLAIN),
    ]
}

/// A kernel from its two functions, which only `kernels` hands out.
macro_rules! kernel {
    ($name:ident, $dot:ident, $features:literal) => {
        const $name: Kernel = {
            #[target_feature(enable = $features)]
            fn many(left: Left<'_>, rows: &[i8], dots: &mut [i32]) {
                for (dot, row) in dots.iter_mut().zip(rows.chunks_exact(left.codes.len())) {
                    *dot = $dot(left, row);
                }
            }
            #[expect(
                unsafe_code,
                reason = "the functions are safe but for the features they need"
            )]
            Kernel {
                // SAFETY: `kernels` hands it out after the processor was asked for the features
                one: |left, row| unsafe { $dot(left, row) },
                // SAFETY: as above
                many: |left, rows, dots| unsafe { many(left, rows, dots) },
            }
        };
    };
}

kernel!(WIDE, dot_avx512_vnni, "avx512vnni,avx512bw");
kernel!(NARROW, dot_avx_vnni, "avxvnni");
kernel!(PLAIN, dot_avx2, "avx2");

/// The bytes past the last whole register.
fn rest(query: &[i8], row: &[i8]) -> i32 {
    query
        .iter()
        .zip(row)
        .map(|(&q, &r)| i32::from(q) * i32::from(r))
        .sum()
}

/// Like [`rest`], with the row moved up as the registers have it.
fn rest_moved_up(query: &[i8], row: &[i8]) -> i32 {
    query
        .iter()
        .zip(row)
        .map(|(&q, &r)| i32::from(q) * (i32::from(r) + 128))
        .sum()
}

#[inline]
#[target_feature(enable = "avx512vnni,avx512bw")]
fn dot_avx512_vnni(left: Left<'_>, row: &[i8]) -> i32 {
    let (queries, query_rest) = left.codes.as_chunks::<64>();
    let (rows, row_rest) = row.as_chunks::<64>();
    let up = _mm512_set1_epi8(i8::MIN);
    let mut sums = _mm512_setzero_si512();
    for (q, r) in queries.iter().zip(rows) {
        #[expect(
            unsafe_code,
            reason = "unaligned loads of whole arrays of the right size"
        )]
        // SAFETY: both point to 64 readable bytes, and the loads need no alignment
        let (q, r) = unsafe {
            (
                _mm512_loadu_si512(q.as_ptr().cast::<__m512i>()),
                _mm512_loadu_si512(r.as_ptr().cast::<__m512i>()),
            )
        };
        sums = _mm512_dpbusd_epi32(sums, _mm512_xor_si512(r, up), q);
    }
    _mm512_reduce_add_epi32(sums) + rest_moved_up(query_rest, row_rest) - 128 * left.sum
}

#[inline]
#[target_feature(enable = "avxvnni")]
fn dot_avx_vnni(left: Left<'_>, row: &[i8]) -> i32 {
    let (queries, query_rest) = left.codes.as_chunks::<32>();
    let (rows, row_rest) = row.as_chunks::<32>();
    let up = _mm256_set1_epi8(i8::MIN);
    let mut sums = _mm256_setzero_si256();
    for (q, r) in queries.iter().zip(rows) {
        #[expect(
            unsafe_code,
            reason = "unaligned loads of whole arrays of the right size"
        )]
        // SAFETY: both point to 32 readable bytes, and the loads need no alignment
        let (q, r) = unsafe {
            (
                _mm256_loadu_si256(q.as_ptr().cast::<__m256i>()),
                _mm256_loadu_si256(r.as_ptr().cast::<__m256i>()),
            )
        };
        sums = _mm256_dpbusd_avx_epi32(sums, _mm256_xor_si256(r, up), q);
    }
    total(sums) + rest_moved_up(query_rest, row_rest) - 128 * left.sum
}

#[inline]
#[target_feature(enable = "avx2")]
fn dot_avx2(left: Left<'_>, row: &[i8]) -> i32 {
    let (queries, query_rest) = left.codes.as_chunks::<16>();
    let (rows, row_rest) = row.as_chunks::<16>();
    let mut sums = _mm256_setzero_si256();
    for (q, r) in queries.iter().zip(rows) {
        #[expect(
            unsafe_code,
            reason = "unaligned loads of whole arrays of the right size"
        )]
        // SAFETY: both point to 16 readable bytes, and the loads need no alignment
        let (q, r) = unsafe {
            (
                _mm_loadu_si128(q.as_ptr().cast::<__m128i>()),
                _mm_loadu_si128(r.as_ptr().cast::<__m128i>()),
            )
        };
        let products = _mm256_madd_epi16(_mm256_cvtepi8_epi16(q), _mm256_cvtepi8_epi16(r));
        sums = _mm256_add_epi32(sums, products);
    }
    total(sums) + rest(query_rest, row_rest)
}

/// The eight lanes together.
#[inline]
#[target_feature(enable = "avx2")]
fn total(sums: __m256i) -> i32 {
    let mut lanes = [0i32; 8];
    #[expect(
        unsafe_code,
        reason = "an unaligned store into an array of the right size"
    )]
    // SAFETY: `lanes` has room for 32 bytes and the store needs no alignment
    unsafe {
        _mm256_storeu_si256(lanes.as_mut_ptr().cast::<__m256i>(), sums);
    }
    lanes.iter().sum()
}
