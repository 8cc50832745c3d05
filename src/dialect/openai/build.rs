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
        let choice =
            json!({"index": 0, "delta": delta, "finish_reason": finish.map(Finish::as_openai)});
        to_bytes(&json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created,
            "model": self.model, "choices": [choice],
        }))
    }

    /// The chunk that announces the role; not a real delta.
    pub fn role(&self) -> Chunk {
        let raw = self.chunk(&json!({"role": "assistant", "content": ""}), None);
        Chunk {
            raw,
            tap: Tap::default(),
            usage_only: false,
        }
    }

    /// A chunk of text.
    pub fn text(&self, text: &str) -> Chunk {
        let raw = self.chunk(&json!({"content": text}), None);
        let tap = Tap {
            text: text.to_owned(),
            real: !text.is_empty(),
            ..Tap::default()
        };
        Chunk {
            raw,
            tap,
            usage_only: false,
        }
    }

    /// A chunk with whole or partial tool calls, as OpenAI's `delta.tool_calls`.
    pub fn tool_calls(&self, calls: &Value) -> Chunk {
        let raw = self.chunk(&json!({"tool_calls": calls}), None);
        let tap = Tap {
            beyond_text: true,
            real: true,
            ..Tap::default()
        };
        Chunk {
            raw,
            tap,
            usage_only: false,
        }
    }

    /// A chunk of the model's thinking, as `delta.reasoning_content`.
    pub fn reasoning(&self, text: &str) -> Chunk {
        let raw = self.chunk(&json!({"reasoning_content": text}), None);
        let tap = Tap {
            beyond_text: true,
            real: !text.is_empty(),
            ..Tap::default()
        };
        Chunk {
            raw,
            tap,
            usage_only: false,
        }
    }

    /// The chunk that ends the choice.
    pub fn finish(&self, finish: Finish) -> Chunk {
        let raw = self.chunk(&json!({}), Some(finish));
        Chunk {
            raw,
            tap: Tap {
                finish: Some(finish),
                ..Tap::default()
            },
            usage_only: false,
        }
    }

    /// The chunk that carries token counts alone.
    pub fn usage(&self, usage: Usage) -> Chunk {
        let raw = to_bytes(&json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created,
            "model": self.model, "choices": [], "usage": usage,
        }));
        Chunk {
            raw,
            tap: Tap {
                usage: Some(usage),
                ..Tap::default()
            },
            usage_only: true,
        }
    }

    /// A whole answer. `tool_calls` is null or OpenAI's array.
    pub fn completion(
        &self,
        text: &str,
        calls: &Value,
        finish: Finish,
        usage: Usage,
    ) -> Completion {
        self.answer(
            Parts {
                text,
                reasoning: "",
                calls,
            },
            finish,
            Some(usage),
        )
    }

    /// A whole answer with all it may consist of; `usage` is absent where nobody counted.
    pub fn answer(&self, parts: Parts<'_>, finish: Finish, usage: Option<Usage>) -> Completion {
        let Parts {
            text,
            reasoning,
            calls,
        } = parts;
        let mut message = json!({"role": "assistant", "content": text, "refusal": null});
        if !calls.is_null() {
            message["tool_calls"] = calls.clone();
            if text.is_empty() {
                message["content"] = Value::Null;
            }
        }
        if !reasoning.is_empty() {
            message["reasoning_content"] = Value::from(reasoning);
        }
        let mut answer = json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": null,
                         "finish_reason": finish.as_openai()}],
        });
        if let Some(usage) = usage {
            answer["usage"] = json!(usage);
        }
        let tap = Tap {
            text: text.to_owned(),
            beyond_text: !calls.is_null() || !reasoning.is_empty(),
            real: true,
            finish: Some(finish),
            usage,
        };
        Completion {
            raw: to_bytes(&answer),
            tap,
        }
    }
}

/// What a whole answer says.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Its text.
    pub text: &'a str,
    /// The model's thinking; empty for none.
    pub reasoning: &'a str,
    /// Null, or OpenAI's array of tool calls.
    pub calls: &'a Value,
}

fn to_bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}
