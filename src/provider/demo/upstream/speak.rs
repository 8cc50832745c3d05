//! Steps of an answer, and errors, as each dialect writes them down.

pub(super) mod anthropic;
pub(super) mod gemini;
pub(super) mod ollama;
pub(super) mod openai;
pub(super) mod responses;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::openai::BadRequest;
use crate::provider::demo::play::Step;
use crate::provider::demo::script::Script;
use crate::provider::demo::trouble::Wait;

/// One message of a stream, framed for the wire.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) bytes: Bytes,
    pub(super) mark: Mark,
}

/// What a message is to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Around the answer: it begins, a block begins or ends.
    Frame,
    /// A part of the answer.
    Part,
    /// Why it ended.
    Finish,
    /// The mark that ends a stream.
    End,
}

impl Message {
    pub(super) fn new(mark: Mark, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Message { bytes, mark }
    }
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) reason: Reason,
    pub(super) wait: Wait,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It was told to refuse.
    Told,
    /// The prompt is too long.
    ContextLength,
    /// A filter does not like the prompt.
    Filter,
    /// The request breaks a rule of the dialect, in this field where one can be named.
    Bad(String, Option<&'static str>),
}

impl Refusal {
    pub(super) fn new(status: u16, reason: Reason) -> Self {
        let wait = Wait::Unsaid;
        Refusal {
            status,
            reason,
            wait,
        }
    }

    pub(super) fn bad(problem: impl Into<String>) -> Self {
        Refusal::new(400, Reason::Bad(problem.into(), None))
    }
}

impl From<BadRequest> for Refusal {
    fn from(bad: BadRequest) -> Self {
        Refusal::new(400, Reason::Bad(bad.to_string(), bad.param()))
    }
}

impl From<String> for Refusal {
    fn from(problem: String) -> Self {
        Refusal::bad(problem)
    }
}

/// One dialect, for the length of one answer.
pub(super) trait Speak: Send + Sync + 'static {
    /// The answer that will be given.
    fn begin(&mut self, _script: &Script) {}

    /// What a stream is labelled as.
    fn stream_type(&self) -> &'static str {
        "text/event-stream"
    }

    /// The messages of one step.
    fn step(&mut self, step: Step) -> Vec<Message>;

    /// The whole answer at once.
    fn whole(&self, script: &Script) -> Value;

    /// An error's body.
    fn error(&self, refusal: &Refusal) -> Value;

    /// An error's name, where it is not in its body alone.
    fn header(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// An error as a message of a stream.
    fn error_message(&self, refusal: &Refusal) -> Bytes {
        self.framed(&self.error(refusal).to_string())
    }

    /// How a filter refuses a prompt under status 200, where it does.
    fn refused(&self) -> Option<Value> {
        None
    }

    /// A message that says nothing.
    fn heartbeat(&self) -> Bytes;

    /// A text as a message of its stream.
    fn framed(&self, text: &str) -> Bytes {
        data(text)
    }
}

/// A server-sent event without a name.
fn data(text: &str) -> Bytes {
    Bytes::from(format!("data: {text}\n\n"))
}

/// A server-sent event with a name.
fn event(name: &str, value: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {value}\n\n"))
}

/// JSON from a script's own text.
fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!({}))
}

/// An id that differs from one answer to the next.
fn id(prefix: &str) -> String {
    format!("{prefix}{}", uuid::Uuid::now_v7().simple())
}

/// The text of a content that is a string, or parts with texts in them.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<&str>>().join("\n")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}
