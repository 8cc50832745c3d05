//! Makes OpenAI-shaped JSON where the upstream does not speak it, and replays cached text.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::types::{Chunk, Completion, Finish, Tap, Usage};

/// What stays the same over one answer: id, creation time and model name.
#[derive(Clone, Debug)]
pub struct Head {
    /// `chatcmpl-…`.
    pub id: String,
    /// Unix seconds.
    pub created: u64,
    /// The model's name as shown to the client.
    pub model: String,
}

impl Head {
    /// A fresh head.
    pub fn new(model: impl Into<String>) -> Self {
        Head {
            id: format!("chatcmpl-{}", uuid::Uuid::now_v7().simple()),
            created: crate::types::unix_seconds(),
            model: model.into(),
        }
    }

    fn chunk(&self, delta: &Value, finish: Option<Finish>) -> Bytes {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish.map(Finish::as_openai)});
        to_bytes(&json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created,
            "model": self.model, "choices": [choice],
        }))
    }

    /// The chunk that announces the role; not a real delta.
    pub fn role(&self) -> Chunk {
        let raw = self.chunk(&json!({"role": "assistant", "content": ""}), None);
        Chunk { raw, tap: Tap::default(), usage_only: false }
    }

    /// A chunk of text.
    pub fn text(&self, text: &str) -> Chunk {
        let raw = self.chunk(&json!({"content": text}), None);
        let tap = Tap { text: text.to_owned(), real: !text.is_empty(), ..Tap::default() };
        Chunk { raw, tap, usage_only: false }
    }

    /// A chunk with whole or partial tool calls, as OpenAI's `delta.tool_calls`.
    pub fn tool_calls(&self, calls: &Value) -> Chunk {
        let raw = self.chunk(&json!({"tool_calls": calls}), None);
        let tap = Tap { beyond_text: true, real: true, ..Tap::default() };
        Chunk { raw, tap, usage_only: false }
    }

    /// The chunk that ends the choice.
    pub fn finish(&self, finish: Finish) -> Chunk {
        let raw = self.chunk(&json!({}), Some(finish));
        Chunk { raw, tap: Tap { finish: Some(finish), ..Tap::default() }, usage_only: false }
    }

    /// The chunk that carries token counts alone.
    pub fn usage(&self, usage: Usage) -> Chunk {
        let raw = to_bytes(&json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created,
            "model": self.model, "choices": [], "usage": usage,
        }));
        Chunk { raw, tap: Tap { usage: Some(usage), ..Tap::default() }, usage_only: true }
    }

    /// A whole answer. `tool_calls` is null or OpenAI's array.
    pub fn completion(&self, text: &str, calls: &Value, finish: Finish, usage: Usage) -> Completion {
        let mut message = json!({"role": "assistant", "content": text, "refusal": null});
        if !calls.is_null() {
            message["tool_calls"] = calls.clone();
            if text.is_empty() {
                message["content"] = Value::Null;
            }
        }
        let raw = to_bytes(&json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": null,
                         "finish_reason": finish.as_openai()}],
            "usage": usage,
        }));
        let tap = Tap {
            text: text.to_owned(),
            beyond_text: !calls.is_null(),
            real: true,
            finish: Some(finish),
            usage: Some(usage),
        };
        Completion { raw, tap }
    }
}

fn to_bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}
