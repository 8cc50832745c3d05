//! What is read off requests and answers for spans: prompts and answers, where an operator has asked
//! for them.
//!
//! They stand in the conventions' `gen_ai.input.messages` and `gen_ai.output.messages`, on the
//! attempts: an answer from the cache was never sent anywhere. Each is cut at [`MAX_BYTES`], so that
//! what waits for the collector stays bounded. The subscriber says whether they are wanted, by
//! whether it hears [`TARGET`]; nothing is copied while it does not.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::types::{ChatRequest, Finish};

/// Whoever hears this target is told what clients and models say.
pub const TARGET: &str = "llm_router::content";
/// Most bytes of text in one attribute; most prompts are far below it.
const MAX_BYTES: usize = 16 << 10;
/// Most messages in one attribute, the latest ones.
const MAX_MESSAGES: usize = 64;
/// Where text was cut.
const CUT: &str = " [cut]";

/// Prompts and answers are wanted.
pub fn is_wanted() -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::INFO)
}

/// Puts what the model is asked on its attempt's span.
pub fn asked(span: &Span, request: &ChatRequest) {
    if span.is_disabled() || !is_wanted() {
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
    cut: bool,
}

impl Heard {
    /// Listens if it is wanted.
    pub fn begin(span: &Span) -> Self {
        Heard {
            wanted: !span.is_disabled() && is_wanted(),
            ..Heard::default()
        }
    }

    /// One more piece.
    pub fn piece(&mut self, text: &str) {
        if !self.wanted || self.cut {
            return;
        }
        let left = MAX_BYTES.saturating_sub(self.text.len());
        let part = head(text, left);
        self.text.push_str(part);
        if part.len() < text.len() {
            self.text.push_str(CUT);
            self.cut = true;
        }
    }

    /// Puts what came on the attempt's span.
    pub fn end(&self, span: &Span, finish: Option<Finish>) {
        if !self.wanted || self.text.is_empty() {
            return;
        }
        let mut message = json!({
            "role": "assistant",
            "parts": [{"type": "text", "content": self.text}],
        });
        if let Some(finish) = finish {
            message["finish_reason"] = finish.as_openai().into();
        }
        let messages = Value::Array(vec![message]).to_string();
        span.set_attribute("gen_ai.output.messages", messages);
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
    let mut left = MAX_BYTES;
    let mut told = Vec::new();
    // the latest first: where there is no room, it is the beginning that goes
    for message in messages[from..].iter().rev() {
        let parts = message.content.map_or_else(Vec::new, parts);
        let parts: Vec<Value> = parts.iter().map(|text| part(text, &mut left)).collect();
        told.push(json!({"role": head(&message.role, 32), "parts": parts}));
        if left == 0 {
            break;
        }
    }
    told.reverse();
    Value::Array(told).to_string()
}

fn part(text: &str, left: &mut usize) -> Value {
    let mut kept = head(text, *left).to_owned();
    *left -= kept.len();
    if kept.len() < text.len() {
        kept.push_str(CUT);
        *left = 0;
    }
    json!({"type": "text", "content": kept})
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
        assert!(told.len() < MAX_BYTES + 1024, "{}", told.len());
        assert!(told.contains("and now?") && told.contains(CUT));
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
        assert_eq!(heard.text.len(), MAX_BYTES + CUT.len());
        let mut unasked = Heard::default();
        unasked.piece("abc");
        assert!(unasked.text.is_empty());
    }
}
