//! What comes back from a provider: one whole answer, or chunks of one.
//!
//! Inside the node every answer is OpenAI-shaped JSON, kept as the bytes the upstream sent where
//! it speaks that dialect, or the bytes of another [`Dialect`] that client and upstream share. Beside the bytes travels a [`Tap`]: the few facts the node itself needs.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::event::Dialect;
use super::usage::Usage;

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model was done.
    Stop,
    /// The token limit cut it off.
    Length,
    /// The model asks for tools.
    ToolCalls,
    /// The upstream's filter stopped it.
    ContentFilter,
    /// A reason we have no word for.
    Other,
}

impl Finish {
    /// Reads OpenAI's `finish_reason`.
    pub fn from_openai(reason: &str) -> Self {
        match reason {
            "stop" => Finish::Stop,
            "length" => Finish::Length,
            "tool_calls" | "function_call" => Finish::ToolCalls,
            "content_filter" => Finish::ContentFilter,
            _ => Finish::Other,
        }
    }

    /// Writes OpenAI's `finish_reason`.
    pub const fn as_openai(self) -> &'static str {
        match self {
            Finish::Stop | Finish::Other => "stop",
            Finish::Length => "length",
            Finish::ToolCalls => "tool_calls",
            Finish::ContentFilter => "content_filter",
        }
    }
}

/// What the node reads off an answer or a chunk as it passes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tap {
    /// Text of choice 0 in this piece.
    pub text: String,
    /// The piece carries tool calls, a refusal, audio or anything that is not plain text of choice 0.
    pub beyond_text: bool,
    /// A real delta: text or a tool call, not a role announcement or a keep-alive.
    pub real: bool,
    /// Set on the piece that ends choice 0.
    pub finish: Option<Finish>,
    /// Token counts, on the piece that carries them.
    pub usage: Option<Usage>,
}

/// One whole, non-streamed answer.
#[derive(Clone, Debug)]
pub struct Completion {
    /// The `chat.completion` object, or another dialect's whole answer.
    pub raw: Bytes,
    /// What it is written in.
    pub dialect: Dialect,
    /// What was read off it.
    pub tap: Tap,
}

/// One piece of a streamed answer.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The `chat.completion.chunk` object, or another dialect's event, without SSE framing.
    pub raw: Bytes,
    /// What it is written in.
    pub dialect: Dialect,
    /// What was read off it.
    pub tap: Tap,
    /// Nothing but token counts (`choices` is empty): dropped unless the client asked for usage.
    pub usage_only: bool,
}
