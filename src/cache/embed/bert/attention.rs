//! Self-attention of one text: for every head, `softmax(q · kᵀ) · v`.
//!
//! Keys and values of a head are packed like weights, so both products run through the kernel.
//! The scale `1 / √32` is already in the query weights.

use super::curves::exp;
use super::kernel::{Finish, Line, Panels, Rows, RowsMut, WIDTH, multiply};
use super::{HEAD, HEADS, HIDDEN, MAX_TOKENS, QKV};

/// What one head needs, reused for the next.
#[derive(Debug)]
pub(super) struct Buffers {
    keys: Vec<Line>,
    values: Vec<Line>,
    scores: Vec<f32>,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Buffers {
            keys: vec![Line::ZERO; MAX_TOKENS.div_ceil(WIDTH) * HEAD],
            values: vec![Line::ZERO; MAX_TOKENS * HEAD / WIDTH],
            scores: vec![0.0; MAX_TOKENS * MAX_TOKENS],
        }
    }
}

/// Reads `count` rows of query, key and value; writes `count` rows of context.
pub(super) fn attend(qkv: &[f32], count: usize, buffers: &mut Buffers, context: &mut [f32]) {
    let panels = count.div_ceil(WIDTH);
    let stride = panels * WIDTH;
    for head in 0..HEADS {
        let at = head * HEAD;
        let keys = &mut buffers.keys[..panels * HEAD];
        let values = &mut buffers.values[..count * HEAD / WIDTH];
        pack(qkv, count, at, (&mut *keys, &mut *values));

        let queries = Rows {
            data: &qkv[at..],
            stride: QKV,
            count,
        };
        let right = Panels {
            lines: keys,
            depth: HEAD,
            bias: &[],
        };
        let scores = RowsMut {
            data: &mut buffers.scores,
            stride,
        };
        multiply(queries, right, scores, Finish::Keep);
        for row in buffers.scores.chunks_exact_mut(stride).take(count) {
            softmax(&mut row[..count]);
        }

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
            stride: HIDDEN,
        };
        multiply(shares, right, out, Finish::Keep);
    }
}

/// Keys: one panel per 16 tokens, a line per dimension. Values: one panel per 16 dimensions, a line
/// per token.
fn pack(qkv: &[f32], count: usize, at: usize, (keys, values): (&mut [Line], &mut [Line])) {
    for (token, row) in qkv.chunks_exact(QKV).take(count).enumerate() {
        let key = &row[HIDDEN + at..][..HEAD];
        let panel = &mut keys[token / WIDTH * HEAD..][..HEAD];
        for (line, value) in panel.iter_mut().zip(key) {
            line.0[token % WIDTH] = *value;
        }
        let value = &row[2 * HIDDEN + at..][..HEAD];
        for (half, chunk) in value.as_chunks::<WIDTH>().0.iter().enumerate() {
            values[half * count + token] = Line(*chunk);
        }
    }
}

fn softmax(row: &mut [f32]) {
    let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for value in row.iter_mut() {
        *value = exp(*value - highest);
    }
    let by = 1.0 / row.iter().sum::<f32>();
    for value in row {
        *value *= by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut buffers = Buffers::new();
        for count in [40, 1, 7, 16, 17] {
            let qkv: Vec<f32> = (0..count * QKV)
                .map(|i| f32::from(u8::try_from((i * 7919 + i / 13) % 251).unwrap()) / 251.0 - 0.5)
                .collect();
            let mut context = vec![0.0; count * HIDDEN];
            attend(&qkv, count, &mut buffers, &mut context);
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
        let mut row = [1e30_f32, -1e30, 1e30];
        softmax(&mut row);
        assert!((row[0] - 0.5).abs() < 1e-6 && row[1] < 1e-6, "{row:?}");
    }
}
