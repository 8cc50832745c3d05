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
//! Several rows meet a panel (with AVX-512: two panels) at once, their sums held in registers. While
//! a panel is being used, the next one is requested from memory, a share of it in every pass, so that
//! computing and reading overlap. Attention packs its keys and values the same way and uses the same
//! product.
//!
//! The vector instructions come through `pulp`: AVX-512, or AVX2 with FMA, where the processor has
//! them, NEON on ARM, plain arithmetic elsewhere.

use pulp::{Simd, WithSimd};

use super::ahead::Ahead;
use super::curves::gelu;
use super::vectorise::vectorise;

/// Outputs per panel.
pub(super) const WIDTH: usize = 16;
/// Rows and panels whose sums fit the registers together.
#[derive(Clone, Copy)]
struct Block {
    rows: usize,
    panels: usize,
}
/// 6 × 16 sums fill twelve of AVX2's sixteen registers.
const NARROW: Block = Block { rows: 6, panels: 1 };
/// 12 × 32 sums fill 24 of AVX-512's 32 registers.
const BROAD: Block = Block {
    rows: 12,
    panels: 2,
};

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
    vectorise(product);
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
            1 => self.run::<S, 1>(simd, BROAD),
            2 => self.run::<S, 2>(simd, NARROW),
            4 => self.run::<S, 4>(simd, NARROW),
            _ => self.run::<S, WIDTH>(simd, NARROW),
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn run<S: Simd, const H: usize>(mut self, simd: S, block: Block) {
        let panels = self.panels.lines.len() / self.panels.depth.max(1);
        let mut panel = 0;
        while panel < panels {
            if H == 1 && block.panels == 2 && panel + 2 <= panels {
                self.panels::<S, H, 2>(simd, block, panel);
                panel += 2;
            } else {
                self.panels::<S, H, 1>(simd, block, panel);
                panel += 1;
            }
        }
    }

    /// All rows against `P` neighbouring panels.
    #[inline(always)]
    fn panels<S: Simd, const H: usize, const P: usize>(
        &mut self,
        simd: S,
        block: Block,
        panel: usize,
    ) {
        let count = self.rows.count;
        let passes = count.div_ceil(block.rows);
        let mut row = 0;
        for pass in 0..passes {
            // Even passes: 9 rows are 5 + 4, not 6 + 3.
            let height = (count - row).div_ceil(passes - pass);
            let at = At {
                panel,
                row,
                pass,
                passes,
            };
            match height {
                1 => self.tile::<S, H, P, 1>(simd, at),
                2 => self.tile::<S, H, P, 2>(simd, at),
                3 => self.tile::<S, H, P, 3>(simd, at),
                4 => self.tile::<S, H, P, 4>(simd, at),
                5 => self.tile::<S, H, P, 5>(simd, at),
                6 => self.tile::<S, H, P, 6>(simd, at),
                7 => self.tile::<S, H, P, 7>(simd, at),
                8 => self.tile::<S, H, P, 8>(simd, at),
                9 => self.tile::<S, H, P, 9>(simd, at),
                10 => self.tile::<S, H, P, 10>(simd, at),
                11 => self.tile::<S, H, P, 11>(simd, at),
                _ => self.tile::<S, H, P, 12>(simd, at),
            }
            row += height;
        }
    }

    /// `H`: registers per line. `P`: panels. `R`: rows.
    #[inline(always)]
    fn tile<S: Simd, const H: usize, const P: usize, const R: usize>(&mut self, simd: S, at: At) {
        if H > 1 && R > NARROW.rows {
            // Not compiled: no caller asks narrow registers for so many rows.
            return;
        }
        let depth = self.panels.depth;
        let panels: [&[Line]; P] =
            std::array::from_fn(|p| &self.panels.lines[(at.panel + p) * depth..][..depth]);
        let x: [&[f32]; R] =
            std::array::from_fn(|r| &self.rows.data[(at.row + r) * self.rows.stride..][..depth]);
        let start: [[S::f32s; H]; P] = std::array::from_fn(|p| {
            let bias = self.panels.bias.get(at.panel + p).unwrap_or(&Line::ZERO);
            bias.registers::<S, H>()
        });
        let mut sums = [start; R];
        let mut ahead = Ahead::after(panels[0], P, at.pass, at.passes);
        for i in 0..depth {
            ahead.step();
            let weights: [[S::f32s; H]; P] =
                std::array::from_fn(|p| panels[p][i].registers::<S, H>());
            for r in 0..R {
                let input = simd.splat_f32s(x[r][i]);
                for p in 0..P {
                    for h in 0..H {
                        sums[r][p][h] = simd.mul_add_e_f32s(weights[p][h], input, sums[r][p][h]);
                    }
                }
            }
        }
        let out = &mut self.out.data[at.row * self.out.stride + at.panel * WIDTH..];
        // Nothing but stores here: a longer loop would not be unrolled, and sums that are indexed by
        // a variable live in memory instead of registers.
        for r in 0..R {
            let row = &mut out[r * self.out.stride..][..P * WIDTH];
            for p in 0..P {
                S::as_mut_simd_f32s(&mut row[p * WIDTH..][..WIDTH])
                    .0
                    .copy_from_slice(&sums[r][p]);
            }
        }
        if self.finish == Finish::Gelu {
            for row in out.chunks_mut(self.out.stride).take(R) {
                for value in &mut row[..P * WIDTH] {
                    *value = gelu(*value);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct At {
    panel: usize,
    row: usize,
    pass: usize,
    passes: usize,
}

impl Line {
    #[inline(always)]
    fn registers<S: Simd, const H: usize>(&self) -> [S::f32s; H] {
        let (registers, _) = S::as_simd_f32s(&self.0);
        std::array::from_fn(|h| registers[h])
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
        assert!(
            out.iter().all(|value| (value - 1.0).abs() < f32::EPSILON),
            "{out:?}"
        );
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
