//! Self-attention of one text: for every head, `softmax(q · kᵀ) · v`.
//!
//! Keys and values of a head are packed like weights, so both products run through the kernel.
//! The scale `1 / √(width of a head)` is already in the query weights.

use pulp::{Simd, WithSimd};

use super::curves::exp;
use super::kernel::{Finish, Line, Panels, Rows, RowsMut, WIDTH, multiply};
use super::vectorise::vectorise;
use crate::cache::embed::shape::Shape;

/// What one head needs, reused for the next.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    keys: Vec<Line>,
    values: Vec<Line>,
    scores: Vec<f32>,
}

impl Buffers {
    fn grow(&mut self, count: usize, head: usize) {
        let keys = count.div_ceil(WIDTH) * head;
        if self.keys.len() < keys {
            self.keys.resize(keys, Line::ZERO);
            self.values.resize(keys, Line::ZERO);
        }
        let scores = count * count.next_multiple_of(WIDTH);
        if self.scores.len() < scores {
            self.scores.resize(scores, 0.0);
        }
    }
}

/// Reads `count` rows of query, key and value; writes `count` rows of context.
pub(super) fn attend(
    shape: &Shape,
    qkv: &[f32],
    count: usize,
    buffers: &mut Buffers,
    context: &mut [f32],
) {
    let (head, stride) = (shape.head(), count.next_multiple_of(WIDTH));
    buffers.grow(count, head);
    for number in 0..shape.heads {
        let at = number * head;
        let keys = &mut buffers.keys[..stride / WIDTH * head];
        let values = &mut buffers.values[..count * head / WIDTH];
        pack(shape, (qkv, count, at), keys, values);

        let queries = Rows {
            data: &qkv[at..],
            stride: 3 * shape.hidden,
            count,
        };
        let right = Panels {
            lines: keys,
            depth: head,
            bias: &[],
        };
        let scores = RowsMut {
            data: &mut buffers.scores,
            stride,
        };
        multiply(queries, right, scores, Finish::Keep);
        let rows = &mut buffers.scores[..count * stride];
        vectorise(Softmax { rows, count });

        let shares = Rows {
            data: &buffers.scores,
            stride,
            count,
        };
        let right = Panels {
            lines: values,
            depth: count,
            bias: &[],
        };
        let out = RowsMut {
            data: &mut context[at..],
            stride: shape.hidden,
        };
        multiply(shares, right, out, Finish::Keep);
    }
}

/// Keys: one panel per 16 tokens, a line per dimension. Values: one panel per 16 dimensions, a line
/// per token.
fn pack(
    shape: &Shape,
    (qkv, count, at): (&[f32], usize, usize),
    keys: &mut [Line],
    values: &mut [Line],
) {
    let (hidden, head) = (shape.hidden, shape.head());
    for (token, row) in qkv.chunks_exact(3 * hidden).take(count).enumerate() {
        let key = &row[hidden + at..][..head];
        let panel = &mut keys[token / WIDTH * head..][..head];
        for (line, value) in panel.iter_mut().zip(key) {
            line.0[token % WIDTH] = *value;
        }
        let value = &row[2 * hidden + at..][..head];
        for (half, chunk) in value.as_chunks::<WIDTH>().0.iter().enumerate() {
            values[half * count + token] = Line(*chunk);
        }
    }
}

/// Rows of scores to rows of shares; what stands behind `count` in a row is of no meaning.
struct Softmax<'a> {
    rows: &'a mut [f32],
    count: usize,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self
            .rows
            .chunks_exact_mut(self.count.next_multiple_of(WIDTH))
        {
            row[self.count..].fill(f32::NEG_INFINITY);
            let row = row.as_chunks_mut::<WIDTH>().0;
            let mut most = [f32::NEG_INFINITY; WIDTH];
            for chunk in &*row {
                for (most, score) in most.iter_mut().zip(chunk) {
                    *most = if *score > *most { *score } else { *most };
                }
            }
            let most = most.into_iter().fold(f32::NEG_INFINITY, f32::max);
            let mut sums = [0.0_f32; WIDTH];
            for chunk in &mut *row {
                for (sum, score) in sums.iter_mut().zip(chunk) {
                    *score = exp(*score - most);
                    *sum += *score;
                }
            }
            let by = 1.0 / sums.iter().sum::<f32>();
            for score in row.as_flattened_mut() {
                *score *= by;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIDDEN: usize = 64;
    const HEAD: usize = 32;
    const QKV: usize = 3 * HIDDEN;

    fn shape() -> Shape {
        Shape {
            hidden: HIDDEN,
            heads: HIDDEN / HEAD,
            ..Shape::MINI_LM
        }
    }

    /// The definition, in f64, for one output.
    fn naive(qkv: &[f32], count: usize, token: usize, dimension: usize) -> f64 {
        let at = dimension / HEAD * HEAD;
        let read = |row: usize, column: usize| f64::from(qkv[row * QKV + column]);
        let scores: Vec<f64> = (0..count)
            .map(|other| {
                (0..HEAD)
                    .map(|d| read(token, at + d) * read(other, HIDDEN + at + d))
                    .sum::<f64>()
            })
            .map(f64::exp)
            .collect();
        let total: f64 = scores.iter().sum();
        (0..count)
            .map(|other| scores[other] / total * read(other, 2 * HIDDEN + dimension))
            .sum()
    }

    #[test]
    fn every_length_agrees_with_the_definition_even_after_a_longer_one() {
        let mut buffers = Buffers::default();
        for count in [40, 1, 7, 16, 17] {
            let qkv: Vec<f32> = (0..count * QKV)
                .map(|i| f32::from(u8::try_from((i * 7919 + i / 13) % 251).unwrap()) / 251.0 - 0.5)
                .collect();
            let mut context = vec![0.0; count * HIDDEN];
            attend(&shape(), &qkv, count, &mut buffers, &mut context);
            for (index, got) in context.iter().enumerate().step_by(29) {
                let expected = naive(&qkv, count, index / HIDDEN, index % HIDDEN);
                assert!(
                    (f64::from(*got) - expected).abs() < 1e-5,
                    "{count}: {got} for {expected}"
                );
            }
        }
    }

    #[test]
    fn softmax_of_huge_scores_stays_finite() {
        let mut row = [f32::NAN; WIDTH];
        row[..3].copy_from_slice(&[1e30, -1e30, 1e30]);
        vectorise(Softmax {
            rows: &mut row,
            count: 3,
        });
        assert!((row[0] - 0.5).abs() < 1e-6 && row[1] < 1e-6, "{row:?}");
    }
}
