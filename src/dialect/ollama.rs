//! Ollama's native `/api/chat`: OpenAI-shaped requests out, its answers back as events.
//!
//! The native API rather than Ollama's own OpenAI endpoint, because only it takes `num_ctx` and
//! `keep_alive`. What it cannot carry is named by [`unsupported`] where it may be left out and by
//! [`untold`] where it may not, and then refused ([`Untranslatable`]) should anyone ask all the
//! same; nothing a user said in a message is dropped.

pub mod answer;
pub mod request;
mod untold;

pub use answer::{Bad, Decoder};
pub use request::{Untranslatable, to_native};
pub use untold::untold;

use super::openai::ChatBody;

/// Parameters of this request that the native API has no place for and that would have changed
/// the answer. They are left out; what would make the answer wrong is refused instead.
pub fn unsupported(body: &ChatBody) -> Vec<&'static str> {
    let object = body.object();
    // a value that says what Ollama does anyway is not a loss
    let harmless = |name: &str, value: &str| match name {
        "tool_choice" => matches!(value, "\"auto\"" | "\"none\""),
        "modalities" => value
            .chars()
            .filter(|c| !c.is_whitespace())
            .eq("[\"text\"]".chars()),
        "parallel_tool_calls" => value == "true",
        "top_logprobs" => value == "0",
        _ => matches!(value, "false" | "{}" | "[]"),
    };
    [
        "audio",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "modalities",
        "moderation",
        "parallel_tool_calls",
        "prediction",
        "store",
        "tool_choice",
        "top_logprobs",
        "verbosity",
        "web_search_options",
    ]
    .into_iter()
    .filter(|name| {
        object
            .get(name)
            .is_some_and(|value| value.get() != "null" && !harmless(name, value.get()))
    })
    .collect()
}

#[cfg(test)]
mod tests;
