//! The instructions that multiply bytes, behind one face.
//!
//! A machine keeps sixteen sums and adds, to each, four products of an unsigned input byte and a
//! signed weight byte. All of them do it exactly:
//!
//! | level | instruction | why it cannot overflow |
//! | --- | --- | --- |
//! | `Avx512` | `vpdpbusd` on 64 bytes | adds the four products in 32 bits |
//! | `AvxVnni` | `vpdpbusd` on 32 bytes | the same |
//! | `Avx2` | `vpmaddubsw`, `vpmaddwd` | inputs are taken as -128 … 127, so that two products are at most 2 · 128 · 127 < 2¹⁵ |
//! | `Portable` | plain arithmetic | 32 bits |

use super::{FOUR, Quads, WIDTH};

/// Which machine to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache::embed) enum Level {
    /// 512-bit VNNI.
    Avx512,
    /// 256-bit VNNI.
    AvxVnni,
    /// AVX2 without VNNI.
    Avx2,
    /// Any processor.
    Portable,
}

impl Level {
    /// From the fastest to the slowest.
    pub(in crate::cache::embed) const ALL: [Level; 4] =
        [Level::Avx512, Level::AvxVnni, Level::Avx2, Level::Portable];

    /// The fastest that this processor has.
    pub(in crate::cache::embed) fn best() -> Level {
        let mut all = Level::ALL.into_iter();
        all.find(|level| level.is_here()).unwrap_or(Level::Portable)
    }

    /// Whether this processor can run it.
    pub(in crate::cache::embed) fn is_here(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => x86::Avx512::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Level::AvxVnni => x86::AvxVnni::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => x86::Avx2::try_new().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Level::Avx512 | Level::AvxVnni | Level::Avx2 => false,
            Level::Portable => true,
        }
    }

    /// Panels that its machine takes together.
    pub(super) fn panels(self) -> usize {
        match self {
            Level::Avx512 => 2,
            Level::AvxVnni | Level::Avx2 | Level::Portable => 1,
        }
    }

    /// Runs `job` on this level's machine, or on the portable one where the processor lacks it.
    pub(super) fn run<J: Job>(self, job: J) {
        #[cfg(target_arch = "x86_64")]
        match self {
            Level::Avx512 => {
                if let Some(machine) = x86::Avx512::try_new() {
                    return machine.enter(job);
                }
            }
            Level::AvxVnni => {
                if let Some(machine) = x86::AvxVnni::try_new() {
                    return machine.enter(job);
                }
            }
            Level::Avx2 => {
                if let Some(machine) = x86::Avx2::try_new() {
                    return machine.enter(job);
                }
            }
            Level::Portable => {}
        }
        job.run(Portable);
    }
}

/// Work for whichever machine there is.
pub(super) trait Job {
    /// Does it. Everything inside is compiled anew for every machine.
    fn run<M: Machine>(self, machine: M);
}

/// See the module. A value of a machine is the proof that the processor has it.
pub(super) trait Machine: Copy {
    /// Sixteen sums.
    type Sums: Copy;
    /// The weights of a line.
    type Weights: Copy;
    /// Four input bytes, as the product wants them.
    type Input: Copy;
    /// Subtracted from every input byte before the product.
    const OFFSET: i32;
    /// Rows and panels that fit the registers together.
    const ROWS: usize;
    /// Panels side by side.
    const PANELS: usize;

    fn none(self) -> Self::Sums;
    fn weights(self, line: &Quads) -> Self::Weights;
    fn input(self, four: [u8; FOUR]) -> Self::Input;
    fn add(self, sums: Self::Sums, input: Self::Input, weights: Self::Weights) -> Self::Sums;
    fn store(self, sums: Self::Sums, to: &mut [i32; WIDTH]);
}

/// Plain arithmetic: the definition of what the others compute.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Machine for Portable {
    type Sums = [i32; WIDTH];
    type Weights = [i8; FOUR * WIDTH];
    type Input = [u8; FOUR];
    const OFFSET: i32 = 0;
    const ROWS: usize = 4;
    const PANELS: usize = 1;

    #[inline(always)]
    fn none(self) -> Self::Sums {
        [0; WIDTH]
    }

    #[inline(always)]
    fn weights(self, line: &Quads) -> Self::Weights {
        line.0
    }

    #[inline(always)]
    fn input(self, four: [u8; FOUR]) -> Self::Input {
        four
    }

    #[inline(always)]
    fn add(self, mut sums: Self::Sums, input: Self::Input, weights: Self::Weights) -> Self::Sums {
        for (sum, four) in sums.iter_mut().zip(weights.as_chunks::<FOUR>().0) {
            for (x, w) in input.iter().zip(four) {
                *sum += i32::from(*x) * i32::from(*w);
            }
        }
        sums
    }

    #[inline(always)]
    fn store(self, sums: Self::Sums, to: &mut [i32; WIDTH]) {
        *to = sums;
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "the vector instructions; a machine exists only where the processor has them"
)]
mod x86 {
    use std::arch::x86_64::*;

    use super::{FOUR, Job, Machine, Quads, WIDTH};

    /// A machine's proof of itself and the door into code compiled for it.
    macro_rules! machine {
        ($name:ident, $features:literal, $($feature:tt),+) => {
            #[derive(Clone, Copy)]
            pub(in super::super) struct $name(());

            impl $name {
                #[inline]
                pub(in super::super) fn try_new() -> Option<Self> {
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
}
