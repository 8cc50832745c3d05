//! Makes OpenAI-shaped JSON where the upstream does not speak it, and replays cached text.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::whole::{Call, Thought, Whole};
use crate::types::{Chunk, Completion, Dialect, Event, Finish, Tap, Usage};

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

    fn chunk(&self, delta: &Value, finish: Option<Finish>, tap: Tap) -> Chunk {
        let choice =
            json!({"index": 0, "delta": delta, "finish_reason": finish.map(Finish::as_openai)});
        let chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created,
            "model": self.model, "choices": [choice],
        });
        Chunk {
            raw: to_bytes(&chunk),
            dialect: Dialect::OpenAi,
            tap,
            usage_only: false,
        }
    }

    /// One thing said, as a chunk. A start is the chunk that announces the role, under the head's
    /// own id and name.
    pub fn said(&self, event: &Event) -> Chunk {
        let beyond = |real| Tap {
            beyond_text: true,
            real,
            ..Tap::default()
        };
        match event {
            Event::Start { .. } => self.role(),
            Event::Text(text) => self.text(text),
            Event::Refusal(text) => {
                self.chunk(&json!({"refusal": text}), None, beyond(!text.is_empty()))
            }
            Event::Thinking(text) => self.reasoning(text),
            Event::Signature(signature) => {
                let block = json!({"type": "thinking", "thinking": "", "signature": signature});
                self.chunk(&json!({"thinking_blocks": [block]}), None, beyond(false))
            }
            Event::Redacted(data) => {
                let block = json!({"type": "redacted_thinking", "data": data});
                self.chunk(&json!({"thinking_blocks": [block]}), None, beyond(false))
            }
            Event::ToolCall {
                index,
                id,
                name,
                signature,
            } => {
                let mut call = json!({"index": index, "id": id, "type": "function",
                    "function": {"name": name, "arguments": ""}});
                seal(&mut call, signature.as_deref());
                self.tool_calls(&json!([call]))
            }
            Event::Arguments { index, json: text } => {
                self.tool_calls(&json!([{"index": index, "function": {"arguments": text}}]))
            }
            Event::Usage(usage) => self.usage(*usage),
            Event::Finish(finish) => self.finish(*finish),
        }
    }

    /// The chunk that announces the role; not a real delta.
    pub fn role(&self) -> Chunk {
        self.chunk(
            &json!({"role": "assistant", "content": ""}),
            None,
            Tap::default(),
        )
    }

    /// A chunk of text.
    pub fn text(&self, text: &str) -> Chunk {
        let tap = Tap {
            text: text.to_owned(),
            real: !text.is_empty(),
            ..Tap::default()
        };
        self.chunk(&json!({"content": text}), None, tap)
    }

    /// A chunk with whole or partial tool calls, as OpenAI's `delta.tool_calls`.
    pub fn tool_calls(&self, calls: &Value) -> Chunk {
        let tap = Tap {
            beyond_text: true,
            real: true,
            ..Tap::default()
        };
        self.chunk(&json!({"tool_calls": calls}), None, tap)
    }

    /// A chunk of the model's thinking, as `delta.reasoning_content`.
    pub fn reasoning(&self, text: &str) -> Chunk {
        let tap = Tap {
            beyond_text: true,
            real: !text.is_empty(),
            ..Tap::default()
        };
        self.chunk(&json!({"reasoning_content": text}), None, tap)
    }

    /// The chunk that ends the choice.
    pub fn finish(&self, finish: Finish) -> Chunk {
        let tap = Tap {
            finish: Some(finish),
            ..Tap::default()
        };
        self.chunk(&json!({}), Some(finish), tap)
    }

    /// The chunk that carries token counts alone.
    pub fn usage(&self, usage: Usage) -> Chunk {
        let raw = to_bytes(&json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created,
            "model": self.model, "choices": [], "usage": usage,
        }));
        Chunk {
            raw,
            dialect: Dialect::OpenAi,
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
            dialect: Dialect::OpenAi,
            tap,
        }
    }

    /// A whole answer from all it says; id and model are the answer's own where it has them.
    pub fn whole(&self, whole: &Whole) -> Completion {
        let own = |own: &str, otherwise: &str| {
            let text = if own.is_empty() { otherwise } else { own };
            text.to_owned()
        };
        let mut message = json!({"role": "assistant", "content": whole.text, "refusal": null});
        if whole.text.is_empty() && !(whole.calls.is_empty() && whole.refusal.is_empty()) {
            message["content"] = Value::Null;
        }
        if !whole.refusal.is_empty() {
            message["refusal"] = Value::from(whole.refusal.as_str());
        }
        if !whole.calls.is_empty() {
            message["tool_calls"] = whole.calls.iter().map(written_call).collect();
        }
        let thinking = whole.thinking();
        if !thinking.is_empty() {
            message["reasoning_content"] = Value::from(thinking);
        }
        if whole.thoughts.iter().any(Thought::is_sealed) {
            message["thinking_blocks"] = whole.thoughts.iter().map(written_thought).collect();
        }
        let finish = whole.finish.unwrap_or(Finish::Other);
        let mut answer = json!({
            "id": own(&whole.id, &self.id), "object": "chat.completion", "created": self.created,
            "model": own(&whole.model, &self.model),
            "choices": [{"index": 0, "message": message, "logprobs": null,
                         "finish_reason": finish.as_openai()}],
        });
        if let Some(usage) = whole.usage {
            answer["usage"] = json!(usage);
        }
        Completion {
            raw: to_bytes(&answer),
            dialect: Dialect::OpenAi,
            tap: whole.tap(),
        }
    }
}

/// Where Google's own OpenAI-shaped API puts the seal on a call.
fn seal(call: &mut Value, signature: Option<&str>) {
    if let Some(signature) = signature {
        call["extra_content"] = json!({"google": {"thought_signature": signature}});
    }
}

fn written_call(call: &Call) -> Value {
    let mut written = json!({"id": call.id, "type": "function",
        "function": {"name": call.name, "arguments": call.arguments}});
    seal(&mut written, call.signature.as_deref());
    written
}

fn written_thought(thought: &Thought) -> Value {
    match thought {
        Thought::Plain { text, signature } => {
            let mut block = json!({"type": "thinking", "thinking": text});
            if let Some(signature) = signature {
                block["signature"] = Value::from(signature.as_str());
            }
            block
        }
        Thought::Redacted(data) => json!({"type": "redacted_thinking", "data": data}),
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
