//! What is read off requests and answers for spans: prompts and answers, where an operator has asked
//! for them.
//!
//! They stand in the conventions' `gen_ai.input.messages` and `gen_ai.output.messages`, on the
//! attempts: an answer from the cache was never sent anywhere. Each is cut at 16 KiB as it is
//! sent, escapes and brackets counted, so that what waits for the collector stays bounded. The
//! subscriber says whether they are wanted, by whether it hears [`TARGET`]; nothing is copied while
//! it does not, nor for a trace that is not told.

use opentelemetry::trace::TraceContextExt as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::types::{ChatRequest, Finish};

/// Whoever hears this target is told what clients and models say.
pub const TARGET: &str = "llm_router::content";
/// Most bytes of one attribute, as JSON; most prompts are far below it.
const MAX_BYTES: usize = 16 << 10;
/// Most messages in one attribute, the latest ones.
const MAX_MESSAGES: usize = 64;
/// Of an attribute's bytes, those that may be an answer's text; the rest is around it.
const MAX_ANSWER: usize = MAX_BYTES - 256;
/// What stands around a part's text, and a comma.
const AROUND_PART: usize = r#"{"content":"","type":"text"},"#.len();
/// Where text was cut.
const CUT: &str = " [cut]";

/// Prompts and answers are wanted.
pub fn is_wanted() -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::INFO)
}

/// This span is told to a collector: there is one, and the trace is among those it gets.
pub fn is_told(span: &Span) -> bool {
    !span.is_disabled() && span.context().span().span_context().is_sampled()
}

/// Puts what the model is asked on its attempt's span.
pub fn asked(span: &Span, request: &ChatRequest) {
    if !is_wanted() || !is_told(span) {
        return;
    }
    if let Some(messages) = request.body.object().get("messages") {
        span.set_attribute("gen_ai.input.messages", input(messages.get()));
    }
}

/// The model that an answer, or the piece it begins with, says it is of, in any dialect.
pub fn model_named(raw: &[u8]) -> Option<String> {
    #[derive(Default, Deserialize)]
    struct Said {
        #[serde(alias = "modelVersion")]
        model: Option<String>,
        message: Option<Inner>,
        response: Option<Inner>,
    }
    #[derive(Default, Deserialize)]
    struct Inner {
        model: Option<String>,
    }
    let said: Said = serde_json::from_slice(raw).ok()?;
    let inner = said.message.or(said.response).unwrap_or_default();
    said.model.or(inner.model).filter(|name| !name.is_empty())
}

/// An answer's text as it comes, up to the limit.
#[derive(Debug, Default)]
pub struct Heard {
    wanted: bool,
    text: String,
    /// Bytes of the text as JSON.
    bytes: usize,
    cut: bool,
}

impl Heard {
    /// Listens if it is wanted and its span is [told](is_told).
    pub fn begin(told: bool) -> Self {
        Heard {
            wanted: told && is_wanted(),
            ..Heard::default()
        }
    }

    /// One more piece.
    pub fn piece(&mut self, text: &str) {
        if !self.wanted || self.cut {
            return;
        }
        let (part, bytes) = fitting(text, MAX_ANSWER.saturating_sub(self.bytes));
        self.text.push_str(part);
        self.bytes += bytes;
        if part.len() < text.len() {
            self.text.push_str(CUT);
            self.cut = true;
        }
    }

    /// Puts what came on the attempt's span.
    pub fn end(&self, span: &Span, finish: Option<Finish>) {
        if let Some(messages) = self.output(finish) {
            span.set_attribute("gen_ai.output.messages", messages);
        }
    }

    /// The conventions' form of the answer.
    fn output(&self, finish: Option<Finish>) -> Option<String> {
        if !self.wanted || self.text.is_empty() {
            return None;
        }
        let mut message = json!({
            "role": "assistant",
            "parts": [{"type": "text", "content": self.text}],
        });
        if let Some(finish) = finish {
            message["finish_reason"] = finish.as_openai().into();
        }
        Some(Value::Array(vec![message]).to_string())
    }
}

/// The conventions' form of a chat's messages.
fn input(messages: &str) -> String {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(default)]
        role: String,
        #[serde(borrow, default)]
        content: Option<&'a RawValue>,
    }
    let messages: Vec<Message<'_>> = serde_json::from_str(messages).unwrap_or_default();
    let from = messages.len().saturating_sub(MAX_MESSAGES);
    // two for the brackets around all of them
    let mut left = MAX_BYTES - 2;
    let mut told = Vec::new();
    // the latest first: where there is no room, it is the beginning that goes
    for message in messages[from..].iter().rev() {
        let mut message_told = json!({"role": head(&message.role, 32), "parts": []});
        let around = message_told.to_string().len() + 1;
        let Some(room) = left.checked_sub(around) else {
            break;
        };
        left = room;
        let texts = message.content.map_or_else(Vec::new, parts);
        let (parts, whole) = kept(&texts, &mut left);
        message_told["parts"] = Value::Array(parts);
        told.push(message_told);
        if !whole {
            break;
        }
    }
    told.reverse();
    Value::Array(told).to_string()
}

/// As much of a message's texts as there is room for, and whether that is all.
fn kept(texts: &[String], left: &mut usize) -> (Vec<Value>, bool) {
    let part = |text: &str| json!({"type": "text", "content": text});
    let mut kept = Vec::new();
    for text in texts {
        let Some(room) = left.checked_sub(AROUND_PART + CUT.len()) else {
            return (kept, false);
        };
        let (head, bytes) = fitting(text, room);
        *left -= AROUND_PART + bytes;
        if head.len() < text.len() {
            *left -= CUT.len();
            kept.push(part(&format!("{head}{CUT}")));
            return (kept, false);
        }
        kept.push(part(head));
    }
    (kept, true)
}

/// The texts of a message; images and the like are named only.
fn parts(content: &RawValue) -> Vec<String> {
    #[derive(Deserialize)]
    struct Part {
        #[serde(default, rename = "type")]
        kind: String,
        #[serde(default)]
        text: Option<String>,
    }
    if let Ok(text) = serde_json::from_str::<String>(content.get()) {
        return vec![text];
    }
    let parts: Vec<Part> = serde_json::from_str(content.get()).unwrap_or_default();
    let parts = parts.into_iter().take(MAX_MESSAGES);
    parts
        .map(|part| part.text.unwrap_or_else(|| format!("[{}]", part.kind)))
        .collect()
}

/// At most so many bytes, at the end of a character.
fn head(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The beginning that takes at most so many bytes as JSON, at the end of a character; and how many it
/// takes.
fn fitting(text: &str, most: usize) -> (&str, usize) {
    let mut bytes = 0;
    for (at, character) in text.char_indices() {
        let more = match character {
            '"' | '\\' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t' => 2,
            '\0'..='\u{1f}' => 6,
            other => other.len_utf8(),
        };
        if bytes + more > most {
            return (&text[..at], bytes);
        }
        bytes += more;
    }
    (text, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_take_the_conventions_form_and_images_are_only_named() {
        let told = input(
            r#"[{"role":"system","content":"be brief"},
                {"role":"user","content":[{"type":"text","text":"what is this?"},
                                          {"type":"image_url","image_url":{"url":"data:x"}}]},
                {"role":"assistant","content":null}]"#,
        );
        let told: Value = serde_json::from_str(&told).expect("JSON");
        let text = |text: &str| json!({"type": "text", "content": text});
        let expected = json!([
            {"role": "system", "parts": [text("be brief")]},
            {"role": "user", "parts": [text("what is this?"), text("[image_url]")]},
            {"role": "assistant", "parts": []},
        ]);
        assert_eq!(told, expected);
    }

    #[test]
    fn a_model_s_name_is_found_in_every_dialect() {
        for (raw, name) in [
            (
                r#"{"id":"1","model":"gpt-4o-0806","choices":[]}"#,
                Some("gpt-4o-0806"),
            ),
            (r#"{"modelVersion":"gemini-2.5"}"#, Some("gemini-2.5")),
            (
                r#"{"type":"message_start","message":{"model":"claude"}}"#,
                Some("claude"),
            ),
            (
                r#"{"type":"response.created","response":{"model":"o3"}}"#,
                Some("o3"),
            ),
            (r#"{"model":""}"#, None),
            (r#"{"model":7}"#, None),
            ("no JSON", None),
        ] {
            assert_eq!(model_named(raw.as_bytes()).as_deref(), name, "{raw}");
        }
    }

    #[test]
    fn a_long_conversation_loses_its_beginning_and_stays_bounded() {
        let long = "ä".repeat(MAX_BYTES);
        let messages = json!([
            {"role": "user", "content": long},
            {"role": "user", "content": "ö".repeat(5000)},
            {"role": "user", "content": "and now?"},
        ]);
        let told = input(&messages.to_string());
        assert!(told.len() <= MAX_BYTES, "{}", told.len());
        assert!(told.len() > MAX_BYTES - 64, "{}", told.len());
        assert!(told.contains("and now?") && told.contains(CUT));
    }

    #[test]
    fn neither_escapes_nor_empty_parts_take_more_than_the_limit() {
        let part = |text: &str| json!({"type": "text", "text": text});
        let long = "\u{1}".repeat(MAX_BYTES);
        let odd = "\u{1}\"\\\n\u{7f}é".repeat(1000);
        let crowd = |text: &str| vec![part(text); MAX_MESSAGES];
        let many = |content: Value| vec![json!({"role": "user", "content": content}); 500];
        for messages in [
            many(long.clone().into()),
            many(odd.into()),
            many(crowd("").into()),
            many(crowd("\u{1}").into()),
            many(Value::Null),
            vec![json!({"role": long, "content": long})],
        ] {
            let told = input(&Value::Array(messages).to_string());
            assert!(told.len() <= MAX_BYTES, "{}", told.len());
            let told: Vec<Value> = serde_json::from_str(&told).expect("JSON");
            assert!(!told.is_empty());
        }
    }

    #[test]
    fn what_a_text_takes_as_json_is_counted_as_it_is_written() {
        let all: String = ('\0'..='\u{2ff}').collect();
        let (text, bytes) = fitting(&all, usize::MAX);
        assert_eq!(text, all);
        assert_eq!(bytes + 2, Value::from(text).to_string().len());
        assert_eq!(fitting("a\u{1}b", 6), ("a", 1));
        assert_eq!(fitting("aé", 2), ("a", 1));
    }

    #[test]
    fn an_answer_is_kept_up_to_the_limit() {
        let mut heard = Heard {
            wanted: true,
            ..Heard::default()
        };
        for _ in 0..MAX_BYTES {
            heard.piece("abc");
        }
        assert_eq!(heard.text.len(), MAX_ANSWER + CUT.len());
        let mut escaped = Heard {
            wanted: true,
            ..Heard::default()
        };
        (0..MAX_BYTES).for_each(|_| escaped.piece("\u{1}\n"));
        for heard in [heard, escaped] {
            let told = heard.output(Some(Finish::Stop)).expect("it was heard");
            assert!(told.len() <= MAX_BYTES, "{}", told.len());
            assert!(told.len() > MAX_BYTES / 2 && told.contains(CUT));
        }
        let mut unasked = Heard::default();
        unasked.piece("abc");
        assert!(unasked.text.is_empty());
    }
}
