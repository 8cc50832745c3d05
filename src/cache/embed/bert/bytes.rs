//! Weights and inputs as bytes: a quarter of the memory to read, and four products per lane.
//!
//! ```text
//! weight ≈ scale[output] · w        w in -127 … 127, fixed at load, symmetric per output
//! input  ≈ step · (x - zero)        x in 0 … 255, found anew for every row
//! output = step · scale · (Σ x·w - zero · Σ w) + bias
//! ```
//!
//! The sums are exact integers, so every processor computes the same bits (`machine`). Four inputs
//! to sixteen outputs lie together in one cache line, and a panel of sixteen outputs is read
//! strictly forward, as in the product of floats (`kernel`).

mod machine;
mod product;

use super::kernel::{Finish, Line, Rows, RowsMut, WIDTH};
pub(in crate::cache::embed) use machine::Level;

/// Inputs that share a lane.
const FOUR: usize = 4;
/// Largest weight: the range is symmetric, so -128 is not used.
const LARGEST: f32 = 127.0;

/// One line of a panel: four inputs to sixteen outputs, output by output. Exactly a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
struct Quads([i8; FOUR * WIDTH]);

/// A dense layer of bytes in the product's order.
#[derive(Debug)]
pub(super) struct Linear {
    /// `depth / 4` lines per panel.
    lines: Vec<Quads>,
    /// Of each output: what one unit of its weights is worth.
    scales: Vec<Line>,
    /// Of each output: the sum of its weights.
    sums: Vec<[i32; WIDTH]>,
    bias: Vec<Line>,
    /// The machine that it is packed for.
    level: Level,
    depth: usize,
}

/// Rows of inputs as bytes; reused.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    data: Vec<u8>,
    ranges: Vec<Range>,
}

/// What the bytes of one row mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Range {
    step: f32,
    zero: i32,
}

impl Linear {
    /// `weights` has one row of `depth` per output; both numbers are multiples of 16.
    pub(super) fn pack(level: Level, weights: &[f32], bias: &[f32], depth: usize) -> Linear {
        let panels = bias.len() / WIDTH;
        let bias = bias.as_chunks::<WIDTH>().0.iter().map(|bias| Line(*bias));
        let mut linear = Linear {
            lines: vec![Quads([0; FOUR * WIDTH]); panels * depth / FOUR],
            scales: vec![Line::ZERO; panels],
            sums: vec![[0; WIDTH]; panels],
            bias: bias.collect(),
            level,
            depth,
        };
        for (output, row) in weights.chunks_exact(depth).enumerate() {
            linear.pack_output(output, row);
        }
        linear
    }

    fn pack_output(&mut self, output: usize, row: &[f32]) {
        let (panel, lane) = (output / WIDTH, output % WIDTH);
        let largest = row.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
        let scale = if largest > 0.0 {
            largest / LARGEST
        } else {
            1.0
        };
        self.scales[panel].0[lane] = scale;
        let (first, step) = self.place(panel);
        let lines = self.lines[first..].iter_mut().step_by(step);
        for (line, four) in lines.zip(row.as_chunks::<FOUR>().0) {
            for (to, weight) in line.0[lane * FOUR..].iter_mut().zip(four) {
                *to = round_to_byte(weight / scale);
                self.sums[panel][lane] += i32::from(*to);
            }
        }
    }

    /// Where a panel's first line is, and how far it is from one of its lines to the next: the lines
    /// of panels that are used together alternate, the last panel of an odd number is alone.
    fn place(&self, panel: usize) -> (usize, usize) {
        let (lines, group) = (self.depth / FOUR, self.level.panels());
        let first = panel / group * group;
        let together = group.min(self.sums.len() - first);
        (first * lines + panel - first, together)
    }

    /// Every whole row of `x` through the layer, rows of `out` close together.
    pub(super) fn apply(&self, x: &[f32], inputs: &mut Inputs, out: &mut [f32], finish: Finish) {
        let rows = Rows {
            data: x,
            stride: self.depth,
            count: x.len() / self.depth,
        };
        product::quantise(self.level, rows, self.depth, inputs);
        let stride = self.bias.len() * WIDTH;
        product::multiply(inputs, self, RowsMut { data: out, stride }, finish);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "at most 127 by the choice of the scale"
)]
fn round_to_byte(weight: f32) -> i8 {
    weight.round().clamp(-LARGEST, LARGEST) as i8
}

#[cfg(test)]
mod tests;
