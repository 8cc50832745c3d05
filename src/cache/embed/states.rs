//! What the model knows of a text before it is drawn together into one vector.

use std::sync::Arc;

use super::vector::Vector;

/// The last layer's output for one text, for judging pairs of texts word by word.
#[derive(Clone, Debug, PartialEq)]
pub struct States {
    /// The text's vector, the same that [`Embedder::embed`](super::Embedder::embed) gives.
    pub vector: Arc<Vector>,
    /// The text's word pieces as ids, the first and the last being the model's own marks.
    pub tokens: Vec<u32>,
    /// One row of [`States::width`] numbers per word piece, rows one after the other.
    pub hidden: Box<[f32]>,
}

impl States {
    /// Numbers per word piece.
    pub fn width(&self) -> usize {
        self.hidden
            .len()
            .checked_div(self.tokens.len())
            .unwrap_or(0)
    }

    /// The rows, one per word piece.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.hidden.chunks_exact(self.width().max(1))
    }
}
