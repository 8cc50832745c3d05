//! What Ollama cannot be told of a request and what must not be left out, found without
//! translating it: this is asked while planning, for every model that might be asked.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::request::{arguments, image};
use crate::dialect::carry::Uncarried;
use crate::dialect::openai::{ChatBody, Message};

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    image_url: Option<&'a RawValue>,
}

/// Parts without which the question would be another one.
pub fn untold(body: &ChatBody) -> Vec<Uncarried> {
    let mut params: Vec<Cow<'static, str>> = Vec::new();
    if body.choices() > 1 {
        params.push("n".into());
    }
    for message in body.messages() {
        for param in of_content(message).into_iter().chain(of_calls(message)) {
            if !params.contains(&param) {
                params.push(param);
            }
        }
    }
    params.into_iter().map(Uncarried::essential).collect()
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
