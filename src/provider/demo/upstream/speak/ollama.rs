//! Ollama's native API: one JSON object a line, no role announcement, whole calls only, and one last
//! line with reason and counts.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Mark, Message, Reason, Refusal, Speak, object};
use crate::dialect::json::{Object, raw};
use crate::dialect::openai::ChatBody;
use crate::provider::demo::fault;
use crate::provider::demo::play::Step;
use crate::provider::demo::script::{Called, Script};
use crate::types::{Finish, Usage};

const CREATED_AT: &str = "2026-01-01T00:00:00Z";

/// One answer.
#[derive(Debug)]
pub(in super::super) struct Ollama {
    model: String,
    finish: Finish,
}

impl Ollama {
    pub(in super::super) fn new(model: String) -> Self {
        let finish = Finish::Stop;
        Ollama { model, finish }
    }

    fn line(&self, message: &Value) -> Bytes {
        let line = json!({"model": self.model, "created_at": CREATED_AT, "message": message,
            "done": false});
        self.framed(&line.to_string())
    }

    fn last(&self, message: &Value, finish: Finish, usage: Usage) -> Value {
        let reason = if finish == Finish::Length {
            "length"
        } else {
            "stop"
        };
        json!({
            "model": self.model, "created_at": CREATED_AT, "message": message, "done": true,
            "done_reason": reason, "total_duration": 1, "load_duration": 0,
            "prompt_eval_count": usage.prompt_tokens, "prompt_eval_duration": 0,
            "eval_count": usage.completion_tokens, "eval_duration": 0,
        })
    }
}

impl Speak for Ollama {
    fn stream_type(&self) -> &'static str {
        "application/x-ndjson"
    }

    fn step(&mut self, step: Step) -> Vec<Message> {
        let message = match step {
            Step::Role | Step::Signature(_) | Step::CallContinues(..) => return Vec::new(),
            Step::Thinking(word) => json!({"role": "assistant", "content": "", "thinking": word}),
            Step::Word(word) => json!({"role": "assistant", "content": word}),
            Step::CallBegins(index, call) => json!({"role": "assistant", "content": "",
                "tool_calls": [written(index, &call)]}),
            Step::Finish(reason) => {
                self.finish = reason;
                return Vec::new();
            }
            Step::Usage(usage) => {
                let nothing = json!({"role": "assistant", "content": ""});
                let last = self.last(&nothing, self.finish, usage).to_string();
                return vec![Message::new(Mark::Finish, self.framed(&last))];
            }
        };
        vec![Message::new(Mark::Part, self.line(&message))]
    }

    fn whole(&self, script: &Script) -> Value {
        let mut message = json!({"role": "assistant", "content": script.text});
        if let Some(thought) = &script.thought {
            message["thinking"] = Value::from(thought.text.as_str());
        }
        if !script.calls.is_empty() {
            let calls = (0..).zip(&script.calls);
            message["tool_calls"] = calls.map(|(index, call)| written(index, call)).collect();
        }
        self.last(&message, script.finish, script.usage)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        let message = match &refusal.reason {
            Reason::Told => {
                let given = object(&fault::error_body(refusal.status));
                return json!({"error": given["error"]["message"]});
            }
            Reason::ContextLength => "the input length exceeds the context length",
            Reason::Filter => "the prompt was refused",
            Reason::Bad(problem, _) => problem,
        };
        json!({"error": message})
    }

    fn heartbeat(&self) -> Bytes {
        self.line(&json!({"role": "assistant", "content": ""}))
    }

    fn framed(&self, text: &str) -> Bytes {
        Bytes::from(format!("{text}\n"))
    }
}

fn written(index: u32, call: &Called) -> Value {
    json!({"function": {"index": index, "name": call.name, "arguments": object(&call.arguments)}})
}

/// Ollama's body is near enough to OpenAI's once its limit and seed stand at the top.
pub(in super::super) fn read(body: &[u8]) -> Result<ChatBody, String> {
    let mut object = Object::parse(body).map_err(|bad| bad.to_string())?;
    let options: Object = object.read("options").unwrap_or_default();
    for (name, at_top) in [("num_predict", "max_tokens"), ("seed", "seed")] {
        if let Some(value) = options.read::<u64>(name) {
            object.set(at_top, raw(&value));
        }
    }
    ChatBody::from_object(object).map_err(|bad| bad.to_string())
}
