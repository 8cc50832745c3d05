//! An answer as Responses events, and as the whole object.
//!
//! ```text
//! created in_progress
//!   (output_item.added … output_item.done)*     thinking and text one after the other;
//! completed | incomplete | failed               calls stay open until the end, for their
//! ```                                           arguments may come interleaved

mod item;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use self::item::{Item, Part, fresh, summary};
use super::object::{Echo, Head, Status, cut_by, object};
use crate::dialect::whole::Whole;
use crate::types::{Event, Finish, Usage};

/// Most items of one answer; what goes beyond is left out.
const MAX_ITEMS: usize = 1024;

/// One event to be sent: its name, and its data.
#[derive(Clone, Debug)]
pub struct Written {
    /// `response.created`, …
    pub name: String,
    /// JSON; holds the name as its `type`.
    pub data: Bytes,
}

/// Writes one answer.
#[derive(Debug)]
pub struct Encoder {
    head: Head,
    echo: Echo,
    sequence: u64,
    begun: bool,
    items: Vec<Item>,
    /// The thinking or the message that goes on.
    open: Option<usize>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    /// Only the whole object is wanted, no events.
    is_silent: bool,
    out: Vec<Written>,
}

impl Encoder {
    /// Of an answer to the request that `echo` was made of; `model` is shown until the upstream
    /// names its own.
    pub fn new(echo: Echo, model: impl Into<String>) -> Self {
        Encoder {
            head: Head {
                id: fresh("resp"),
                created: crate::types::unix_seconds(),
                model: model.into(),
            },
            echo,
            sequence: 0,
            begun: false,
            items: Vec::new(),
            open: None,
            finish: None,
            usage: None,
            is_silent: false,
            out: Vec::new(),
        }
    }

    /// The whole answer as one object.
    pub fn whole(mut self, whole: Whole) -> Bytes {
        self.is_silent = true;
        for event in whole.into_events() {
            self.say(event);
        }
        let ended = Status::Ended(self.finish.unwrap_or(Finish::Other));
        Bytes::from(self.object(ended))
    }

    /// What was said next, as events.
    pub fn said(&mut self, event: Event) -> Vec<Written> {
        self.say(event);
        std::mem::take(&mut self.out)
    }

    /// The answer is whole: everything is closed.
    pub fn ended(&mut self) -> Vec<Written> {
        self.begin();
        self.close_open();
        self.close_calls(|_| true);
        let finish = self.finish.unwrap_or(Finish::Other);
        let name = match cut_by(finish) {
            Some(_) => "response.incomplete",
            None => "response.completed",
        };
        self.told(name, Status::Ended(finish));
        std::mem::take(&mut self.out)
    }

    /// The answer broke off.
    pub fn failed(&mut self, code: &str, message: &str) -> Vec<Written> {
        self.begin();
        self.told("response.failed", Status::Failed(code, message));
        std::mem::take(&mut self.out)
    }

    /// Goes on where an upstream's own events, passed on as they came, have stopped.
    pub fn after(&mut self, sequence: u64, id: Option<String>) {
        (self.begun, self.sequence) = (true, sequence);
        if let Some(id) = id {
            self.head.id = id;
        }
    }

    fn say(&mut self, event: Event) {
        if let Event::Start { model, .. } = &event
            && !model.is_empty()
        {
            self.head.model.clone_from(model);
        }
        self.begin();
        match event {
            Event::Start { .. } => {}
            Event::Text(text) => self.spoken(false, &text),
            Event::Refusal(text) => self.spoken(true, &text),
            Event::Thinking(text) => self.thinking(&text),
            Event::Signature(seal) => self.sealed(&seal),
            Event::Redacted(data) => {
                let at = self.open_thinking();
                self.block(at, json!({"type": "redacted_thinking", "data": data}));
            }
            Event::ToolCall {
                index,
                id,
                name,
                signature,
            } => self.call(index, (id, name), signature),
            Event::Arguments { index, json } => self.arguments(index, &json),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Finish(finish) => self.finish = Some(finish),
        }
    }

    fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            self.told("response.created", Status::InProgress);
            self.told("response.in_progress", Status::InProgress);
        }
    }

    /// An event about the whole response.
    fn told(&mut self, name: &str, status: Status<'_>) {
        if self.is_silent {
            return;
        }
        let response = self.object(status);
        self.write(name, |out| {
            out.extend_from_slice(b",\"response\":");
            out.extend_from_slice(response.as_bytes());
        });
    }

    fn object(&self, status: Status<'_>) -> String {
        let ended = matches!(status, Status::Ended(_));
        let cut = self.finish.is_some_and(|finish| cut_by(finish).is_some());
        let word = if cut { "incomplete" } else { "completed" };
        let output: Vec<Value> = match status {
            Status::InProgress => Vec::new(),
            Status::Ended(_) | Status::Failed(..) => {
                let word = if ended { word } else { "incomplete" };
                self.items.iter().map(|item| item.shown(word)).collect()
            }
        };
        object((&self.head, &self.echo), status, &output, self.usage)
    }

    /// An event of this name; `rest` appends the fields after the first two.
    fn write(&mut self, name: &str, rest: impl FnOnce(&mut Vec<u8>)) {
        let mut data = Vec::with_capacity(256);
        data.extend_from_slice(b"{\"type\":");
        append(name, &mut data);
        data.extend_from_slice(b",\"sequence_number\":");
        append(&self.sequence, &mut data);
        self.sequence += 1;
        rest(&mut data);
        data.push(b'}');
        self.out.push(Written {
            name: name.to_owned(),
            data: Bytes::from(data),
        });
    }

    /// An event about one item, with `rest` (an object) beside its place.
    fn about(&mut self, name: &str, at: usize, rest: &Value) {
        if self.is_silent {
            return;
        }
        let item = self.items.get(at).filter(|_| rest.get("item").is_none());
        let id = item.map(|item| item.id().to_owned());
        self.write(name, |out| {
            out.extend_from_slice(b",\"output_index\":");
            append(&at, out);
            if let Some(id) = id {
                out.extend_from_slice(b",\"item_id\":");
                append(&id, out);
            }
            for (field, value) in rest.as_object().into_iter().flatten() {
                out.push(b',');
                append(field, out);
                out.push(b':');
                append(value, out);
            }
        });
    }

    /// Opens an item, closing what goes on; `None` when there are too many.
    fn add(&mut self, item: Item) -> Option<usize> {
        self.close_open();
        self.close_calls(is_whole);
        let at = self.items.len();
        if at >= MAX_ITEMS {
            return None;
        }
        let shown = item.shown("in_progress");
        self.items.push(item);
        self.about("response.output_item.added", at, &json!({"item": shown}));
        Some(at)
    }

    fn spoken(&mut self, is_refusal: bool, text: &str) {
        if text.is_empty() {
            return;
        }
        let at = match self.open {
            Some(at) if matches!(self.items[at], Item::Message { .. }) => Some(at),
            Some(_) | None => {
                let (id, parts) = (fresh("msg"), Vec::new());
                self.add(Item::Message { id, parts })
            }
        };
        let Some(at) = at else { return };
        self.open = Some(at);
        let Item::Message { parts, .. } = &self.items[at] else {
            return;
        };
        let goes_on = parts
            .last()
            .is_some_and(|part| part.is_refusal == is_refusal);
        if !goes_on {
            self.close_part(at);
            let part = Part {
                is_refusal,
                text: String::new(),
            };
            let place = self.place(at, &part);
            if let Item::Message { parts, .. } = &mut self.items[at] {
                parts.push(part);
            }
            self.about("response.content_part.added", at, &place);
        }
        let Item::Message { parts, .. } = &mut self.items[at] else {
            return;
        };
        let content_index = parts.len().saturating_sub(1);
        if let Some(part) = parts.last_mut() {
            part.text.push_str(text);
        }
        if is_refusal {
            let rest = json!({"content_index": content_index, "delta": text});
            self.about("response.refusal.delta", at, &rest);
        } else {
            let rest = json!({"content_index": content_index, "delta": text, "logprobs": []});
            self.about("response.output_text.delta", at, &rest);
        }
    }

    fn place(&self, at: usize, part: &Part) -> Value {
        let Item::Message { parts, .. } = &self.items[at] else {
            return Value::Null;
        };
        json!({"content_index": parts.len(), "part": part.shown()})
    }

    fn open_thinking(&mut self) -> Option<usize> {
        let at = match self.open {
            Some(at) if matches!(self.items[at], Item::Thinking { .. }) => Some(at),
            Some(_) | None => self.add(Item::Thinking {
                id: fresh("rs"),
                text: String::new(),
                blocks: Vec::new(),
                is_sealed: false,
            }),
        };
        self.open = at;
        at
    }

    fn thinking(&mut self, more: &str) {
        if more.is_empty() {
            return;
        }
        let Some(at) = self.open_thinking() else {
            return;
        };
        let Item::Thinking { text, blocks, .. } = &mut self.items[at] else {
            return;
        };
        let first = text.is_empty();
        text.push_str(more);
        match blocks.last_mut() {
            Some(block) if block["type"] == "thinking" && block.get("signature").is_none() => {
                if let Some(Value::String(so_far)) = block.get_mut("thinking") {
                    so_far.push_str(more);
                }
            }
            _ => blocks.push(json!({"type": "thinking", "thinking": more})),
        }
        if first {
            let rest = json!({"summary_index": 0, "part": summary("")});
            self.about("response.reasoning_summary_part.added", at, &rest);
        }
        let rest = json!({"summary_index": 0, "delta": more});
        self.about("response.reasoning_summary_text.delta", at, &rest);
    }

    fn sealed(&mut self, seal: &str) {
        let at = self.open_thinking();
        let Some(Item::Thinking {
            blocks, is_sealed, ..
        }) = at.and_then(|at| self.items.get_mut(at))
        else {
            return;
        };
        *is_sealed = true;
        match blocks.last_mut() {
            Some(block) if block["type"] == "thinking" && block.get("signature").is_none() => {
                block["signature"] = Value::from(seal);
            }
            _ => blocks.push(json!({"type": "thinking", "thinking": "", "signature": seal})),
        }
    }

    fn block(&mut self, at: Option<usize>, block: Value) {
        if let Some(Item::Thinking {
            blocks, is_sealed, ..
        }) = at.and_then(|at| self.items.get_mut(at))
        {
            *is_sealed = true;
            blocks.push(block);
        }
    }

    fn call(&mut self, index: u32, (call, name): (String, String), seal: Option<String>) {
        self.add(Item::Call {
            id: fresh("fc"),
            index,
            call,
            name,
            arguments: String::new(),
            seal,
            closed: false,
        });
    }

    fn arguments(&mut self, index: u32, more: &str) {
        let meant = |item: &Item| matches!(item, Item::Call { index: its, .. } if *its == index);
        let Some(at) = self.items.iter().position(meant) else {
            return;
        };
        let Item::Call {
            arguments, closed, ..
        } = &mut self.items[at]
        else {
            return;
        };
        if *closed {
            return; // nothing but blanks comes after a whole object
        }
        arguments.push_str(more);
        let rest = json!({"delta": more});
        self.about("response.function_call_arguments.delta", at, &rest);
    }

    fn close_open(&mut self) {
        if let Some(at) = self.open.take() {
            self.close(at);
        }
    }

    /// Ends the calls that go on and whose arguments are as `wanted`.
    fn close_calls(&mut self, wanted: fn(&str) -> bool) {
        for at in 0..self.items.len() {
            let Item::Call {
                arguments, closed, ..
            } = &mut self.items[at]
            else {
                continue;
            };
            if !*closed && wanted(arguments) {
                *closed = true;
                self.close(at);
            }
        }
    }

    fn close(&mut self, at: usize) {
        match &self.items[at] {
            Item::Message { .. } => self.close_part(at),
            Item::Thinking { text, .. } if text.is_empty() => {}
            Item::Thinking { text, .. } => {
                let done = json!({"summary_index": 0, "text": text});
                let part = json!({"summary_index": 0, "part": summary(text)});
                self.about("response.reasoning_summary_text.done", at, &done);
                self.about("response.reasoning_summary_part.done", at, &part);
            }
            Item::Call {
                name, arguments, ..
            } => {
                let done = json!({"name": name, "arguments": arguments});
                self.about("response.function_call_arguments.done", at, &done);
            }
        }
        let cut = self.finish.is_some_and(|finish| cut_by(finish).is_some());
        let item = self.items[at].shown(if cut { "incomplete" } else { "completed" });
        self.about("response.output_item.done", at, &json!({"item": item}));
    }

    /// Ends the message's last part, if it has one.
    fn close_part(&mut self, at: usize) {
        let Item::Message { parts, .. } = &self.items[at] else {
            return;
        };
        let Some(part) = parts.last() else { return };
        let (index, text) = (parts.len() - 1, part.text.as_str());
        let (name, done) = if part.is_refusal {
            let done = json!({"content_index": index, "refusal": text});
            ("response.refusal.done", done)
        } else {
            let done = json!({"content_index": index, "text": text, "logprobs": []});
            ("response.output_text.done", done)
        };
        let part = json!({"content_index": index, "part": part.shown()});
        self.about(name, at, &done);
        self.about("response.content_part.done", at, &part);
    }
}

/// Appends a value as JSON.
fn append<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // a string, a number or a JSON value into a Vec: nothing that can fail
    let _ = serde_json::to_writer(out, value);
}

/// A call's arguments are an object with nothing missing.
fn is_whole(arguments: &str) -> bool {
    // the ends first: one that goes on is asked about again at every item
    arguments.trim_start().starts_with('{')
        && arguments.trim_end().ends_with('}')
        && serde_json::from_str::<serde::de::IgnoredAny>(arguments).is_ok()
}
