//! The machines of x86-64.

use std::arch::x86_64::*;

use super::{FOUR, Job, Machine, Quads, WIDTH};

/// A machine's proof of itself and the door into code compiled for it.
macro_rules! machine {
    ($name:ident, $features:literal, $($feature:tt),+) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name(());

        impl $name {
            #[inline]
            pub(super) fn try_new() -> Option<Self> {
                ($(is_x86_feature_detected!($feature))&&+).then_some($name(()))
            }

            #[inline]
            pub(super) fn enter<J: Job>(self, job: J) {
                #[target_feature(enable = $features)]
                fn inside<J: Job>(machine: $name, job: J) {
                    job.run(machine);
                }
                // SAFETY: `self` exists only where the processor has these instructions.
                unsafe { inside(self, job) }
            }
        }
    };
}

machine!(
    Avx512,
    "avx512f,avx512bw,avx512vl,avx512vnni,avx2",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512vnni",
    "avx2"
);
machine!(AvxVnni, "avxvnni,avx2", "avxvnni", "avx2");
machine!(Avx2, "avx2", "avx2");

// SAFETY of every block below: the value of the machine proves its instructions; loads and
// stores go through references to exactly as many bytes, with the unaligned instructions.

impl Machine for Avx512 {
    type Sums = __m512i;
    type Weights = __m512i;
    type Input = __m512i;
    const OFFSET: i32 = 0;
    const ROWS: usize = 12;
    const PANELS: usize = 2;

    #[inline(always)]
    fn none(self) -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn weights(self, line: &Quads) -> __m512i {
        unsafe { _mm512_loadu_si512((&raw const line.0).cast()) }
    }

    #[inline(always)]
    fn input(self, four: [u8; FOUR]) -> __m512i {
        unsafe { _mm512_set1_epi32(i32::from_ne_bytes(four)) }
    }

    #[inline(always)]
    fn add(self, sums: __m512i, input: __m512i, weights: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sums, input, weights) }
    }

    #[inline(always)]
    fn store(self, sums: __m512i, to: &mut [i32; WIDTH]) {
        unsafe { _mm512_storeu_si512((&raw mut *to).cast(), sums) }
    }
}

/// Both halves of a line.
#[inline(always)]
unsafe fn halves(line: &Quads) -> [__m256i; 2] {
    let at: *const __m256i = (&raw const line.0).cast();
    unsafe { [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))] }
}

#[inline(always)]
unsafe fn store_halves(sums: [__m256i; 2], to: &mut [i32; WIDTH]) {
    let at: *mut __m256i = (&raw mut *to).cast();
    unsafe {
        _mm256_storeu_si256(at, sums[0]);
        _mm256_storeu_si256(at.add(1), sums[1]);
    }
}

impl Machine for AvxVnni {
    type Sums = [__m256i; 2];
    type Weights = [__m256i; 2];
    type Input = __m256i;
    const OFFSET: i32 = 0;
    const ROWS: usize = 6;
    const PANELS: usize = 1;

    #[inline(always)]
    fn none(self) -> [__m256i; 2] {
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    fn weights(self, line: &Quads) -> [__m256i; 2] {
        unsafe { halves(line) }
    }

    #[inline(always)]
    fn input(self, four: [u8; FOUR]) -> __m256i {
        unsafe { _mm256_set1_epi32(i32::from_ne_bytes(four)) }
    }

    #[inline(always)]
    fn add(self, sums: [__m256i; 2], input: __m256i, weights: [__m256i; 2]) -> [__m256i; 2] {
        unsafe {
            [
                _mm256_dpbusd_avx_epi32(sums[0], input, weights[0]),
                _mm256_dpbusd_avx_epi32(sums[1], input, weights[1]),
            ]
        }
    }

    #[inline(always)]
    fn store(self, sums: [__m256i; 2], to: &mut [i32; WIDTH]) {
        unsafe { store_halves(sums, to) }
    }
}

impl Machine for Avx2 {
    type Sums = [__m256i; 2];
    type Weights = [__m256i; 2];
    /// Signed, and its absolute value.
    type Input = (__m256i, __m256i);
    const OFFSET: i32 = 128;
    const ROWS: usize = 4;
    const PANELS: usize = 1;

    #[inline(always)]
    fn none(self) -> [__m256i; 2] {
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    fn weights(self, line: &Quads) -> [__m256i; 2] {
        unsafe { halves(line) }
    }

    #[inline(always)]
    fn input(self, four: [u8; FOUR]) -> (__m256i, __m256i) {
        unsafe {
            let unsigned = _mm256_set1_epi32(i32::from_ne_bytes(four));
            // Flipping the highest bit subtracts 128. |-128| is 128 as an unsigned byte.
            let signed = _mm256_xor_si256(unsigned, _mm256_set1_epi8(i8::MIN));
            (signed, _mm256_abs_epi8(signed))
        }
    }

    #[inline(always)]
    fn add(
        self,
        sums: [__m256i; 2],
        (signed, size): (__m256i, __m256i),
        weights: [__m256i; 2],
    ) -> [__m256i; 2] {
        unsafe {
            let ones = _mm256_set1_epi16(1);
            // The input's sign moves to the weight: |x| · (w · sign x).
            let half = |sum, weights| {
                let turned = _mm256_sign_epi8(weights, signed);
                let pairs = _mm256_maddubs_epi16(size, turned);
                _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones))
            };
            [half(sums[0], weights[0]), half(sums[1], weights[1])]
        }
    }

    #[inline(always)]
    fn store(self, sums: [__m256i; 2], to: &mut [i32; WIDTH]) {
        unsafe { store_halves(sums, to) }
    }
}
