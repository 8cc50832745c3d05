//! Gemini: every message a whole `GenerateContentResponse`, calls in one piece and without ids, no
//! mark at a stream's end.

mod read;

use bytes::Bytes;
use serde_json::{Value, json};

pub(in super::super) use self::read::read;
use super::{Mark, Message, Reason, Refusal, Speak, data, id, object};
use crate::provider::demo::play::Step;
use crate::provider::demo::script::{Called, Script};
use crate::provider::demo::trouble::Wait;
use crate::types::{Finish, Usage};

/// One answer.
#[derive(Debug)]
pub(in super::super) struct Gemini {
    id: String,
    model: String,
    prompt_tokens: u64,
    /// A seal on its way to the next part.
    seal: Option<String>,
    finish: Finish,
}

impl Gemini {
    pub(in super::super) fn new(model: String) -> Self {
        Gemini {
            id: id(""),
            model,
            prompt_tokens: 0,
            seal: None,
            finish: Finish::Stop,
        }
    }

    fn answer(&self, parts: &[Value], finish: Option<Finish>, usage: Usage) -> Value {
        let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
        if let Some(finish) = finish {
            candidate["finishReason"] = Value::from(finish_reason(finish));
        }
        json!({"candidates": [candidate], "usageMetadata": counted(usage),
               "modelVersion": self.model, "responseId": self.id})
    }

    fn part(&mut self, mut part: Value) -> Message {
        if let Some(seal) = self.seal.take() {
            part["thoughtSignature"] = Value::from(seal);
        }
        let usage = Usage::new(self.prompt_tokens, 0);
        let answer = self.answer(&[part], None, usage);
        Message::new(Mark::Part, data(&answer.to_string()))
    }
}

impl Speak for Gemini {
    fn begin(&mut self, script: &Script) {
        self.prompt_tokens = script.usage.prompt_tokens;
    }

    fn step(&mut self, step: Step) -> Vec<Message> {
        match step {
            Step::Role | Step::CallContinues(..) => Vec::new(),
            Step::Thinking(word) => vec![self.part(json!({"text": word, "thought": true}))],
            Step::Signature(seal) => {
                self.seal = Some(seal);
                Vec::new()
            }
            Step::Word(word) => vec![self.part(json!({"text": word}))],
            Step::CallBegins(_, called) => vec![self.part(call(&called))],
            Step::Finish(finish) => {
                self.finish = finish;
                Vec::new()
            }
            Step::Usage(usage) => {
                let last = self.answer(&[json!({"text": ""})], Some(self.finish), usage);
                vec![Message::new(Mark::Finish, data(&last.to_string()))]
            }
        }
    }

    fn whole(&self, script: &Script) -> Value {
        let mut parts = Vec::new();
        let thought = script.thought.as_ref();
        parts.extend(thought.map(|thought| json!({"text": thought.text, "thought": true})));
        if !script.text.is_empty() {
            parts.push(json!({"text": script.text}));
        }
        parts.extend(script.calls.iter().map(call));
        if let Some(thought) = thought
            && let Some(first) = parts.get_mut(1)
        {
            first["thoughtSignature"] = Value::from(thought.signature.as_str());
        }
        self.answer(&parts, Some(script.finish), script.usage)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        let message = match &refusal.reason {
            Reason::Told => "the demo provider was told to fail",
            Reason::ContextLength => {
                "The input token count (9000) exceeds the maximum number of tokens allowed (8192)."
            }
            Reason::Filter => "the prompt was refused",
            Reason::Bad(problem, _) => problem,
        };
        let mut error = json!({"code": refusal.status, "message": message,
            "status": status_word(refusal.status)});
        if let Wait::Body(seconds) = refusal.wait {
            error["details"] = json!([
                {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
                 "violations": [{"quotaMetric": "requests", "quotaId": "per-minute"}]},
                {"@type": "type.googleapis.com/google.rpc.RetryInfo",
                 "retryDelay": format!("{seconds}s")},
            ]);
        }
        json!({"error": error})
    }

    fn refused(&self) -> Option<Value> {
        Some(
            json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            "usageMetadata": counted(Usage::new(self.prompt_tokens, 0)),
            "modelVersion": self.model, "responseId": self.id}),
        )
    }

    fn heartbeat(&self) -> Bytes {
        let usage = counted(Usage::new(self.prompt_tokens, 0));
        let nothing = json!({"usageMetadata": usage, "modelVersion": self.model,
            "responseId": self.id});
        data(&nothing.to_string())
    }
}

fn call(called: &Called) -> Value {
    json!({"functionCall": {"name": called.name, "args": object(&called.arguments)}})
}

fn counted(usage: Usage) -> Value {
    let said = usage
        .completion_tokens
        .saturating_sub(usage.reasoning_tokens);
    let mut counted = json!({"promptTokenCount": usage.prompt_tokens,
        "candidatesTokenCount": said, "totalTokenCount": usage.total_tokens});
    if usage.reasoning_tokens > 0 {
        counted["thoughtsTokenCount"] = Value::from(usage.reasoning_tokens);
    }
    counted
}

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::ToolCalls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::ContentFilter => "SAFETY",
        Finish::Other => "OTHER",
    }
}

fn status_word(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        400..=499 => "INVALID_ARGUMENT",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}
