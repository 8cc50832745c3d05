//! What of a request has no place in Gemini's body.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::dialect::carry::Uncarried;
use crate::dialect::json::Object;

/// Most parts named for one request.
const MAX_NAMED: usize = 32;
/// Longest name told.
const MAX_NAME: usize = 64;

/// Fields that are told, wholly or in what [`Lost`] was told beside them.
const CARRIED: [&str; 21] = [
    "extra_body",
    "frequency_penalty",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "top_logprobs", // means nothing without `logprobs`
];

/// Fields that change nothing in an answer.
const INERT: [&str; 7] = [
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "user",
];

/// Collects what cannot be told, each part once.
#[derive(Debug, Default)]
pub(super) struct Lost(pub(super) Vec<Uncarried>);

impl Lost {
    pub(super) fn essential(&mut self, param: impl Into<Cow<'static, str>>) {
        self.add(Uncarried::essential(param));
    }

    pub(super) fn droppable(&mut self, param: impl Into<Cow<'static, str>>) {
        self.add(Uncarried::droppable(param));
    }

    /// An essential part is never left out for want of room: it bars the model.
    fn add(&mut self, part: Uncarried) {
        let room = self.0.len() < MAX_NAMED || part.essential;
        let barred = self.0.iter().filter(|one| one.essential).count() >= MAX_NAMED;
        if room && !barred && !self.0.contains(&part) {
            self.0.push(part);
        }
    }

    /// The top-level fields.
    pub(super) fn fields(&mut self, given: &Object) {
        let beyond = given.iter().filter(|(name, value)| {
            let known = CARRIED.contains(name) || INERT.contains(name);
            !known && !harmless(name, value)
        });
        for (name, _) in beyond {
            match name {
                // without its tools the model would answer another question
                "functions" => self.essential("functions"),
                name => self.droppable(shown(name)),
            }
        }
    }
}

/// A value that says what Gemini does anyway is not a loss.
fn harmless(name: &str, value: &RawValue) -> bool {
    let value: String = value.get().split_ascii_whitespace().collect();
    match name {
        "function_call" => matches!(value.as_str(), "\"auto\"" | "\"none\"" | "null"),
        "modalities" => matches!(value.as_str(), "[\"text\"]" | "null"),
        "parallel_tool_calls" => matches!(value.as_str(), "true" | "null"),
        "verbosity" => matches!(value.as_str(), "\"medium\"" | "null"),
        _ => matches!(value.as_str(), "null" | "false" | "{}" | "[]"),
    }
}

/// A client's name for something, fit for a header.
pub(super) fn shown(name: &str) -> String {
    let fit = |c: &char| c.is_ascii_alphanumeric() || "_-.[]=".contains(*c);
    name.chars().filter(fit).take(MAX_NAME).collect()
}
