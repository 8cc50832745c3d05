//! Texts to be made into vectors, and the vectors.

use std::borrow::Cow;
use std::sync::Arc;

use super::clock::Moment;
use super::name::{RequestId, TenantId};
use super::priority::Priority;
use super::request::Features;
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

    /// The same in pieces of at most `most` inputs each, in order; one piece is the whole itself.
    pub fn batches(this: &Arc<Self>, most: usize) -> Vec<Arc<Inputs>> {
        let most = most.max(1);
        if this.len() <= most {
            return vec![Arc::clone(this)];
        }
        match &**this {
            Inputs::Texts(texts) => {
                let pieces = texts
                    .chunks(most)
                    .map(|piece| Inputs::Texts(piece.to_vec()));
                pieces.map(Arc::new).collect()
            }
            Inputs::Tokens(lists) => {
                let pieces = lists.chunks(most);
                let pieces = pieces.map(|piece| Inputs::Tokens(piece.to_vec()));
                pieces.map(Arc::new).collect()
            }
        }
    }

    /// Estimated tokens of each input, in order (about four bytes of text each).
    fn estimates(&self) -> Vec<u64> {
        match self {
            Inputs::Texts(texts) => {
                let each = texts
                    .iter()
                    .map(|text| (text.len() as u64).div_ceil(4).max(1));
                each.collect()
            }
            Inputs::Tokens(lists) => lists.iter().map(|list| list.len() as u64).collect(),
        }
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

/// A request for vectors as every door hands it to [`crate::inference::Engine`].
#[derive(Clone, Debug)]
pub struct EmbedRequest {
    /// `x-request-id`.
    pub id: RequestId,
    /// Who pays.
    pub tenant: TenantId,
    /// Admission level.
    pub priority: Priority,
    /// The name the client asked for; `auto` lets the routes decide.
    pub model: Arc<str>,
    /// `x-llm-router-tags`.
    pub tags: Vec<(String, String)>,
    /// When the client stops waiting.
    pub deadline: Moment,
    /// What to embed.
    pub inputs: Arc<Inputs>,
    /// How long the vectors are to be, where the client said.
    pub dimensions: Option<u32>,
    /// The end user, as the upstream is told.
    pub user: Option<Arc<str>>,
    /// Fields the client sent that no upstream is told.
    pub left_out: Vec<Cow<'static, str>>,
}

impl EmbedRequest {
    /// What routing reads. Each input is embedded on its own, so the longest one has to fit the
    /// model's context.
    pub fn features(&self) -> Features {
        let text = match &*self.inputs {
            Inputs::Texts(texts) => texts.join("\n").into(),
            Inputs::Tokens(_) => Arc::from(""),
        };
        Features {
            prompt_tokens: self.inputs.estimates().into_iter().max().unwrap_or(0),
            max_output_tokens: Some(0),
            text,
            has_tools: false,
            has_images: false,
            wants_json_schema: false,
            user: self.user.as_deref().map(str::to_owned),
        }
    }

    /// Estimated tokens of these inputs together.
    pub fn tokens(inputs: &Inputs) -> u64 {
        inputs.estimates().into_iter().fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::Inputs;

    proptest! {
        #[test]
        fn batches_hold_every_input_once_and_in_order(count in 1usize..400, most in 0usize..64) {
            let texts: Vec<String> = (0..count).map(|at| at.to_string()).collect();
            let batches = Inputs::batches(&Arc::new(Inputs::Texts(texts.clone())), most);
            prop_assert!(batches.iter().all(|batch| batch.len() <= most.max(1)));
            let back: Vec<String> = batches
                .iter()
                .flat_map(|batch| match &**batch {
                    Inputs::Texts(texts) => texts.clone(),
                    Inputs::Tokens(_) => Vec::new(),
                })
                .collect();
            prop_assert_eq!(back, texts);
        }
    }
}
