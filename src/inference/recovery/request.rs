//! What a model is asked to carry on an answer. Pure.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::splice::TELLING;
use crate::dialect::json::{Object, raw};
use crate::dialect::openai::ChatBody;
use crate::types::{ChatRequest, Usage};

/// Bytes of text that a token is taken to have. Rather many, so that an answer is not cut short of
/// the length its client allows.
const BYTES_PER_TOKEN: u64 = 4;

/// Fields besides `response_format` by which servers hold an answer to a grammar; those that begin
/// with `guided_` too.
const GRAMMARS: [&str; 6] = [
    "ebnf",
    "format",
    "grammar",
    "json_schema",
    "regex",
    "structured_outputs",
];

/// What an answer of so many bytes has used, about, where its upstream has not counted it.
pub(in crate::inference) fn estimated(prompt_tokens: u64, bytes: usize) -> Usage {
    Usage::new(prompt_tokens, (bytes as u64).div_ceil(BYTES_PER_TOKEN))
}

/// The same request without the form it came in: the continuation has to be OpenAI-shaped, as what
/// was told is.
pub(super) fn afresh(request: &ChatRequest) -> Option<ChatRequest> {
    let body = ChatBody::from_object(request.body.object().clone()).ok()?;
    Some(ChatRequest {
        body: Arc::new(body),
        stream: true,
        ..request.clone()
    })
}

/// The same request with the beginning of its answer as the assistant's message, and what of that
/// the model is not given in bytes: white space at its end, where `trim` asks for that. `None` where
/// the beginning is too short to know it again, or has no place, and where a grammar rules the answer: it rules
/// from the first letter that is generated, so a whole new answer would follow the beginning.
pub(super) fn prefilled(
    request: &ChatRequest,
    told: &str,
    trim: bool,
) -> Option<(ChatRequest, usize)> {
    let given = if trim { told.trim_end() } else { told };
    if given.trim().len() < TELLING || is_ruled(request.body.object()) {
        return None;
    }
    let mut object = request.body.object().clone();
    object.set("messages", with_beginning(&request.body, given)?);
    for name in ["max_tokens", "max_completion_tokens"] {
        if let Some(most) = object.read::<u64>(name) {
            let spent = given.len() as u64 / BYTES_PER_TOKEN;
            object.set(name, raw(&most.saturating_sub(spent).max(1)));
        }
    }
    let body = ChatBody::from_object(object).ok()?;
    let request = ChatRequest {
        features: body.features(),
        body: Arc::new(body),
        stream: true,
        ..request.clone()
    };
    Some((request, told.len() - given.len()))
}

/// The answer has to be of a form that the upstream sees to as it generates.
fn is_ruled(asked: &Object) -> bool {
    #[derive(Deserialize)]
    struct Form<'a> {
        #[serde(rename = "type", borrow)]
        kind: Option<&'a str>,
    }
    asked
        .iter()
        .filter(|(_, value)| value.get() != "null")
        .any(|(name, value)| match name {
            "response_format" => !serde_json::from_str::<Form<'_>>(value.get())
                .is_ok_and(|form| form.kind == Some("text")),
            other => other.starts_with("guided_") || GRAMMARS.contains(&other),
        })
}

/// The messages with `given` at their end, joined to a beginning that the client itself gave.
fn with_beginning(body: &ChatBody, given: &str) -> Option<Box<RawValue>> {
    let mut messages: Vec<Box<RawValue>> = body.object().read("messages")?;
    let last = body.messages().last()?;
    if last.role != "assistant" {
        let mut message = Object::default();
        message.set("role", raw("assistant"));
        message.set("content", raw(given));
        messages.push(written(&message)?);
        return Some(raw(&messages));
    }
    let begun: String = serde_json::from_str(last.content.as_ref()?.get()).ok()?;
    if last.tool_calls.is_some() {
        return None;
    }
    let mut message = Object::parse(messages.pop()?.get().as_bytes()).ok()?;
    message.set("content", raw(&format!("{begun}{given}")));
    messages.push(written(&message)?);
    Some(raw(&messages))
}

fn written(object: &Object) -> Option<Box<RawValue>> {
    let text = String::from_utf8(object.to_bytes()).ok()?;
    RawValue::from_string(text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{afresh, prefilled};
    use crate::inference::testing::request;

    fn body(request: &crate::types::ChatRequest) -> Value {
        serde_json::from_slice(&request.body.object().to_bytes()).unwrap()
    }

    #[test]
    fn the_beginning_is_given_as_the_assistants_and_the_limit_shrinks_by_it() {
        let asked = request(
            json!({"model": "m", "max_tokens": 100, "max_completion_tokens": 3,
            "seed": 123_456_789_012_345_678_u64,
            "messages": [{"role": "user", "content": "count"}]}),
        );
        let (asking, owed) = prefilled(&asked, "one two three four ", false).unwrap();
        assert_eq!(owed, 0);
        let sent = body(&asking);
        assert_eq!(
            sent["messages"],
            json!([{"role": "user", "content": "count"},
                   {"role": "assistant", "content": "one two three four "}])
        );
        assert_eq!(sent["seed"], json!(123_456_789_012_345_678_u64));
        assert_eq!(
            (&sent["max_tokens"], &sent["max_completion_tokens"]),
            (&json!(96), &json!(1))
        );
        assert!(asking.stream);
        assert!(asking.features.prompt_tokens > asked.features.prompt_tokens);
    }

    #[test]
    fn white_space_at_the_end_is_owed_where_the_model_refuses_it() {
        let asked = request(json!({"messages": [{"role": "user", "content": "count"}]}));
        let (asking, owed) = prefilled(&asked, "one, two, three:\n\n", true).unwrap();
        assert_eq!(owed, 2);
        assert_eq!(body(&asking)["messages"][1]["content"], "one, two, three:");
    }

    #[test]
    fn a_beginning_too_short_to_know_it_again_is_not_given() {
        // "1 players" might go on from "1", or begin "11 players" anew
        let asked = request(json!({"messages": [{"role": "user", "content": "count"}]}));
        for told in [" \n", "1", "fifteen letters", "   fifteen letters  "] {
            assert!(prefilled(&asked, told, false).is_none(), "{told}");
        }
    }

    #[test]
    fn a_beginning_of_the_clients_own_is_continued() {
        let asked = request(json!({"messages": [{"role": "user", "content": "count"},
            {"role": "assistant", "content": "One, "}]}));
        let (asking, _) = prefilled(&asked, "two, three, four, ", false).unwrap();
        let messages = &body(&asking)["messages"];
        assert_eq!(messages[1]["content"], "One, two, three, four, ");
        assert_eq!(messages.as_array().unwrap().len(), 2);
        let parts = request(json!({"messages": [{"role": "user", "content": "count"},
            {"role": "assistant", "content": [{"type": "text", "text": "One"}]}]}));
        assert!(prefilled(&parts, "two, three, four, ", false).is_none());
    }

    #[test]
    fn an_answer_that_a_grammar_rules_is_never_begun_for_the_model() {
        let given = |field: &str, value: &Value| {
            let mut body = json!({"messages": [{"role": "user", "content": "who"}]});
            body[field] = value.clone();
            prefilled(&request(body), r#"{"name": "Bob Jones", "age": "#, false).is_some()
        };
        for (field, value) in [
            ("response_format", json!({"type": "json_object"})),
            (
                "response_format",
                json!({"type": "json_schema", "json_schema": {"name": "p", "schema": {}}}),
            ),
            ("guided_regex", json!("[0-9]+")),
            ("guided_json", json!({"type": "object"})),
            ("format", json!("json")),
            ("grammar", json!("root ::= \"a\"")),
        ] {
            assert!(!given(field, &value), "{field}: {value}");
        }
        assert!(given("response_format", &json!({"type": "text"})));
        assert!(given("response_format", &Value::Null));
        assert!(given("seed", &json!(1)));
    }

    #[test]
    fn asked_anew_it_is_the_same_question() {
        let asked = request(json!({"model": "m", "max_tokens": 9, "stream": true,
            "messages": [{"role": "user", "content": "count"}]}));
        assert_eq!(body(&afresh(&asked).unwrap()), body(&asked));
    }
}
