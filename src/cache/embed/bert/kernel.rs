//! The one matrix product of the forward pass, shaped for few rows and many weights.
//!
//! A short text is 5 to 32 rows, so the time goes into reading 42 MB of weights once. The weights
//! are therefore packed, at load, into panels of 16 outputs that are read strictly forward, each
//! line of a panel being one cache line:
//!
//! ```text
//! panel p = [ w[0][16p..16p+16] | w[1][16p..16p+16] | … | w[depth-1][16p..16p+16] ]
//! ```
//!
//! Up to six rows meet a panel at once, their 6 × 16 sums held in registers. While a panel is being
//! used, the next one is requested from memory, a share of it in every pass, so that computing and
//! reading overlap. Attention packs its keys and values the same way and uses the same product.
//!
//! The vector instructions come through `pulp`: AVX2 with FMA where the processor has them, NEON on
//! ARM, plain arithmetic elsewhere. AVX-512 is not used: the product waits for memory.

use pulp::{Simd, WithSimd};

use super::curves::gelu;

/// Outputs per panel.
pub(super) const WIDTH: usize = 16;
/// Rows that share one reading of a panel: 6 × 16 sums fill twelve of AVX2's sixteen registers.
const TILE: usize = 6;

/// One line of a panel: the weights from one input to 16 outputs. Exactly a cache line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub(super) struct Line(pub(super) [f32; WIDTH]);

impl Line {
    /// All zero.
    pub(super) const ZERO: Line = Line([0.0; WIDTH]);
}

/// Inputs: `count` rows, `stride` floats apart, of which the product reads the first `depth`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
    pub(super) count: usize,
}

/// Outputs: rows `stride` floats apart.
#[derive(Debug)]
pub(super) struct RowsMut<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) stride: usize,
}

/// The right-hand side: `lines.len() / depth` panels of `depth` lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panels<'a> {
    pub(super) lines: &'a [Line],
    pub(super) depth: usize,
    /// One line per panel, or none at all.
    pub(super) bias: &'a [Line],
}

/// What happens to a sum before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// Nothing.
    Keep,
    /// `gelu(sum)`, with the exact, erf-based GELU.
    Gelu,
}

/// `out = finish(rows × panels + bias)`.
pub(super) fn multiply(rows: Rows<'_>, panels: Panels<'_>, out: RowsMut<'_>, finish: Finish) {
    let product = Product {
        rows,
        panels,
        out,
        finish,
    };
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return Simd::vectorize(simd, product);
    }
    #[cfg(target_arch = "aarch64")]
    if let Some(simd) = pulp::aarch64::Neon::try_new() {
        return Simd::vectorize(simd, product);
    }
    Simd::vectorize(pulp::Scalar, product);
}

struct Product<'a> {
    rows: Rows<'a>,
    panels: Panels<'a>,
    out: RowsMut<'a>,
    finish: Finish,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Registers per line of a panel.
        match WIDTH / S::F32_LANES {
            2 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            _ => self.run::<S, WIDTH>(simd),
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn run<S: Simd, const H: usize>(self, simd: S) {
        let Product {
            rows,
            panels,
            out,
            finish,
        } = self;
        let passes = rows.count.div_ceil(TILE);
        for (number, panel) in panels.lines.chunks_exact(panels.depth).enumerate() {
            let start = panels.bias.get(number).unwrap_or(&Line::ZERO);
            let mut row = 0;
            for pass in 0..passes {
                // Even passes: 9 rows are 5 + 4, not 6 + 3.
                let height = (rows.count - row).div_ceil(passes - pass);
                let ahead = Ahead::after(panel, pass, passes);
                let x = &rows.data[row * rows.stride..];
                let to = &mut out.data[row * out.stride + number * WIDTH..];
                let tile = Tile {
                    panel,
                    start,
                    ahead,
                    x,
                    x_stride: rows.stride,
                    finish,
                };
                match height {
                    1 => tile.run::<S, H, 1>(simd, to, out.stride),
                    2 => tile.run::<S, H, 2>(simd, to, out.stride),
                    3 => tile.run::<S, H, 3>(simd, to, out.stride),
                    4 => tile.run::<S, H, 4>(simd, to, out.stride),
                    5 => tile.run::<S, H, 5>(simd, to, out.stride),
                    _ => tile.run::<S, H, TILE>(simd, to, out.stride),
                }
                row += height;
            }
        }
    }
}

/// Up to six rows against one panel.
struct Tile<'a> {
    panel: &'a [Line],
    start: &'a Line,
    ahead: Ahead,
    x: &'a [f32],
    x_stride: usize,
    finish: Finish,
}

impl Tile<'_> {
    /// `H`: registers per line. `R`: rows.
    #[inline(always)]
    fn run<S: Simd, const H: usize, const R: usize>(self, simd: S, out: &mut [f32], stride: usize) {
        let depth = self.panel.len();
        let x: [&[f32]; R] = std::array::from_fn(|r| &self.x[r * self.x_stride..][..depth]);
        let start = self.start.registers::<S, H>();
        let mut sums = [start; R];
        let mut ahead = self.ahead;
        // `take` is what tells the compiler that no index below can be out of bounds.
        for (i, line) in self.panel.iter().enumerate().take(depth) {
            ahead.step();
            let weights = line.registers::<S, H>();
            for r in 0..R {
                let input = simd.splat_f32s(x[r][i]);
                for h in 0..H {
                    sums[r][h] = simd.mul_add_e_f32s(weights[h], input, sums[r][h]);
                }
            }
        }
        // Nothing but stores here: a longer loop would not be unrolled, and sums that are indexed by
        // a variable live in memory instead of registers.
        for r in 0..R {
            S::as_mut_simd_f32s(&mut out[r * stride..][..WIDTH])
                .0
                .copy_from_slice(&sums[r]);
        }
        if self.finish == Finish::Gelu {
            for row in out.chunks_mut(stride).take(R) {
                for value in &mut row[..WIDTH] {
                    *value = gelu(*value);
                }
            }
        }
    }
}

impl Line {
    #[inline(always)]
    fn registers<S: Simd, const H: usize>(&self) -> [S::f32s; H] {
        let (registers, _) = S::as_simd_f32s(&self.0);
        std::array::from_fn(|h| registers[h])
    }
}

/// Requests a share of the next panel while this one is used.
#[derive(Clone, Copy)]
struct Ahead {
    at: *const Line,
    /// Bytes per line of the current panel; zero with so many passes that reading no longer matters.
    step: usize,
}

impl Ahead {
    #[inline(always)]
    fn after(panel: &[Line], pass: usize, passes: usize) -> Ahead {
        let share = panel.len() + pass * panel.len() / passes;
        Ahead {
            at: panel.as_ptr().wrapping_add(share),
            step: size_of::<Line>() / passes,
        }
    }

    #[inline(always)]
    fn step(&mut self) {
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the intrinsic takes a raw pointer")]
        // SAFETY: a prefetch is a hint; it reads nothing and cannot fault, whatever the address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(self.at.cast());
        }
        self.at = self.at.wrapping_byte_add(self.step);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(seed: u64, len: usize) -> Vec<f32> {
        let mut state = seed | 1;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f32::from(u16::try_from(state >> 48).unwrap()) / 32768.0 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    fn lines(values: &[f32]) -> Vec<Line> {
        values
            .as_chunks::<WIDTH>()
            .0
            .iter()
            .map(|chunk| Line(*chunk))
            .collect()
    }

    /// The definition, in f64, one product at a time.
    fn naive(rows: Rows<'_>, panels: Panels<'_>, row: usize, output: usize) -> f64 {
        let (panel, lane) = (output / WIDTH, output % WIDTH);
        let bias = panels
            .bias
            .get(panel)
            .map_or(0.0, |line| f64::from(line.0[lane]));
        (0..panels.depth).fold(bias, |sum, i| {
            let weight = panels.lines[panel * panels.depth + i].0[lane];
            sum + f64::from(rows.data[row * rows.stride + i]) * f64::from(weight)
        })
    }

    fn agrees(count: usize, depth: usize, panels: usize, seed: u64) {
        let stride = depth + 3;
        let out_stride = panels * WIDTH + 5;
        let x = noise(seed, count * stride);
        let weights = lines(&noise(seed ^ 77, panels * depth * WIDTH));
        let bias = lines(&noise(seed ^ 99, panels * WIDTH));
        let rows = Rows {
            data: &x,
            stride,
            count,
        };
        let right = Panels {
            lines: &weights,
            depth,
            bias: &bias,
        };
        let mut fast = vec![7.0; count * out_stride];
        let mut plain = fast.clone();
        multiply(
            rows,
            right,
            RowsMut {
                data: &mut fast,
                stride: out_stride,
            },
            Finish::Keep,
        );
        let out = RowsMut {
            data: &mut plain,
            stride: out_stride,
        };
        let product = Product {
            rows,
            panels: right,
            out,
            finish: Finish::Keep,
        };
        Simd::vectorize(pulp::Scalar, product);
        for row in 0..count {
            for output in 0..panels * WIDTH {
                let expected = naive(rows, right, row, output);
                for got in [
                    fast[row * out_stride + output],
                    plain[row * out_stride + output],
                ] {
                    assert!(
                        (f64::from(got) - expected).abs() < 1e-4,
                        "{got} for {expected}"
                    );
                }
            }
            for gap in panels * WIDTH..out_stride {
                assert!(
                    (fast[row * out_stride + gap] - 7.0).abs() < f32::EPSILON,
                    "wrote past its row"
                );
            }
        }
    }

    #[test]
    fn every_tile_height_agrees_with_the_definition() {
        for count in 1..=20 {
            agrees(count, 32, 3, 5);
        }
    }

    #[test]
    fn no_rows_write_nothing() {
        let out = &mut [1.0_f32; 4];
        let rows = Rows {
            data: &[],
            stride: 8,
            count: 0,
        };
        let panels = Panels {
            lines: &[Line::ZERO; 8],
            depth: 8,
            bias: &[],
        };
        multiply(
            rows,
            panels,
            RowsMut {
                data: out,
                stride: 16,
            },
            Finish::Keep,
        );
        assert_eq!(*out, [1.0; 4]);
    }

    #[test]
    fn gelu_is_applied_to_the_finished_sum() {
        let rows = Rows {
            data: &[1.0, 2.0],
            stride: 2,
            count: 1,
        };
        let weights = [Line([0.25; WIDTH]), Line([0.5; WIDTH])];
        let bias = [Line([-0.5; WIDTH])];
        let mut out = [0.0; WIDTH];
        let panels = Panels {
            lines: &weights,
            depth: 2,
            bias: &bias,
        };
        multiply(
            rows,
            panels,
            RowsMut {
                data: &mut out,
                stride: WIDTH,
            },
            Finish::Gelu,
        );
        assert!(
            out.iter().all(|sum| (sum - gelu(0.75)).abs() < 1e-6),
            "{out:?}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_shape_agrees_with_the_definition(
            count in 1_usize..40, depth in 1_usize..70, panels in 1_usize..4, seed: u64,
        ) {
            agrees(count, depth, panels, seed);
        }
    }
}
