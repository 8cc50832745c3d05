//! Anthropic Messages: its requests as OpenAI-shaped ones and back, its answers as events and back.
//!
//! [`to_openai`] reads what a client of this dialect asks, [`to_native`] writes what an upstream of
//! it is asked; [`Decoder`] reads answers, [`Encoder`] and [`message`] write them. What an upstream
//! cannot be told is named by [`unsupported`]; nothing a user said in a message is dropped.
//!
//! A request of a client goes to an upstream of this dialect as it came. Its OpenAI-shaped form is
//! what the cache, the rules and every other upstream read.

pub mod decode;
pub mod encode;
mod fragment;
pub mod request;
mod unsupported;
mod version;

pub use decode::{Bad, Decoder};
pub use encode::{Encoder, PING, message};
pub use request::inbound::{Purpose, to_openai};
pub use request::outbound::{Defaults, Effort, Untranslatable, to_native};
pub use unsupported::unsupported;
pub use version::{BETA, VERSION, Version};

use crate::types::Finish;

/// A `stop_reason` in our words.
fn finish(reason: &str) -> Finish {
    match reason {
        "end_turn" | "stop_sequence" => Finish::Stop,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::ContentFilter,
        // `pause_turn` among them: the upstream asks to be asked again
        _ => Finish::Other,
    }
}

/// Our word as a `stop_reason`.
const fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Other => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter => "refusal",
    }
}

#[cfg(test)]
mod tests;
