//! Events as an answer in this dialect: named server-sent events, or a whole message.
//!
//! Blocks follow one another, so whatever comes between the arguments of a call is written after the
//! call. A stream that changes from this dialect to another on its way goes on where it was.

mod whole;

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Value, json};

use super::fragment::Fragments;
use super::stop_reason;
use crate::dialect::seal::mark_call;
use crate::types::{Event, Finish, Usage};

pub use whole::message;

/// What keeps a silent stream alive.
pub const PING: &[u8] = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Call(u32),
    /// Of a message passed on as it came.
    Foreign,
}

#[derive(Debug)]
struct Open {
    index: u64,
    kind: Kind,
    arguments: Fragments,
}

/// What comes after a call that is still open.
#[derive(Debug)]
struct Waiting {
    event: Event,
    /// A call's own, as far as they are known.
    arguments: String,
}

impl Waiting {
    fn is_call(&self, call: u32) -> bool {
        matches!(&self.event, Event::ToolCall { index, .. } if *index == call)
    }
}

/// Writes one stream.
#[derive(Debug)]
pub struct Encoder {
    model: String,
    out: BytesMut,
    started: bool,
    next: u64,
    open: Option<Open>,
    waiting: VecDeque<Waiting>,
    refused: bool,
    finish: Option<Finish>,
    usage: Option<Usage>,
    /// `message_delta` is out.
    ending: bool,
    /// `message_stop` is out.
    ended: bool,
}

impl Encoder {
    /// An encoder that names the model so where the answer itself does not.
    pub fn new(model: impl Into<String>) -> Self {
        Encoder {
            model: model.into(),
            out: BytesMut::new(),
            started: false,
            next: 0,
            open: None,
            waiting: VecDeque::new(),
            refused: false,
            finish: None,
            usage: None,
            ending: false,
            ended: false,
        }
    }

    /// What has been written since this was last asked.
    pub fn take(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    /// Writes what was said next. The end is held back until [`Encoder::end`]: token counts may
    /// still come.
    pub fn say(&mut self, event: Event) {
        if let Event::Start { id, model } = event {
            return self.start(&id, &model);
        }
        self.start("", "");
        match event {
            Event::Start { .. } => {}
            Event::Text(_)
            | Event::Refusal(_)
            | Event::Thinking(_)
            | Event::Signature(_)
            | Event::Redacted(_)
            | Event::ToolCall { .. } => {
                self.waiting.push_back(Waiting {
                    event,
                    arguments: String::new(),
                });
                self.go_on();
            }
            Event::Arguments { index, json } => self.arguments(index, &json),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Finish(finish) => self.finish = Some(finish),
        }
    }

    /// Passes on a message that is in this dialect already, byte for byte.
    pub fn pass(&mut self, message: &[u8]) {
        #[derive(Deserialize)]
        struct Shown {
            #[serde(default, rename = "type")]
            kind: String,
            #[serde(default)]
            index: u64,
            #[serde(default)]
            content_block: Value,
        }
        let Ok(shown) = serde_json::from_slice::<Shown>(message) else {
            return;
        };
        if self.started && shown.kind == "message_start" {
            return; // another upstream goes on with the answer
        }
        match shown.kind.as_str() {
            "message_start" => self.started = true,
            "content_block_start" => {
                self.next = self.next.max(shown.index.saturating_add(1));
                let text = shown.content_block["type"] == "text";
                self.open = Some(Open {
                    index: shown.index,
                    kind: if text { Kind::Text } else { Kind::Foreign },
                    arguments: Fragments::default(),
                });
            }
            "content_block_stop" => self.open = None,
            "message_delta" => self.ending = true,
            "message_stop" => self.ended = true,
            _ => {}
        }
        self.frame(&shown.kind, message);
    }

    /// The answer is complete: writes what is left of it.
    pub fn end(&mut self) {
        if self.ended {
            return;
        }
        self.start("", "");
        if !self.ending {
            self.settle();
            let finish = match self.finish {
                Some(Finish::Stop) if self.refused => Finish::ContentFilter,
                Some(finish) => finish,
                None => Finish::Other,
            };
            let delta = json!({"stop_reason": stop_reason(finish), "stop_sequence": null});
            let usage = usage(self.usage.unwrap_or_default());
            self.write(&json!({"type": "message_delta", "delta": delta, "usage": usage}));
            self.ending = true;
        }
        self.write(&json!({"type": "message_stop"}));
        self.ended = true;
    }

    fn start(&mut self, id: &str, model: &str) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let model = Some(model).filter(|own| !own.is_empty());
        let model = model.unwrap_or(&self.model);
        let message = json!({"id": message_id(id), "type": "message", "role": "assistant",
            "model": model, "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": 0, "output_tokens": 0}});
        self.write(&json!({"type": "message_start", "message": message}));
    }

    /// Writes what waits, up to a call that still lacks arguments.
    fn go_on(&mut self) {
        while !self.is_busy() {
            let Some(next) = self.waiting.pop_front() else {
                return;
            };
            self.write_next(next);
        }
    }

    /// The call that is open still lacks arguments.
    fn is_busy(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| matches!(open.kind, Kind::Call(_)) && !open.arguments.complete())
    }

    fn write_next(&mut self, next: Waiting) {
        match next.event {
            Event::Text(text) => self.text(&text),
            Event::Refusal(text) => {
                self.refused |= !text.is_empty();
                self.text(&text);
            }
            Event::Thinking(text) => {
                self.open_as(Kind::Thinking);
                self.delta(&json!({"type": "thinking_delta", "thinking": text}));
            }
            Event::Signature(signature) => {
                self.open_as(Kind::Thinking);
                self.delta(&json!({"type": "signature_delta", "signature": signature}));
                self.close();
            }
            Event::Redacted(data) => {
                self.close();
                self.begin(
                    Kind::Foreign,
                    &json!({"type": "redacted_thinking", "data": data}),
                );
                self.close();
            }
            Event::ToolCall {
                index,
                id,
                name,
                signature,
            } => {
                self.seal(signature.as_deref());
                let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                self.begin(Kind::Call(index), &block);
                self.append(&next.arguments);
            }
            // said at once
            Event::Start { .. } | Event::Arguments { .. } | Event::Usage(_) | Event::Finish(_) => {}
        }
    }

    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.open_as(Kind::Text);
        self.delta(&json!({"type": "text_delta", "text": text}));
    }

    /// Makes sure that a block of this kind is open.
    fn open_as(&mut self, kind: Kind) {
        if self.open.as_ref().is_some_and(|open| open.kind == kind) {
            return;
        }
        self.close();
        let block = match kind {
            Kind::Thinking => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Kind::Text | Kind::Call(_) | Kind::Foreign => json!({"type": "text", "text": ""}),
        };
        self.begin(kind, &block);
    }

    fn begin(&mut self, kind: Kind, block: &Value) {
        let index = self.next;
        self.next += 1;
        self.write(&json!({"type": "content_block_start", "index": index, "content_block": block}));
        self.open = Some(Open {
            index,
            kind,
            arguments: Fragments::default(),
        });
    }

    fn delta(&mut self, delta: &Value) {
        if let Some(index) = self.open.as_ref().map(|open| open.index) {
            self.write(&json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.write(&json!({"type": "content_block_stop", "index": open.index}));
        }
    }

    fn arguments(&mut self, call: u32, text: &str) {
        if let Some(waiting) = self.waiting.iter_mut().find(|one| one.is_call(call)) {
            waiting.arguments.push_str(text);
        } else if self
            .open
            .as_ref()
            .is_some_and(|open| open.kind == Kind::Call(call))
        {
            self.append(text);
            self.go_on();
        }
    }

    /// Writes more arguments of the call that is open.
    fn append(&mut self, arguments: &str) {
        if arguments.is_empty() {
            return;
        }
        if let Some(open) = self.open.as_mut() {
            open.arguments.push(arguments);
        }
        self.delta(&json!({"type": "input_json_delta", "partial_json": arguments}));
    }

    /// The seal of the call that follows: a thinking block in front of it.
    fn seal(&mut self, seal: Option<&str>) {
        self.close();
        if let Some(seal) = seal {
            let block = json!({"type": "thinking", "thinking": "", "signature": ""});
            self.begin(Kind::Foreign, &block);
            self.delta(&json!({"type": "signature_delta", "signature": mark_call(seal)}));
            self.close();
        }
    }

    /// Nothing is left open or waiting.
    fn settle(&mut self) {
        while let Some(next) = self.waiting.pop_front() {
            self.write_next(next);
        }
        self.close();
    }

    fn write(&mut self, message: &Value) {
        let kind = message["type"].as_str().unwrap_or_default().to_owned();
        self.frame(&kind, message.to_string().as_bytes());
    }

    fn frame(&mut self, kind: &str, data: &[u8]) {
        self.out.put_slice(b"event: ");
        // a name is one line, whatever the upstream calls its messages
        let name = kind.bytes().filter(|byte| !byte.is_ascii_control());
        self.out.extend(name);
        for line in data.split(|byte| *byte == b'\n') {
            self.out.put_slice(b"\ndata: ");
            self.out.put_slice(line);
        }
        self.out.put_slice(b"\n\n");
    }
}

/// The upstream's own id where it is one of this dialect, else a fresh one.
fn message_id(own: &str) -> String {
    if own.starts_with("msg_") {
        own.to_owned()
    } else {
        format!("msg_{}", uuid::Uuid::now_v7().simple())
    }
}

fn usage(usage: Usage) -> Value {
    let kept = usage.cached_tokens.saturating_add(usage.cache_write_tokens);
    json!({
        "input_tokens": usage.prompt_tokens.saturating_sub(kept),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    })
}
