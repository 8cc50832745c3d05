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

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "the vector instructions; a machine exists only where the processor has them"
)]
mod x86;

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
