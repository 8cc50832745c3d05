//! What of an OpenAI-shaped request an upstream of this dialect cannot be told.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Defaults;
use super::request::outbound::{Effort, stated, thinks};
use crate::dialect::carry::Uncarried;
use crate::dialect::lost::{Lost, shown};
use crate::dialect::openai::ChatBody;

/// Fields that are told, wholly or in what is named beside them.
const TOLD: [&str; 16] = [
    "audio",
    "functions",
    "max_completion_tokens",
    "max_tokens",
    "modalities",
    "n",
    "parallel_tool_calls",
    "reasoning_effort",
    "response_format",
    "stop",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

/// What [`super::to_native`] leaves out of this request, or refuses. A value that says what the
/// upstream does anyway is no loss. Nothing of a request that came in this dialect.
pub fn unsupported(body: &ChatBody, defaults: &Defaults) -> Vec<Uncarried> {
    if body.native_in(crate::types::Dialect::Anthropic).is_some() {
        return Vec::new();
    }
    let mut lost = body.lost();
    let thinks = thinks(body, defaults);
    of_sampling(body, thinks || !defaults.version.samples(), &mut lost);
    of_effort(body, (defaults, thinks), &mut lost);
    essential(body, &mut lost);
    of_messages(body, &mut lost);
    lost.messages(body.object());
    lost.fields(body, &TOLD, |name, value| match name {
        "frequency_penalty" | "presence_penalty" | "min_p" => Some(value.parse() == Ok(0.0)),
        "service_tier" => Some(matches!(value, "\"auto\"" | "\"default\"" | "null")),
        _ => None,
    });
    lost.told()
}

/// Sampling and thinking do not go together, and no temperature is above 1.
fn of_sampling(body: &ChatBody, refused: bool, lost: &mut Lost) {
    let number = |name: &str| stated(body.object(), name)?.get().parse::<f64>().ok();
    for name in ["temperature", "top_p", "top_k"] {
        let by_default = name != "top_k" && number(name) == Some(1.0);
        let cut = name == "temperature" && number(name).is_some_and(|given| given > 1.0);
        let given = stated(body.object(), name).is_some();
        if given && (refused || cut) && !by_default {
            lost.droppable(name);
        }
    }
}

/// An effort that cannot be told: models differ in what they take, `thinking` says it all, and a
/// number of tokens says nothing where the model may not think.
fn of_effort(body: &ChatBody, (defaults, thinks): (&Defaults, bool), lost: &mut Lost) {
    let given = body.object();
    if stated(given, "reasoning_effort").is_none() {
        return;
    }
    let told = match (given.read::<String>("reasoning_effort"), defaults.effort) {
        (None, _) | (_, Effort::Off) => false,
        (Some(effort), Effort::Budget) => thinks || effort == "none",
        (Some(_), Effort::Adaptive) => true,
    };
    if !told || stated(given, "thinking").is_some() {
        lost.droppable("reasoning_effort");
    }
}

/// What the answer would be wrong without.
fn essential(body: &ChatBody, lost: &mut Lost) {
    let given = |name: &str| stated(body.object(), name).map(RawValue::get);
    if body.choices() > 1 {
        lost.essential("n");
    }
    if given("audio").is_some() || given("modalities").is_some_and(speaks) {
        lost.essential("modalities");
    }
    if given("functions").is_some_and(|functions| functions != "[]") {
        lost.essential("functions");
    }
    if given("response_format").is_some_and(|format| !is_schema(format)) {
        lost.essential("response_format");
    }
    if has_other_tools(body) {
        lost.essential("tools[]");
    }
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

fn has_other_tools(body: &ChatBody) -> bool {
    let tools: Vec<Kind> = body.object().read("tools").unwrap_or_default();
    let mut kinds = tools.iter().map(|tool| tool.kind.as_str());
    kinds.any(|kind| !matches!(kind, "function" | ""))
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
fn of_messages(body: &ChatBody, lost: &mut Lost) {
    let text = body.object().get("messages").map_or("[]", RawValue::get);
    let messages: Vec<Message<'_>> = serde_json::from_str(text).unwrap_or_default();
    for message in messages {
        let unsealed = message.thinking_blocks.is_none()
            && message
                .reasoning_content
                .is_some_and(|said| !said.is_empty());
        if unsealed {
            lost.droppable("messages[].reasoning_content");
        }
        let content = message.content.map(RawValue::get).unwrap_or_default();
        // most contents are one string
        if !content.starts_with('[') {
            continue;
        }
        let kinds: Vec<Kind> = serde_json::from_str(content).unwrap_or_default();
        for Kind { kind } in kinds {
            if !matches!(kind.as_str(), "text" | "refusal" | "image_url" | "file") {
                lost.essential(format!("messages[].content[type={}]", shown(&kind)));
            }
        }
    }
}
