//! Inputs to bytes, and bytes times bytes.

use super::machine::{Job, Level, Machine};
use super::{FOUR, Inputs, Linear, Quads, Range};
use crate::cache::embed::bert::ahead::Ahead;
use crate::cache::embed::bert::curves::gelu;
use crate::cache::embed::bert::kernel::{Finish, Line, Rows, RowsMut, WIDTH};

/// Largest input byte.
const MOST: f32 = 255.0;
/// Adding it to a number of 0 to 255 leaves that number, rounded, in the lowest byte.
const ROUNDER: f32 = 12_582_912.0;

/// `inputs` becomes the rows as bytes, `depth` to a row.
pub(super) fn quantise(level: Level, rows: Rows<'_>, depth: usize, inputs: &mut Inputs) {
    inputs.ranges.clear();
    let bytes = rows.count * depth;
    if inputs.data.len() < bytes {
        inputs.data.resize(bytes, 0);
    }
    level.run(Quantise {
        rows,
        depth,
        inputs,
    });
}

struct Quantise<'a> {
    rows: Rows<'a>,
    depth: usize,
    inputs: &'a mut Inputs,
}

impl Job for Quantise<'_> {
    #[inline(always)]
    fn run<M: Machine>(self, _: M) {
        let Inputs { data, ranges } = self.inputs;
        let rows = self.rows.data.chunks(self.rows.stride);
        for (row, to) in rows
            .zip(data.chunks_exact_mut(self.depth))
            .take(self.rows.count)
        {
            let row = row[..self.depth].as_chunks::<WIDTH>().0;
            let range = range_of(row);
            let (by, zero) = (1.0 / range.step, zero_of(range));
            for (chunk, to) in row.iter().zip(to.as_chunks_mut::<WIDTH>().0) {
                for (value, to) in chunk.iter().zip(to) {
                    let byte = (value * by + zero).clamp(0.0, MOST);
                    *to = lowest_byte(byte + ROUNDER);
                }
            }
            ranges.push(range);
        }
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lowest byte is wanted")]
fn lowest_byte(value: f32) -> u8 {
    value.to_bits() as u8
}

/// The smallest range that holds the row and zero.
#[inline(always)]
fn range_of(row: &[[f32; WIDTH]]) -> Range {
    let (mut low, mut high) = ([0.0_f32; WIDTH], [0.0_f32; WIDTH]);
    for chunk in row {
        for ((low, high), value) in low.iter_mut().zip(&mut high).zip(chunk) {
            *low = if *value < *low { *value } else { *low };
            *high = if *value > *high { *value } else { *high };
        }
    }
    let low = low.into_iter().fold(0.0, f32::min);
    let high = high.into_iter().fold(0.0, f32::max);
    let step = ((high - low) / MOST).max(f32::MIN_POSITIVE);
    #[expect(clippy::cast_possible_truncation, reason = "0 to 255")]
    let zero = (-low / step).round().clamp(0.0, MOST) as i32;
    Range { step, zero }
}

#[expect(clippy::cast_precision_loss, reason = "0 to 255")]
fn zero_of(range: Range) -> f32 {
    range.zero as f32
}

/// `out = finish(inputs × linear + bias)`.
pub(super) fn multiply(inputs: &Inputs, linear: &Linear, out: RowsMut<'_>, finish: Finish) {
    linear.level.run(Multiply {
        inputs,
        linear,
        out,
        finish,
    });
}

struct Multiply<'a> {
    inputs: &'a Inputs,
    linear: &'a Linear,
    out: RowsMut<'a>,
    finish: Finish,
}

impl Job for Multiply<'_> {
    #[inline(always)]
    fn run<M: Machine>(mut self, machine: M) {
        let panels = self.linear.sums.len();
        let mut panel = 0;
        while panel < panels {
            let (_, together) = self.linear.place(panel);
            if M::PANELS == 2 && together == 2 {
                self.panels::<M, 2>(machine, panel);
            } else {
                self.panels::<M, 1>(machine, panel);
            }
            panel += together;
        }
    }
}

impl Multiply<'_> {
    /// All rows against `P` neighbouring panels.
    #[inline(always)]
    fn panels<M: Machine, const P: usize>(&mut self, machine: M, panel: usize) {
        let rows = self.inputs.ranges.len();
        let passes = rows.div_ceil(M::ROWS);
        let mut row = 0;
        for pass in 0..passes {
            // Even passes: 13 rows are 7 + 6, not 12 + 1.
            let height = (rows - row).div_ceil(passes - pass);
            let at = At {
                panel,
                row,
                pass,
                passes,
            };
            match height {
                1 => self.tile::<M, P, 1>(machine, at),
                2 => self.tile::<M, P, 2>(machine, at),
                3 => self.tile::<M, P, 3>(machine, at),
                4 => self.tile::<M, P, 4>(machine, at),
                5 => self.tile::<M, P, 5>(machine, at),
                6 => self.tile::<M, P, 6>(machine, at),
                7 => self.tile::<M, P, 7>(machine, at),
                8 => self.tile::<M, P, 8>(machine, at),
                9 => self.tile::<M, P, 9>(machine, at),
                10 => self.tile::<M, P, 10>(machine, at),
                11 => self.tile::<M, P, 11>(machine, at),
                _ => self.tile::<M, P, 12>(machine, at),
            }
            row += height;
        }
    }

    /// `R` rows against `P` panels, their sums in registers.
    #[inline(always)]
    fn tile<M: Machine, const P: usize, const R: usize>(&mut self, machine: M, at: At) {
        if R > M::ROWS {
            return;
        }
        let linear = self.linear;
        let lines = linear.depth / FOUR;
        let (first, _) = linear.place(at.panel);
        let weights: &[[Quads; P]] = linear.lines[first..].as_chunks::<P>().0;
        let weights = &weights[..lines];
        let x: [&[[u8; FOUR]]; R] = std::array::from_fn(|r| {
            let row = &self.inputs.data[(at.row + r) * linear.depth..][..linear.depth];
            &row.as_chunks::<FOUR>().0[..lines]
        });
        let mut ahead = Ahead::after(weights, 1, at.pass, at.passes);
        let mut sums = [[machine.none(); P]; R];
        for i in 0..lines {
            ahead.step();
            let line: [M::Weights; P] = std::array::from_fn(|p| machine.weights(&weights[i][p]));
            for r in 0..R {
                let input = machine.input(x[r][i]);
                for p in 0..P {
                    sums[r][p] = machine.add(sums[r][p], input, line[p]);
                }
            }
        }
        // Nothing but stores here, so that the loops unroll and the sums stay in registers above.
        let mut raw = [[[0_i32; WIDTH]; P]; R];
        for r in 0..R {
            for p in 0..P {
                machine.store(sums[r][p], &mut raw[r][p]);
            }
        }
        for (r, raw) in raw.iter().enumerate() {
            let range = self.inputs.ranges[at.row + r];
            let out = &mut self.out.data[(at.row + r) * self.out.stride + at.panel * WIDTH..];
            for (p, (raw, to)) in raw.iter().zip(out.as_chunks_mut::<WIDTH>().0).enumerate() {
                self.linear
                    .finish(at.panel + p, (raw, M::OFFSET), range, to);
                if self.finish == Finish::Gelu {
                    to.iter_mut().for_each(|value| *value = gelu(*value));
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

impl Linear {
    /// From sums over bytes, of which `offset` was subtracted, to outputs.
    #[inline(always)]
    fn finish(
        &self,
        panel: usize,
        (raw, offset): (&[i32; WIDTH], i32),
        range: Range,
        to: &mut [f32; WIDTH],
    ) {
        let (Line(scales), Line(bias)) = (&self.scales[panel], &self.bias[panel]);
        let sums = &self.sums[panel];
        let zero = range.zero - offset;
        for lane in 0..WIDTH {
            let exact = raw[lane].wrapping_sub(zero.wrapping_mul(sums[lane]));
            #[expect(clippy::cast_precision_loss, reason = "rounded once, as everywhere")]
            let exact = exact as f32;
            to[lane] = exact * (range.step * scales[lane]) + bias[lane];
        }
    }
}
