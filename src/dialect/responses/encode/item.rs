//! What an answer consists of, as output items.

use serde_json::{Value, json};

use crate::dialect::responses::items::sealed;

#[derive(Debug)]
pub(super) enum Item {
    Thinking {
        id: String,
        text: String,
        /// As chat's `thinking_blocks`; only where there is a seal.
        blocks: Vec<Value>,
        is_sealed: bool,
    },
    Message {
        id: String,
        parts: Vec<Part>,
    },
    Call {
        id: String,
        index: u32,
        call: String,
        name: String,
        arguments: String,
        /// The provider's seal on the call.
        seal: Option<String>,
        /// Its end has been told.
        closed: bool,
    },
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) is_refusal: bool,
    pub(super) text: String,
}

/// A fresh id.
pub(super) fn fresh(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::now_v7().simple())
}

impl Item {
    pub(super) fn id(&self) -> &str {
        match self {
            Item::Thinking { id, .. } | Item::Message { id, .. } | Item::Call { id, .. } => id,
        }
    }

    pub(super) fn shown(&self, status: &str) -> Value {
        match self {
            Item::Thinking {
                id,
                text,
                blocks,
                is_sealed,
            } => {
                let summary: Vec<Value> = match text.as_str() {
                    "" => Vec::new(),
                    text => vec![summary(text)],
                };
                let mut item = json!({"id": id, "type": "reasoning", "summary": summary});
                if *is_sealed {
                    item["encrypted_content"] = Value::from(sealed(blocks));
                }
                item
            }
            Item::Message { id, parts } => {
                let content: Vec<Value> = parts.iter().map(Part::shown).collect();
                json!({"id": id, "type": "message", "status": status, "role": "assistant",
                    "content": content})
            }
            Item::Call {
                id,
                call,
                name,
                arguments,
                seal,
                ..
            } => {
                let mut item = json!({"id": id, "type": "function_call", "status": status,
                    "call_id": call, "name": name, "arguments": arguments});
                if let Some(seal) = seal {
                    item["extra_content"] = json!({"google": {"thought_signature": seal}});
                }
                item
            }
        }
    }
}

impl Part {
    pub(super) fn shown(&self) -> Value {
        if self.is_refusal {
            json!({"type": "refusal", "refusal": self.text})
        } else {
            json!({"type": "output_text", "text": self.text, "annotations": [], "logprobs": []})
        }
    }
}

pub(super) fn summary(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}
