//! Anthropic Messages: named events, blocks that open and close, and a strict reader of requests.

mod read;

use bytes::Bytes;
use serde_json::{Value, json};

pub(in super::super) use self::read::read;
use super::{Mark, Message, Reason, Refusal, Speak, event, id, object};
use crate::provider::demo::play::Step;
use crate::provider::demo::script::Script;
use crate::types::{Finish, Usage};

/// One answer.
#[derive(Debug)]
pub(in super::super) struct Anthropic {
    id: String,
    model: String,
    prompt_tokens: u64,
    /// The block under way, by its `type`.
    open: Option<&'static str>,
    /// Blocks begun so far.
    blocks: u64,
    finish: Finish,
}

impl Anthropic {
    pub(in super::super) fn new(model: String) -> Self {
        Anthropic {
            id: id("msg_"),
            model,
            prompt_tokens: 0,
            open: None,
            blocks: 0,
            finish: Finish::Stop,
        }
    }

    fn message(&self, content: &Value, stop: Option<Finish>, usage: Usage) -> Value {
        json!({"id": self.id, "type": "message", "role": "assistant", "model": self.model,
            "content": content, "stop_reason": stop.map(stop_reason), "stop_sequence": null,
            "usage": {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens,
                      "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}})
    }

    /// Makes `kind` the block under way, closing another one first.
    fn block(&mut self, kind: &'static str, start: &Value, said: &mut Vec<Message>) {
        if self.open == Some(kind) && kind != "tool_use" {
            return;
        }
        self.close(said);
        let begun = json!({"type": "content_block_start", "index": self.blocks,
            "content_block": start});
        said.push(Message::new(
            Mark::Frame,
            event("content_block_start", &begun),
        ));
        self.open = Some(kind);
        self.blocks += 1;
    }

    fn close(&mut self, said: &mut Vec<Message>) {
        if self.open.take().is_some() {
            let stop = json!({"type": "content_block_stop", "index": self.blocks - 1});
            said.push(Message::new(
                Mark::Frame,
                event("content_block_stop", &stop),
            ));
        }
    }

    fn delta(&self, delta: &Value) -> Message {
        let index = self.blocks.saturating_sub(1);
        let delta = json!({"type": "content_block_delta", "index": index, "delta": delta});
        Message::new(Mark::Part, event("content_block_delta", &delta))
    }

    fn end(&self, usage: Usage) -> [Message; 2] {
        let last = json!({"type": "message_delta",
            "delta": {"stop_reason": stop_reason(self.finish), "stop_sequence": null},
            "usage": {"input_tokens": usage.prompt_tokens,
                      "output_tokens": usage.completion_tokens}});
        let stop = json!({"type": "message_stop"});
        [
            Message::new(Mark::Finish, event("message_delta", &last)),
            Message::new(Mark::End, event("message_stop", &stop)),
        ]
    }
}

impl Speak for Anthropic {
    fn begin(&mut self, script: &Script) {
        self.prompt_tokens = script.usage.prompt_tokens;
    }

    fn step(&mut self, step: Step) -> Vec<Message> {
        let mut said = Vec::new();
        match step {
            Step::Role => {
                let message = self.message(&json!([]), None, Usage::new(self.prompt_tokens, 1));
                let start = json!({"type": "message_start", "message": message});
                said.push(Message::new(Mark::Frame, event("message_start", &start)));
                let ping = event("ping", &json!({"type": "ping"}));
                said.push(Message::new(Mark::Frame, ping));
            }
            Step::Thinking(word) => {
                let start = json!({"type": "thinking", "thinking": "", "signature": ""});
                self.block("thinking", &start, &mut said);
                said.push(self.delta(&json!({"type": "thinking_delta", "thinking": word})));
            }
            Step::Signature(seal) => {
                said.push(self.delta(&json!({"type": "signature_delta", "signature": seal})));
            }
            Step::Word(word) => {
                self.block("text", &json!({"type": "text", "text": ""}), &mut said);
                said.push(self.delta(&json!({"type": "text_delta", "text": word})));
            }
            Step::CallBegins(_, call) => {
                let start =
                    json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}});
                self.block("tool_use", &start, &mut said);
                said.push(self.delta(&json!({"type": "input_json_delta", "partial_json": ""})));
            }
            Step::CallContinues(_, part) => {
                said.push(self.delta(&json!({"type": "input_json_delta", "partial_json": part})));
            }
            Step::Finish(finish) => {
                self.finish = finish;
                self.close(&mut said);
            }
            Step::Usage(usage) => said.extend(self.end(usage)),
        }
        said
    }

    fn whole(&self, script: &Script) -> Value {
        let mut content = Vec::new();
        content.extend(script.thought.as_ref().map(|thought| {
            json!({"type": "thinking", "thinking": thought.text, "signature": thought.signature})
        }));
        if !script.text.is_empty() || script.calls.is_empty() {
            content.push(json!({"type": "text", "text": script.text}));
        }
        content.extend(script.calls.iter().map(|call| {
            json!({"type": "tool_use", "id": call.id, "name": call.name,
                   "input": object(&call.arguments)})
        }));
        self.message(&Value::Array(content), Some(script.finish), script.usage)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        let message = match &refusal.reason {
            Reason::Told => "the demo provider was told to fail",
            Reason::ContextLength => "prompt is too long: 200001 tokens > 200000 maximum",
            Reason::Filter => "Output blocked by content filtering policy",
            Reason::Bad(problem, _) => problem,
        };
        json!({"type": "error", "request_id": REQUEST_ID,
               "error": {"type": error_type(refusal.status), "message": message}})
    }

    fn header(&self) -> Option<(&'static str, &'static str)> {
        Some(("request-id", REQUEST_ID))
    }

    fn error_message(&self, refusal: &Refusal) -> Bytes {
        event("error", &self.error(refusal))
    }

    fn heartbeat(&self) -> Bytes {
        event("ping", &json!({"type": "ping"}))
    }

    fn framed(&self, text: &str) -> Bytes {
        Bytes::from(format!("event: content_block_delta\ndata: {text}\n\n"))
    }
}

const REQUEST_ID: &str = "req_demo";

fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Other => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter => "refusal",
    }
}

fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        _ => "api_error",
    }
}
