//! Which fields of a request have a place in Gemini's body.

use crate::dialect::lost::Lost;
use crate::dialect::openai::ChatBody;

/// Fields that are told, wholly or in what is named beside them; `service_tier` is for another
/// provider's account.
const TOLD: [&str; 18] = [
    "extra_body",
    "frequency_penalty",
    "max_completion_tokens",
    "max_tokens",
    "n",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "service_tier",
    "stop",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs", // means nothing without `logprobs`
    "top_p",
];

/// The top-level fields.
pub(super) fn read(body: &ChatBody, lost: &mut Lost) {
    let functions = body.object().get("functions").map(|value| value.get());
    // without its tools the model would answer another question
    if functions.is_some_and(|given| !matches!(given, "null" | "[]")) {
        lost.essential("functions");
    }
    let told: Vec<&str> = TOLD.into_iter().chain(["functions"]).collect();
    lost.fields(body, &told, |_, _| None);
}
