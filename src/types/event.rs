//! What an answer says, piece by piece, in no dialect: what every decoder makes and every encoder
//! takes.
//!
//! ```text
//! Start (Text | Refusal | Thinking | Signature | Redacted | ToolCall Arguments*)* Finish Usage?
//! ```
//! Usage may come at any time and the last one counts. What one of several choices says beyond the
//! first has no place here: only a client of the upstream's own dialect sees it.

use serde::{Deserialize, Serialize};

use super::completion::Finish;
use super::usage::Usage;

/// One thing said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer begins.
    Start {
        /// The upstream's id for it; empty for none.
        id: String,
        /// The model as the upstream names it; empty for none.
        model: String,
    },
    /// More text.
    Text(String),
    /// More of the model's refusal, where it is not plain text.
    Refusal(String),
    /// More of the model's thinking.
    Thinking(String),
    /// The provider's seal on the thinking so far, which it wants back with it, byte for byte.
    Signature(String),
    /// Thinking that only the provider can read.
    Redacted(String),
    /// The model begins to ask for a tool.
    ToolCall {
        /// Counts the answer's calls from 0.
        index: u32,
        /// The call's id; never empty.
        id: String,
        /// The tool.
        name: String,
        /// The provider's seal on the call, which it wants back with it.
        signature: Option<String>,
    },
    /// More of a call's arguments: JSON, joined in order.
    Arguments {
        /// The call.
        index: u32,
        /// The text to append.
        json: String,
    },
    /// Token counts so far.
    Usage(Usage),
    /// The answer is complete.
    Finish(Finish),
}

/// The wire dialect that a piece of an answer, or a request, is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenAI Chat Completions; what every answer is inside the node unless client and upstream
    /// share another dialect.
    #[default]
    OpenAi,
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Responses.
    Responses,
}

impl Dialect {
    /// It is OpenAI Chat Completions.
    pub fn is_openai(&self) -> bool {
        *self == Dialect::OpenAi
    }
}
