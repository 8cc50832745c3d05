//! What a model looks like, as its `config.json` says.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::bert::ModelError;

/// Longest text of any model, in tokens: attention's cost and memory grow with its square.
const LONGEST: usize = 512;
/// Numbers that the products take together: sizes must be multiples of it.
const LANES: usize = 16;
/// Largest of any size in a `config.json`; above all encoders in use, and no overflow in a product.
const LARGEST: usize = 1 << 20;

/// The sizes of a BERT.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    /// Numbers per token.
    pub(super) hidden: usize,
    pub(super) layers: usize,
    /// Parts that attention is split into.
    pub(super) heads: usize,
    /// Numbers per token between a layer's two products.
    pub(super) wide: usize,
    /// Words in the vocabulary.
    pub(super) words: usize,
    /// Rows of the table of positions.
    pub(super) positions: usize,
    /// The row of the first token: XLM-R counts from the padding's id on.
    pub(super) first_position: usize,
    /// Rows of the table of token types; 0 when there is none.
    pub(super) kinds: usize,
    /// Added to the variance in LayerNorm.
    pub(super) epsilon: f32,
    /// Most tokens of one text, the marks at both ends included.
    pub(super) longest: usize,
}

/// `config.json`, as far as it matters.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default)]
    type_vocab_size: usize,
    hidden_act: String,
    #[serde(default = "epsilon")]
    layer_norm_eps: f32,
    #[serde(default)]
    pad_token_id: Option<usize>,
    #[serde(default)]
    position_embedding_type: Option<String>,
}

/// `sentence_bert_config.json`, which says how long texts were in training.
#[derive(Deserialize)]
struct Sentences {
    max_seq_length: Option<usize>,
}

fn epsilon() -> f32 {
    1e-12
}

impl Shape {
    /// all-MiniLM-L6-v2, whose files are known by their digests: 256 tokens is what it was trained
    /// for.
    pub(super) const MINI_LM: Shape = Shape {
        hidden: 384,
        layers: 6,
        heads: 12,
        wide: 1536,
        words: 30_522,
        positions: 512,
        first_position: 0,
        kinds: 2,
        epsilon: 1e-12,
        longest: 256,
    };

    /// Reads `config.json`, and `sentence_bert_config.json` where there is one.
    pub(super) fn read(dir: &Path) -> Result<Shape, ModelError> {
        let file = dir.join("config.json");
        let text = fs::read(&file).map_err(|error| ModelError::config(&file, error))?;
        let config: Config =
            serde_json::from_slice(&text).map_err(|error| ModelError::config(&file, error))?;
        let file = dir.join("sentence_bert_config.json");
        let trained = match fs::read(&file) {
            Ok(text) => {
                let sentences: Sentences = serde_json::from_slice(&text)
                    .map_err(|error| ModelError::config(&file, error))?;
                sentences.max_seq_length
            }
            Err(_) => None,
        };
        config.shape(trained)
    }

    /// Numbers per head.
    pub(super) fn head(&self) -> usize {
        self.hidden / self.heads
    }
}

impl Config {
    fn shape(self, trained: Option<usize>) -> Result<Shape, ModelError> {
        let first_position = match self.model_type.as_str() {
            "bert" => 0,
            "roberta" | "xlm-roberta" => self.pad_token_id.unwrap_or(1) + 1,
            other => {
                return unsupported(format!("model_type {other} (bert, roberta, xlm-roberta)"));
            }
        };
        if self.hidden_act != "gelu" {
            return unsupported(format!("hidden_act {} (gelu)", self.hidden_act));
        }
        if let Some(kind) = self.position_embedding_type
            && kind != "absolute"
        {
            return unsupported(format!("position_embedding_type {kind} (absolute)"));
        }
        let sizes = [
            self.hidden_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.intermediate_size,
            self.vocab_size,
            self.max_position_embeddings,
        ];
        if sizes.iter().any(|size| *size == 0 || *size > LARGEST) {
            return unsupported(format!("a size that is zero or over {LARGEST}"));
        }
        let head = self.hidden_size / self.num_attention_heads;
        if head * self.num_attention_heads != self.hidden_size
            || !head.is_multiple_of(LANES)
            || !self.intermediate_size.is_multiple_of(LANES)
        {
            return unsupported(format!("heads or layers not in multiples of {LANES}"));
        }
        let room = self.max_position_embeddings.saturating_sub(first_position);
        let longest = room.min(LONGEST).min(trained.unwrap_or(LONGEST));
        if longest < 3 {
            return unsupported("fewer than three positions".to_owned());
        }
        Ok(Shape {
            hidden: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            wide: self.intermediate_size,
            words: self.vocab_size,
            positions: self.max_position_embeddings,
            first_position,
            kinds: self.type_vocab_size,
            epsilon: self.layer_norm_eps,
            longest,
        })
    }
}

fn unsupported<T>(what: String) -> Result<T, ModelError> {
    Err(ModelError::Unsupported(what))
}
