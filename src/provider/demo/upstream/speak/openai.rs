//! OpenAI Chat Completions, and the same as Azure speaks it.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Mark, Message, Reason, Refusal, Speak, data};
use crate::dialect::openai::build::Head;
use crate::provider::demo::play::Step;
use crate::provider::demo::script::Script;
use crate::provider::demo::{chunk, completion, fault, words};
use crate::types::{Finish, Usage};

const DONE: &[u8] = b"data: [DONE]\n\n";

/// One answer.
#[derive(Debug)]
pub(in super::super) struct OpenAi {
    pub(in super::super) head: Head,
    /// The client asked for usage in the stream.
    pub(in super::super) usage: bool,
    /// With the additions of Azure's filters.
    pub(in super::super) azure: bool,
}

impl Speak for OpenAi {
    fn step(&mut self, step: Step) -> Vec<Message> {
        let mark = match &step {
            Step::Role | Step::Usage(_) => Mark::Frame,
            Step::Thinking(_)
            | Step::Signature(_)
            | Step::Word(_)
            | Step::CallBegins(..)
            | Step::CallContinues(..) => Mark::Part,
            Step::Finish(_) => Mark::Finish,
        };
        let (first, last) = (step == Step::Role, matches!(step, Step::Usage(_)));
        let mut messages = Vec::new();
        if first && self.azure {
            let filters = json!({"id": "", "object": "", "created": 0, "model": "", "choices": [],
                "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]});
            messages.push(Message::new(Mark::Frame, data(&filters.to_string())));
        }
        if self.usage || !last {
            let raw = chunk(&self.head, step).raw;
            messages.push(Message::new(mark, framed(&raw)));
        }
        if last {
            messages.push(Message::new(Mark::End, Bytes::from_static(DONE)));
        }
        messages
    }

    fn whole(&self, script: &Script) -> Value {
        serde_json::from_slice(&completion(&self.head, script).raw).unwrap_or_default()
    }

    fn error(&self, refusal: &Refusal) -> Value {
        error(refusal)
    }

    fn heartbeat(&self) -> Bytes {
        let head = &self.head;
        let empty = json!({"id": head.id, "object": "chat.completion.chunk",
            "created": head.created, "model": head.model, "choices": []});
        data(&empty.to_string())
    }
}

/// The error object of Chat Completions and Responses alike.
pub(super) fn error(refusal: &Refusal) -> Value {
    let (message, kind, code) = match &refusal.reason {
        Reason::Told => {
            return serde_json::from_str(&fault::error_body(refusal.status)).unwrap_or_default();
        }
        Reason::ContextLength => (
            "This model's maximum context length is 8192 tokens, and the messages have more.",
            Some("invalid_request_error"),
            Some("context_length_exceeded"),
        ),
        Reason::Filter => (
            "The response was filtered due to the prompt triggering the content policy.",
            None,
            Some("content_filter"),
        ),
        Reason::Bad(problem, _) => (problem.as_str(), Some("invalid_request_error"), None),
    };
    let param = match &refusal.reason {
        Reason::Told => None,
        Reason::Bad(_, param) => *param,
        Reason::ContextLength => Some("messages"),
        Reason::Filter => Some("prompt"),
    };
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}

fn framed(raw: &[u8]) -> Vec<u8> {
    [b"data: ", raw, b"\n\n"].concat()
}

/// An answer made before it is asked for.
#[derive(Debug)]
pub(in super::super) struct Canned {
    pub(in super::super) whole: Bytes,
    pub(in super::super) streamed: Bytes,
}

impl Canned {
    pub(in super::super) fn new(text: &str) -> Self {
        let count = words::count(text);
        let usage = Usage::new(count, count);
        let script = Script {
            thought: None,
            text: text.to_owned(),
            calls: Vec::new(),
            finish: Finish::Stop,
            usage,
        };
        let head = Head::new("canned");
        let mut streamed = framed(&head.role().raw);
        let mut start = 0;
        for end in words::ends(text) {
            streamed.extend(framed(&head.text(&text[start..end]).raw));
            start = end;
        }
        streamed.extend(framed(&head.finish(Finish::Stop).raw));
        streamed.extend(framed(&head.usage(usage).raw));
        streamed.extend_from_slice(DONE);
        Canned {
            whole: completion(&head, &script).raw,
            streamed: streamed.into(),
        }
    }
}
