//! A dense layer, on floats or on bytes.

use super::bytes::{self, Inputs, Level};
use super::kernel::{self, Finish, Line, Panels, Rows, RowsMut, WIDTH};

/// How the weights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache::embed) enum Precision {
    /// As they are in the file.
    F32,
    /// As bytes, multiplied by this machine.
    Int8(Level),
}

/// See the module.
#[derive(Debug)]
pub(super) enum Dense {
    Floats(Linear),
    Bytes(bytes::Linear),
}

/// A dense layer of floats in the kernel's own order.
#[derive(Debug)]
pub(super) struct Linear {
    lines: Vec<Line>,
    bias: Vec<Line>,
    depth: usize,
}

impl Dense {
    /// `weights` has one row of `depth` per output; both numbers are multiples of 16.
    pub(super) fn pack(precision: Precision, weights: &[f32], bias: &[f32], depth: usize) -> Dense {
        match precision {
            Precision::F32 => Dense::Floats(Linear::pack(weights, bias, depth)),
            Precision::Int8(level) => {
                Dense::Bytes(bytes::Linear::pack(level, weights, bias, depth))
            }
        }
    }

    /// Every whole row of `x` through the layer, rows of `out` close together. `inputs` is room to
    /// work in.
    pub(super) fn apply(&self, x: &[f32], inputs: &mut Inputs, out: &mut [f32], finish: Finish) {
        match self {
            Dense::Floats(linear) => linear.apply(x, out, finish),
            Dense::Bytes(linear) => linear.apply(x, inputs, out, finish),
        }
    }
}

impl Linear {
    fn pack(weights: &[f32], bias: &[f32], depth: usize) -> Linear {
        let mut lines = Vec::with_capacity(weights.len() / WIDTH);
        for panel in weights.chunks_exact(depth * WIDTH) {
            lines
                .extend((0..depth).map(|input| {
                    Line(std::array::from_fn(|output| panel[output * depth + input]))
                }));
        }
        let bias = bias.as_chunks::<WIDTH>().0.iter().map(|bias| Line(*bias));
        Linear {
            lines,
            bias: bias.collect(),
            depth,
        }
    }

    fn apply(&self, x: &[f32], out: &mut [f32], finish: Finish) {
        let rows = Rows {
            data: x,
            stride: self.depth,
            count: x.len() / self.depth,
        };
        let panels = Panels {
            lines: &self.lines,
            depth: self.depth,
            bias: &self.bias,
        };
        let stride = self.bias.len() * WIDTH;
        kernel::multiply(rows, panels, RowsMut { data: out, stride }, finish);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_puts_one_input_of_sixteen_outputs_on_a_line() {
        let weights: Vec<f32> = (0..32 * 3)
            .map(|i| f32::from(u8::try_from(i).unwrap()))
            .collect();
        let linear = Linear::pack(&weights, &[0.5; 32], 3);
        assert_eq!(linear.lines.len(), 6);
        assert_eq!(linear.bias.len(), 2);
        // Panel 1 holds outputs 16 to 31; its line 2 holds input 2 of each.
        let expected: Vec<f32> = (16..32_u8)
            .map(|output| f32::from(output * 3 + 2))
            .collect();
        assert_eq!(linear.lines[5].0.to_vec(), expected);
    }
}
