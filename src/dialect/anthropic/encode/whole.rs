//! A whole answer as a message.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{message_id, stop_reason, usage};
use crate::dialect::json::raw;
use crate::dialect::seal::mark_call;
use crate::dialect::whole::{Call, Thought, Whole};
use crate::types::Finish;

/// Written as a struct, so that a call's input keeps its bytes.
#[derive(Serialize)]
struct Message<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Box<RawValue>>,
    stop_reason: &'static str,
    stop_sequence: Option<&'static str>,
    usage: Value,
}

#[derive(Serialize)]
struct ToolUse<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    name: &'a str,
    input: Box<RawValue>,
}

/// The message that says it all; `model` is its name where the answer has none of its own.
pub fn message(whole: &Whole, model: &str) -> Bytes {
    let mut content: Vec<Box<RawValue>> = whole.thoughts.iter().map(thought).collect();
    for text in [&whole.text, &whole.refusal] {
        if !text.is_empty() {
            content.push(raw(&json!({"type": "text", "text": text})));
        }
    }
    for one in &whole.calls {
        let seal = one.signature.as_deref().map(mark_call);
        content.extend(seal.map(|seal| sealed("", &seal)));
        content.push(call(one));
    }
    let finish = match whole.finish {
        Some(Finish::Stop) if !whole.refusal.is_empty() => Finish::ContentFilter,
        Some(finish) => finish,
        None => Finish::Other,
    };
    let message = Message {
        id: message_id(&whole.id),
        kind: "message",
        role: "assistant",
        model: match whole.model.as_str() {
            "" => model,
            own => own,
        },
        content,
        stop_reason: stop_reason(finish),
        stop_sequence: None,
        usage: usage(whole.usage.unwrap_or_default()),
    };
    Bytes::from(raw(&message).get().to_owned())
}

fn thought(thought: &Thought) -> Box<RawValue> {
    match thought {
        Thought::Plain { text, signature } => {
            sealed(text, signature.as_deref().unwrap_or_default())
        }
        Thought::Redacted(data) => raw(&json!({"type": "redacted_thinking", "data": data})),
    }
}

fn sealed(thinking: &str, signature: &str) -> Box<RawValue> {
    raw(&json!({"type": "thinking", "thinking": thinking, "signature": signature}))
}

fn call(call: &Call) -> Box<RawValue> {
    let arguments = match call.arguments.trim() {
        "" => "{}",
        text => text,
    };
    let object = RawValue::from_string(arguments.to_owned())
        .ok()
        .filter(|value| value.get().starts_with('{'));
    raw(&ToolUse {
        kind: "tool_use",
        id: &call.id,
        name: &call.name,
        // what is no object, such as arguments cut off, stands where the dialect puts such text
        input: object.unwrap_or_else(|| raw(&json!({"INVALID_JSON": call.arguments}))),
    })
}
