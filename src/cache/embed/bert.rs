//! The forward pass of all-MiniLM-L6-v2: token ids in, one unit vector out.
//!
//! ```text
//! words + positions → LayerNorm ─┐
//!   ┌────────────────────────────┘
//!   ├─ q,k,v → attention → dense ─┐         six times
//!   └──────── + ──────────────────┴─ LayerNorm ─┐
//!   ┌───────────────────────────────────────────┘
//!   ├─ 384 → 1536 → GELU → 384 ───┐
//!   └──────── + ──────────────────┴─ LayerNorm → mean over the tokens → length 1
//! ```
//!
//! One text at a time, so there is no padding and no mask. Candle reads the weights; the products
//! are our own (`kernel`), because a single short text is bound by reading weights, not by arithmetic.

mod attention;
mod curves;
mod kernel;
mod load;
mod norm;

use super::vector::{DIMENSIONS, Vector};
use kernel::{Finish, Line, Panels, Rows, RowsMut, WIDTH};
pub use load::ModelError;
use norm::Norm;

/// Most word pieces of one text, `[CLS]` and `[SEP]` included: what the model was trained for.
pub(super) const MAX_TOKENS: usize = 256;
/// Words in the vocabulary.
pub(super) const VOCABULARY: usize = 30_522;
const HIDDEN: usize = DIMENSIONS;
const HEADS: usize = 12;
const HEAD: usize = HIDDEN / HEADS;
const QKV: usize = 3 * HIDDEN;
const WIDE: usize = 1536;
const LAYERS: usize = 6;

/// The weights, packed once at load and shared by all workers.
#[derive(Debug)]
pub(super) struct Bert {
    words: Vec<f32>,
    /// The embedding of token type 0 is added in: there is no other type here.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    /// Query, key and value side by side; the query already divided by the root of the head's width.
    qkv: Linear,
    attended: Linear,
    attended_norm: Norm,
    widen: Linear,
    narrow: Linear,
    norm: Norm,
}

/// A dense layer in the kernel's own order.
#[derive(Debug)]
struct Linear {
    lines: Vec<Line>,
    bias: Vec<Line>,
    depth: usize,
}

/// One worker's buffers, sized for the longest text and reused for every one.
#[derive(Debug)]
pub(super) struct Scratch {
    hidden: Vec<f32>,
    qkv: Vec<f32>,
    attention: attention::Buffers,
    context: Vec<f32>,
    wide: Vec<f32>,
    delta: Vec<f32>,
}

impl Scratch {
    /// About 5 MB, of which a short text touches a few pages.
    pub(super) fn new() -> Self {
        Scratch {
            hidden: vec![0.0; MAX_TOKENS * HIDDEN],
            qkv: vec![0.0; MAX_TOKENS * QKV],
            attention: attention::Buffers::new(),
            context: vec![0.0; MAX_TOKENS * HIDDEN],
            wide: vec![0.0; MAX_TOKENS * WIDE],
            delta: vec![0.0; MAX_TOKENS * HIDDEN],
        }
    }
}

impl Bert {
    /// The last layer's rows of one text, one per token. `None` for no tokens, more than
    /// [`MAX_TOKENS`], or an id outside the vocabulary.
    pub(super) fn forward<'a>(&self, ids: &[u32], scratch: &'a mut Scratch) -> Option<&'a [f32]> {
        if ids.is_empty() || ids.len() > MAX_TOKENS {
            return None;
        }
        let count = ids.len();
        let hidden = &mut scratch.hidden[..count * HIDDEN];
        self.embed(ids, hidden)?;
        for layer in &self.layers {
            layer.qkv.apply(hidden, &mut scratch.qkv, Finish::Keep);
            attention::attend(
                &scratch.qkv,
                count,
                &mut scratch.attention,
                &mut scratch.context,
            );
            let context = &scratch.context[..count * HIDDEN];
            layer
                .attended
                .apply(context, &mut scratch.delta, Finish::Keep);
            layer
                .attended_norm
                .add_and_normalise(hidden, &scratch.delta);
            layer.widen.apply(hidden, &mut scratch.wide, Finish::Gelu);
            layer.narrow.apply(
                &scratch.wide[..count * WIDE],
                &mut scratch.delta,
                Finish::Keep,
            );
            layer.norm.add_and_normalise(hidden, &scratch.delta);
        }
        Some(hidden)
    }

    fn embed(&self, ids: &[u32], hidden: &mut [f32]) -> Option<()> {
        let positions = self.positions.chunks_exact(HIDDEN);
        for ((row, id), position) in hidden.chunks_exact_mut(HIDDEN).zip(ids).zip(positions) {
            let start = usize::try_from(*id).ok()?.checked_mul(HIDDEN)?;
            row.copy_from_slice(self.words.get(start..start + HIDDEN)?);
            self.norm.add_and_normalise(row, position);
        }
        Some(())
    }
}

impl Linear {
    /// Every whole row of `x` through the layer, rows of `out` close together.
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

/// The vector of a text: its rows together.
pub(super) fn mean(hidden: &[f32]) -> Option<Vector> {
    let mut sums = vec![0.0_f32; HIDDEN];
    for row in hidden.chunks_exact(HIDDEN) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
    // Dividing by the number of tokens would not change the direction.
    Vector::new(sums)
}

#[cfg(test)]
impl Bert {
    /// Another model of the same shape.
    pub(super) fn swap_first_layers(&mut self) {
        self.layers.swap(0, 1);
    }
}
