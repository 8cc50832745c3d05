//! The response object: what of the request it repeats, and what the answer came to.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::request::{one, stated};
use crate::dialect::json::{Object, raw};
use crate::types::{Finish, Usage};

/// Fields of the request that stand in the answer as they came, with what stands there otherwise.
const REPEATED: [(&str, &str); 18] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("service_tier", "null"),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("top_logprobs", "null"),
    ("top_p", "null"),
    ("truncation", r#""disabled""#),
    ("user", "null"),
];

/// What the answer repeats of its request.
#[derive(Clone, Debug, Default)]
pub struct Echo(Object);

impl Echo {
    /// Of this request.
    pub fn of(request: &Object) -> Self {
        let mut echo = Object::default();
        for (name, otherwise) in REPEATED {
            let value = stated(request, name).map(ToOwned::to_owned);
            let otherwise = || RawValue::from_string(otherwise.to_owned()).ok();
            if let Some(value) = value.or_else(otherwise) {
                echo.set(name, value);
            }
        }
        Echo(echo)
    }
}

/// How far the answer is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Status<'a> {
    /// Being made.
    InProgress,
    /// Ended for this reason.
    Ended(Finish),
    /// Broke off: a code and a sentence.
    Failed(&'a str, &'a str),
}

/// What stays the same over one answer.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
}

/// The whole object.
pub(super) fn object(
    (head, echo): (&Head, &Echo),
    status: Status<'_>,
    output: &[Value],
    usage: Option<Usage>,
) -> Box<RawValue> {
    let (word, error, incomplete) = match status {
        Status::InProgress => ("in_progress", Value::Null, Value::Null),
        Status::Failed(code, message) => {
            let error = json!({"code": code, "message": message});
            ("failed", error, Value::Null)
        }
        Status::Ended(finish) => match cut_by(finish) {
            Some(reason) => ("incomplete", Value::Null, json!({"reason": reason})),
            None => ("completed", Value::Null, Value::Null),
        },
    };
    let own = [
        ("id", raw(&head.id)),
        ("object", raw("response")),
        ("created_at", raw(&head.created)),
        ("status", raw(word)),
        ("background", raw(&false)),
        ("error", raw(&error)),
        ("incomplete_details", raw(&incomplete)),
        ("model", raw(&head.model)),
        ("output", raw(output)),
        ("store", raw(&false)),
        ("usage", raw(&usage.map(written))),
    ];
    let mut object = Object::default();
    for (name, value) in own {
        object.set(name, value);
    }
    for (name, value) in echo.0.iter() {
        object.set(name, value.to_owned());
    }
    one(&object)
}

/// Why an answer is incomplete; `None` for one that is not.
pub(super) const fn cut_by(finish: Finish) -> Option<&'static str> {
    match finish {
        Finish::Length => Some("max_output_tokens"),
        Finish::ContentFilter => Some("content_filter"),
        Finish::Stop | Finish::ToolCalls | Finish::Other => None,
    }
}

fn written(usage: Usage) -> Value {
    let sum = usage.prompt_tokens.saturating_add(usage.completion_tokens);
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens.max(sum),
    })
}
