//! What Ollama cannot be told of a request and what must not be left out, found without
//! translating it: this is asked while planning, for every model that might be asked.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::request::{arguments, format, image};
use crate::dialect::carry::Uncarried;
use crate::dialect::json::Object;
use crate::dialect::lost::{Lost, shown};
use crate::dialect::openai::{ChatBody, Message};

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    image_url: Option<&'a RawValue>,
}

/// Fields that are told, wholly or in what is named beside them. `user` and the like say nothing to
/// a server that knows no accounts, and neither does `service_tier`.
const TOLD: [&str; 20] = [
    "format",
    "frequency_penalty",
    "keep_alive",
    "max_completion_tokens",
    "max_tokens",
    "min_p",
    "n",
    "options",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "service_tier",
    "stop",
    "temperature",
    "think",
    "tools",
    "top_k",
    "top_p",
    "truncate",
];

/// What of a request Ollama cannot be told.
pub fn uncarried(body: &ChatBody) -> Vec<Uncarried> {
    let mut lost = body.lost();
    let given = body.object();
    if body.choices() > 1 {
        lost.essential("n");
    }
    for message in body.messages() {
        for param in of_content(message).into_iter().chain(of_calls(message)) {
            lost.essential(param);
        }
    }
    lost.messages(given);
    of_tools(given, &mut lost);
    if is_stated(given, "response_format") && !is_told(given) {
        lost.droppable("response_format");
    }
    lost.fields(body, &TOLD, |name, value| match name {
        "tool_choice" => Some(matches!(value, "\"auto\"" | "\"none\"" | "null")),
        _ => None,
    });
    lost.told()
}

fn is_stated(given: &Object, name: &str) -> bool {
    given.get(name).is_some_and(|value| value.get() != "null")
}

/// The form that is asked for is one that Ollama knows.
fn is_told(given: &Object) -> bool {
    let kind = given
        .read::<Object>("response_format")
        .and_then(|format| format.read::<String>("type"));
    kind.as_deref() == Some("text") || format(given).is_some()
}

fn of_tools(given: &Object, lost: &mut Lost) {
    #[derive(Deserialize)]
    struct Tool<'a> {
        #[serde(default, rename = "type", borrow)]
        kind: Cow<'a, str>,
        #[serde(default)]
        function: Function,
    }
    #[derive(Default, Deserialize)]
    struct Function {
        #[serde(default)]
        strict: Option<bool>,
    }
    let tools: Vec<Tool<'_>> = given.read("tools").unwrap_or_default();
    for tool in tools {
        if !matches!(&*tool.kind, "function" | "") {
            lost.essential(format!("tools[type={}]", shown(&tool.kind)));
        }
        if tool.function.strict == Some(true) {
            lost.droppable("tools[].function.strict");
        }
    }
}

fn of_content(message: &Message) -> Vec<Cow<'static, str>> {
    let content = message.content.as_deref().map_or("null", RawValue::get);
    if matches!(content.as_bytes().first(), Some(b'"' | b'n')) {
        return Vec::new();
    }
    let Ok(parts) = serde_json::from_str::<Vec<Part<'_>>>(content) else {
        return vec!["messages[].content".into()];
    };
    let untold = parts
        .into_iter()
        .filter_map(|part| match part.kind.as_ref() {
            "text" | "refusal" => None,
            "image_url" if image(part.image_url).is_ok() => None,
            "image_url" => Some("messages[].content[].image_url.url".into()),
            "input_audio" | "file" | "video_url" => {
                Some(format!("messages[].content[type={}]", part.kind).into())
            }
            _ => Some("messages[].content[].type".into()),
        });
    untold.collect()
}

fn of_calls(message: &Message) -> Option<Cow<'static, str>> {
    #[derive(Deserialize)]
    struct Call<'a> {
        #[serde(borrow)]
        function: Function<'a>,
    }
    #[derive(Deserialize)]
    struct Function<'a> {
        #[serde(default, borrow)]
        arguments: Cow<'a, str>,
    }
    let given = message.tool_calls.as_deref()?;
    let Ok(calls) = serde_json::from_str::<Option<Vec<Call<'_>>>>(given.get()) else {
        return Some("messages[].tool_calls".into());
    };
    let unfit = |call: &Call<'_>| arguments(&call.function.arguments).is_none();
    let any = calls.iter().flatten().any(unfit);
    any.then(|| "messages[].tool_calls[].function.arguments".into())
}
