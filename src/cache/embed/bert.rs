//! The forward pass of a BERT: token ids in, the last layer's rows out.
//!
//! ```text
//! words + positions → LayerNorm ─┐
//!   ┌────────────────────────────┘
//!   ├─ q,k,v → attention → dense ─┐         as many times as there are layers
//!   └──────── + ──────────────────┴─ LayerNorm ─┐
//!   ┌───────────────────────────────────────────┘
//!   ├─ widen → GELU → narrow ─────┐
//!   └──────── + ──────────────────┴─ LayerNorm → rows
//! ```
//!
//! The rows of several texts lie one after the other, so there is no padding and no mask, and a
//! layer's weights are read once for all of them. Within a layer the rows are worked on in blocks
//! that fit the processor's cache. Candle reads the weights; the products are our own (`kernel` on
//! floats, `bytes` on bytes), because short texts are bound by reading weights, not by arithmetic.

mod ahead;
mod attention;
mod bytes;
mod curves;
mod dense;
mod kernel;
mod load;
mod norm;
mod vectorise;
mod words;

use std::ops::Range;

use super::shape::Shape;
pub(super) use bytes::Level;
use dense::Dense;
pub(super) use dense::Precision;
use kernel::Finish;
pub use load::ModelError;
use norm::Norm;
use words::Words;

/// Rows worked on at once: their widest intermediate result (64 × 1536 floats) stays in a
/// processor's second cache. A longer text is a block of its own.
const BLOCK: usize = 64;

/// The weights, packed once at load and shared by all workers.
#[derive(Debug)]
pub(super) struct Bert {
    shape: Shape,
    words: Words,
    /// The embedding of token type 0 is added in: there is no other type here.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    /// Query, key and value side by side; the query already divided by the root of the head's width.
    qkv: Dense,
    attended: Dense,
    attended_norm: Norm,
    widen: Dense,
    narrow: Dense,
    norm: Norm,
}

/// One worker's buffers, as large as the longest text and the largest batch so far.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Of the whole batch.
    hidden: Vec<f32>,
    /// Of one block.
    block: Block,
}

#[derive(Debug, Default)]
struct Block {
    qkv: Vec<f32>,
    attention: attention::Buffers,
    context: Vec<f32>,
    wide: Vec<f32>,
    delta: Vec<f32>,
    inputs: bytes::Inputs,
}

impl Bert {
    /// What the model looks like.
    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The last layer's rows of `texts`, one after the other, a row of [`Shape::hidden`] numbers per
    /// token. `None` when a text has no tokens, more than [`Shape::longest`], or one outside the
    /// vocabulary.
    pub(super) fn forward<'a>(
        &self,
        texts: &[impl AsRef<[u32]>],
        scratch: &'a mut Scratch,
    ) -> Option<&'a [f32]> {
        let lengths: Vec<usize> = texts.iter().map(|text| text.as_ref().len()).collect();
        if lengths
            .iter()
            .any(|length| *length == 0 || *length > self.shape.longest)
        {
            return None;
        }
        let rows: usize = lengths.iter().sum();
        let width = self.shape.hidden;
        let Scratch { hidden, block } = scratch;
        let hidden = at_least(hidden, rows * width);
        let mut start = 0;
        for text in texts {
            let text = text.as_ref();
            self.embed(text, &mut hidden[start..start + text.len() * width])?;
            start += text.len() * width;
        }
        let blocks = blocks_of(&lengths);
        for layer in &self.layers {
            let mut start = 0;
            for texts in &blocks {
                let lengths = &lengths[texts.clone()];
                let end = start + lengths.iter().sum::<usize>() * width;
                self.layer(layer, &mut hidden[start..end], lengths, block);
                start = end;
            }
        }
        Some(hidden)
    }

    fn embed(&self, ids: &[u32], hidden: &mut [f32]) -> Option<()> {
        let width = self.shape.hidden;
        let positions = self.positions.chunks_exact(width);
        for ((row, id), position) in hidden.chunks_exact_mut(width).zip(ids).zip(positions) {
            self.words.read(usize::try_from(*id).ok()?, row)?;
            self.norm.add_and_normalise(row, position);
        }
        Some(())
    }

    /// One block of whole texts through one layer.
    fn layer(&self, layer: &Layer, hidden: &mut [f32], lengths: &[usize], block: &mut Block) {
        let shape = &self.shape;
        let count = hidden.len() / shape.hidden;
        let Block {
            qkv,
            attention,
            context,
            wide,
            delta,
            inputs,
        } = block;
        let qkv = at_least(qkv, count * 3 * shape.hidden);
        let context = at_least(context, hidden.len());
        let delta = at_least(delta, hidden.len());
        layer.qkv.apply(hidden, inputs, qkv, Finish::Keep);
        let mut row = 0;
        for length in lengths {
            let rows = row * 3 * shape.hidden..(row + length) * 3 * shape.hidden;
            let to = row * shape.hidden..(row + length) * shape.hidden;
            attention::attend(shape, &qkv[rows], *length, attention, &mut context[to]);
            row += length;
        }
        layer.attended.apply(context, inputs, delta, Finish::Keep);
        layer.attended_norm.add_and_normalise(hidden, delta);
        let rows = BLOCK * shape.hidden;
        for (hidden, delta) in hidden.chunks_mut(rows).zip(delta.chunks_mut(rows)) {
            let wide = at_least(wide, hidden.len() / shape.hidden * shape.wide);
            layer.widen.apply(hidden, inputs, wide, Finish::Gelu);
            layer.narrow.apply(wide, inputs, delta, Finish::Keep);
            layer.norm.add_and_normalise(hidden, delta);
        }
    }
}

/// Neighbouring texts whose rows together are at most [`BLOCK`], or one longer text.
fn blocks_of(lengths: &[usize]) -> Vec<Range<usize>> {
    let mut blocks: Vec<Range<usize>> = Vec::new();
    let mut rows = 0;
    for (number, length) in lengths.iter().enumerate() {
        rows += length;
        match blocks.last_mut() {
            Some(block) if rows <= BLOCK => block.end = number + 1,
            _ => {
                blocks.push(number..number + 1);
                rows = *length;
            }
        }
    }
    blocks
}

/// The first `length` places of a buffer, which grows when it must.
fn at_least(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}

#[cfg(test)]
impl Bert {
    /// Another model of the same shape.
    pub(super) fn swap_first_layers(&mut self) {
        self.layers.swap(0, 1);
    }
}
