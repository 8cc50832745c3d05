//! Texts to be made into vectors, and the vectors.

use super::usage::Usage;

/// What is to be embedded; one vector for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// Texts.
    Texts(Vec<String>),
    /// Token ids of the model's own tokenizer.
    Tokens(Vec<Vec<u32>>),
}

impl Inputs {
    /// How many vectors are asked for.
    pub fn len(&self) -> usize {
        match self {
            Inputs::Texts(texts) => texts.len(),
            Inputs::Tokens(lists) => lists.len(),
        }
    }

    /// Nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Vectors in the order of their inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// The model as the upstream names it; empty for none.
    pub model: String,
    /// One for each input.
    pub vectors: Vec<Vec<f32>>,
    /// Token counts, where the upstream gave any.
    pub usage: Option<Usage>,
}
