//! What of an OpenAI-shaped request an upstream of this dialect cannot be told.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Defaults;
use super::request::outbound::{Effort, stated};
use crate::dialect::carry::Uncarried;
use crate::dialect::openai::ChatBody;

/// Parameters whose absence changes the answer a little.
const DROPPABLE: [&str; 14] = [
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "min_p",
    "moderation",
    "prediction",
    "presence_penalty",
    "seed",
    "store",
    "top_logprobs",
    "verbosity",
    "web_search_options",
    "function_call",
    "service_tier",
];

/// What [`super::to_native`] leaves out of this request, or refuses. A value that says what the
/// upstream does anyway is no loss. Nothing of a request that came in this dialect.
pub fn unsupported(body: &ChatBody, defaults: &Defaults) -> Vec<Uncarried> {
    if body.native_in(crate::types::Dialect::Anthropic).is_some() {
        return Vec::new();
    }
    let object = body.object();
    let given = |name: &str| stated(object, name).map(RawValue::get);
    let mut uncarried = Vec::new();
    for name in DROPPABLE {
        if given(name).is_some_and(|value| !harmless(name, value)) {
            uncarried.push(Uncarried::droppable(name));
        }
    }
    let (thinks, samples) = (asks_to_think(body, defaults), defaults.version.samples());
    for name in ["temperature", "top_p", "top_k"] {
        let by_default =
            name != "top_k" && given(name).and_then(|value| value.parse::<f64>().ok()) == Some(1.0);
        if given(name).is_some() && (thinks || !samples) && !by_default {
            uncarried.push(Uncarried::droppable(name));
        }
    }
    if given("reasoning_effort").is_some() && defaults.effort == Effort::Off {
        uncarried.push(Uncarried::droppable("reasoning_effort"));
    }
    if body.choices() > 1 {
        uncarried.push(Uncarried::essential("n"));
    }
    if given("audio").is_some() || given("modalities").is_some_and(speaks) {
        uncarried.push(Uncarried::essential("modalities"));
    }
    if given("functions").is_some_and(|functions| functions != "[]") {
        uncarried.push(Uncarried::essential("functions"));
    }
    if given("response_format").is_some_and(|format| !is_schema(format)) {
        uncarried.push(Uncarried::essential("response_format"));
    }
    uncarried.extend(of_tools(object.get("tools")));
    of_messages(body, &mut uncarried);
    uncarried
}

fn harmless(name: &str, value: &str) -> bool {
    match name {
        "frequency_penalty" | "presence_penalty" | "min_p" | "top_logprobs" => {
            value.parse::<f64>() == Ok(0.0)
        }
        "function_call" => value == "\"none\"",
        "service_tier" => matches!(value, "\"auto\"" | "\"default\""),
        "verbosity" => value == "\"medium\"",
        _ => matches!(value, "false" | "{}" | "[]"),
    }
}

/// Thinking and sampling parameters do not go together.
fn asks_to_think(body: &ChatBody, defaults: &Defaults) -> bool {
    let effort: Option<String> = body.object().read("reasoning_effort");
    let own = stated(body.object(), "thinking").map(RawValue::get);
    own.is_some_and(|own| !own.contains("disabled"))
        || (effort.is_some_and(|effort| effort != "none") && defaults.effort != Effort::Off)
}

fn speaks(modalities: &str) -> bool {
    let read: Vec<String> = serde_json::from_str(modalities).unwrap_or_default();
    read.iter().any(|modality| modality != "text")
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default, rename = "type")]
    kind: String,
}

fn is_schema(format: &str) -> bool {
    serde_json::from_str::<Kind>(format)
        .is_ok_and(|format| matches!(format.kind.as_str(), "text" | "json_schema"))
}

fn of_tools(tools: Option<&RawValue>) -> Option<Uncarried> {
    let tools: Vec<Kind> = serde_json::from_str(tools?.get()).ok()?;
    let other = tools
        .iter()
        .any(|tool| !matches!(tool.kind.as_str(), "function" | ""));
    other.then(|| Uncarried::essential("tools[]"))
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default, borrow)]
    thinking_blocks: Option<&'a RawValue>,
}

/// Parts of messages this dialect has no place for, and thinking that it would not believe.
fn of_messages(body: &ChatBody, uncarried: &mut Vec<Uncarried>) {
    let text = body.object().get("messages").map_or("[]", RawValue::get);
    let messages: Vec<Message<'_>> = serde_json::from_str(text).unwrap_or_default();
    let mut note = |part: Uncarried| {
        if !uncarried.contains(&part) {
            uncarried.push(part);
        }
    };
    for message in messages {
        let unsealed = message.thinking_blocks.is_none()
            && message
                .reasoning_content
                .is_some_and(|said| !said.is_empty());
        if unsealed {
            note(Uncarried::droppable("messages[].reasoning_content"));
        }
        let content = message.content.map(RawValue::get).unwrap_or_default();
        // most contents are one string
        if !content.starts_with('[') {
            continue;
        }
        let kinds: Vec<Kind> = serde_json::from_str(content).unwrap_or_default();
        for Kind { kind } in kinds {
            if !matches!(kind.as_str(), "text" | "refusal" | "image_url" | "file") {
                let kind: String = kind.chars().take(64).collect();
                note(Uncarried::essential(format!(
                    "messages[].content[type={kind}]"
                )));
            }
        }
    }
}
