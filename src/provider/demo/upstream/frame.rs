//! Steps of an answer as bytes of a wire.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::openai::build::Head;
use crate::provider::demo::play::Step;
use crate::provider::demo::script::Script;
use crate::provider::demo::words;
use crate::provider::demo::{chunk, completion};
use crate::types::{Finish, Usage};

const CREATED_AT: &str = "2026-01-01T00:00:00Z";
const DONE: &[u8] = b"data: [DONE]\n\n";

/// How an answer is written down.
#[derive(Debug)]
pub(super) enum Frame {
    /// Server-sent events, with a usage chunk where it was asked for.
    OpenAi { head: Head, usage: bool },
    /// One JSON object a line.
    Ollama { model: String, finish: Finish },
}

impl Frame {
    /// The step's bytes; `None` where this wire says nothing.
    pub(super) fn step(&mut self, step: Step) -> Option<Bytes> {
        match self {
            Frame::OpenAi { usage: false, .. } if matches!(step, Step::Usage(_)) => {
                Some(Bytes::from_static(DONE))
            }
            Frame::OpenAi { head, .. } => {
                let last = matches!(step, Step::Usage(_));
                let mut event = event(&chunk(head, step).raw);
                if last {
                    event.extend_from_slice(DONE);
                }
                Some(event.into())
            }
            Frame::Ollama { model, finish } => ollama_line(model, finish, step),
        }
    }

    /// The whole answer at once.
    pub(super) fn whole(&self, script: &Script) -> Bytes {
        match self {
            Frame::OpenAi { head, .. } => completion(head, script).raw,
            Frame::Ollama { model, .. } => {
                let mut message = json!({"role": "assistant", "content": script.text});
                if let Some(call) = &script.call {
                    message["tool_calls"] = json!([ollama_call(&call.name, &call.arguments)]);
                }
                done_line(model, message, script.finish, script.usage)
            }
        }
    }

    /// An error body.
    pub(super) fn error(&self, openai: String) -> Bytes {
        match self {
            Frame::OpenAi { .. } => Bytes::from(openai),
            Frame::Ollama { .. } => {
                let given: Value = serde_json::from_str(&openai).unwrap_or_default();
                Bytes::from(json!({"error": given["error"]["message"]}).to_string())
            }
        }
    }

    pub(super) fn stream_type(&self) -> &'static str {
        match self {
            Frame::OpenAi { .. } => "text/event-stream",
            Frame::Ollama { .. } => "application/x-ndjson",
        }
    }
}

fn event(raw: &[u8]) -> Vec<u8> {
    let mut event = Vec::with_capacity(raw.len() + 8 + DONE.len());
    event.extend_from_slice(b"data: ");
    event.extend_from_slice(raw);
    event.extend_from_slice(b"\n\n");
    event
}

/// Ollama has no role announcement, whole calls only, and one last line with reason and counts.
fn ollama_line(model: &str, finish: &mut Finish, step: Step) -> Option<Bytes> {
    let message = match step {
        Step::Role | Step::CallContinues(_) => return None,
        Step::Word(word) => json!({"role": "assistant", "content": word}),
        Step::CallBegins(call) => json!({"role": "assistant", "content": "",
            "tool_calls": [ollama_call(&call.name, &call.arguments)]}),
        Step::Finish(reason) => {
            *finish = reason;
            return None;
        }
        Step::Usage(usage) => {
            let message = json!({"role": "assistant", "content": ""});
            return Some(done_line(model, message, *finish, usage));
        }
    };
    let line = json!({"model": model, "created_at": CREATED_AT, "message": message, "done": false});
    Some(Bytes::from(format!("{line}\n")))
}

fn ollama_call(name: &str, arguments: &str) -> Value {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    json!({"function": {"name": name, "arguments": arguments}})
}

fn done_line(model: &str, message: Value, finish: Finish, usage: Usage) -> Bytes {
    let reason = if finish == Finish::Length {
        "length"
    } else {
        "stop"
    };
    let line = json!({
        "model": model, "created_at": CREATED_AT, "message": message, "done": true,
        "done_reason": reason, "total_duration": 1, "load_duration": 0,
        "prompt_eval_count": usage.prompt_tokens, "prompt_eval_duration": 0,
        "eval_count": usage.completion_tokens, "eval_duration": 0,
    });
    Bytes::from(format!("{line}\n"))
}

/// An answer made before it is asked for.
#[derive(Debug)]
pub(super) struct Canned {
    pub(super) whole: Bytes,
    pub(super) streamed: Bytes,
}

impl Canned {
    pub(super) fn new(text: &str) -> Self {
        let count = words::count(text);
        let usage = Usage::new(count, count);
        let script = Script {
            text: text.to_owned(),
            call: None,
            finish: Finish::Stop,
            usage,
        };
        let head = Head::new("canned");
        let mut streamed = event(&head.role().raw);
        let mut start = 0;
        for end in words::ends(text) {
            streamed.extend(event(&head.text(&text[start..end]).raw));
            start = end;
        }
        streamed.extend(event(&head.finish(Finish::Stop).raw));
        streamed.extend(event(&head.usage(usage).raw));
        streamed.extend_from_slice(DONE);
        Canned {
            whole: completion(&head, &script).raw,
            streamed: streamed.into(),
        }
    }
}
