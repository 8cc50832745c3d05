//! The response object: what of the request it repeats, and what the answer came to.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::request::stated;
use crate::dialect::json::Object;
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

/// What the answer repeats of its request: the object's last fields, written once.
#[derive(Clone, Debug, Default)]
pub struct Echo(Arc<str>);

impl Echo {
    /// Of this request.
    pub fn of(request: &Object) -> Self {
        let mut fields = String::with_capacity(512);
        for (name, otherwise) in REPEATED {
            let value = stated(request, name).map_or(otherwise, RawValue::get);
            fields.extend([",\"", name, "\":", value]);
        }
        Echo(fields.into())
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

/// The fields that an answer has of its own.
#[derive(Serialize)]
struct Own<'a> {
    id: &'a str,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    background: bool,
    error: Option<Failure<'a>>,
    incomplete_details: Option<Cut>,
    model: &'a str,
    output: &'a [Value],
    store: bool,
    usage: Option<Counted>,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Cut {
    reason: &'static str,
}

/// The whole object, as JSON.
pub(super) fn object(
    (head, echo): (&Head, &Echo),
    status: Status<'_>,
    output: &[Value],
    usage: Option<Usage>,
) -> String {
    let (word, error, cut) = match status {
        Status::InProgress => ("in_progress", None, None),
        Status::Failed(code, message) => ("failed", Some(Failure { code, message }), None),
        Status::Ended(finish) => match cut_by(finish) {
            Some(reason) => ("incomplete", None, Some(Cut { reason })),
            None => ("completed", None, None),
        },
    };
    let own = Own {
        id: &head.id,
        object: "response",
        created_at: head.created,
        status: word,
        background: false,
        error,
        incomplete_details: cut,
        model: &head.model,
        output,
        store: false,
        usage: usage.map(Counted::from),
    };
    let mut text = serde_json::to_string(&own).unwrap_or_default();
    text.pop(); // its brace: the request's fields go on where it ends
    text.reserve_exact(echo.0.len() + 1);
    text.extend([&echo.0, "}"]);
    text
}

/// Why an answer is incomplete; `None` for one that is not.
pub(super) const fn cut_by(finish: Finish) -> Option<&'static str> {
    match finish {
        Finish::Length => Some("max_output_tokens"),
        Finish::ContentFilter => Some("content_filter"),
        Finish::Stop | Finish::ToolCalls | Finish::Other => None,
    }
}

#[derive(Serialize)]
struct Counted {
    input_tokens: u64,
    input_tokens_details: OfInput,
    output_tokens: u64,
    output_tokens_details: OfOutput,
    total_tokens: u64,
}

#[derive(Serialize)]
struct OfInput {
    cached_tokens: u64,
}

#[derive(Serialize)]
struct OfOutput {
    reasoning_tokens: u64,
}

impl From<Usage> for Counted {
    fn from(usage: Usage) -> Self {
        let sum = usage.prompt_tokens.saturating_add(usage.completion_tokens);
        Counted {
            input_tokens: usage.prompt_tokens,
            input_tokens_details: OfInput {
                cached_tokens: usage.cached_tokens,
            },
            output_tokens: usage.completion_tokens,
            output_tokens_details: OfOutput {
                reasoning_tokens: usage.reasoning_tokens,
            },
            total_tokens: usage.total_tokens.max(sum),
        }
    }
}
