//! OpenAI Responses: items and parts that open and close, every event numbered.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Mark, Message, Refusal, Speak, event, id, openai, text_of};
use crate::dialect::openai::ChatBody;
use crate::provider::demo::play::Step;
use crate::provider::demo::script::{Called, Script};
use crate::types::{Finish, Usage};

/// One answer.
#[derive(Debug)]
pub(in super::super) struct Responses {
    id: String,
    model: String,
    number: u64,
    script: Option<Script>,
    /// Items finished so far, and the one under way.
    done: Vec<Value>,
    open: Option<Open>,
}

#[derive(Debug)]
enum Open {
    Text { id: String, text: String },
    Call { id: String, called: Called },
}

impl Responses {
    pub(in super::super) fn new(model: String) -> Self {
        Responses {
            id: id("resp_"),
            model,
            number: 0,
            script: None,
            done: Vec::new(),
            open: None,
        }
    }

    fn response(&self, status: &str, output: &[Value], usage: Option<Usage>) -> Value {
        let usage = usage.map(|usage| {
            json!({"input_tokens": usage.prompt_tokens, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": usage.completion_tokens, "total_tokens": usage.total_tokens,
                "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens}})
        });
        json!({"id": self.id, "object": "response", "created_at": 1_700_000_000, "status": status,
            "model": self.model, "output": output, "usage": usage, "error": null,
            "incomplete_details": null, "instructions": null, "metadata": {}, "tools": [],
            "parallel_tool_calls": true, "tool_choice": "auto", "temperature": null, "top_p": null})
    }

    fn finished(&self, finish: Finish, output: &[Value], usage: Usage) -> Value {
        let reason = match finish {
            Finish::Length => Some("max_output_tokens"),
            Finish::ContentFilter => Some("content_filter"),
            Finish::Stop | Finish::ToolCalls | Finish::Other => None,
        };
        let status = reason.map_or("completed", |_| "incomplete");
        let mut response = self.response(status, output, Some(usage));
        if let Some(reason) = reason {
            response["incomplete_details"] = json!({"reason": reason});
        }
        response
    }

    fn event(&mut self, mark: Mark, name: &str, mut value: Value) -> Message {
        value["type"] = Value::from(name);
        value["sequence_number"] = Value::from(self.number);
        self.number += 1;
        Message::new(mark, event(name, &value))
    }

    fn at(&self) -> usize {
        self.done.len()
    }

    fn open(&mut self, open: Open, said: &mut Vec<Message>) {
        self.close(said);
        let at = self.at();
        let added = json!({"output_index": at, "item": item(&open, false)});
        said.push(self.event(Mark::Frame, "response.output_item.added", added));
        if let Open::Text { id, .. } = &open {
            let part = json!({"item_id": id, "output_index": at, "content_index": 0,
                "part": {"type": "output_text", "text": "", "annotations": []}});
            said.push(self.event(Mark::Frame, "response.content_part.added", part));
        }
        self.open = Some(open);
    }

    fn close(&mut self, said: &mut Vec<Message>) {
        let Some(open) = self.open.take() else {
            return;
        };
        let at = self.at();
        match &open {
            Open::Text { id, text } => {
                let done = json!({"item_id": id, "output_index": at, "content_index": 0,
                    "text": text, "logprobs": []});
                said.push(self.event(Mark::Frame, "response.output_text.done", done));
                let part = json!({"item_id": id, "output_index": at, "content_index": 0,
                    "part": {"type": "output_text", "text": text, "annotations": []}});
                said.push(self.event(Mark::Frame, "response.content_part.done", part));
            }
            Open::Call { id, called } => {
                let done = json!({"item_id": id, "output_index": at, "name": called.name,
                    "arguments": called.arguments});
                let name = "response.function_call_arguments.done";
                said.push(self.event(Mark::Frame, name, done));
            }
        }
        let whole = item(&open, true);
        let done = json!({"output_index": at, "item": whole});
        said.push(self.event(Mark::Frame, "response.output_item.done", done));
        self.done.push(whole);
    }

    fn word(&mut self, word: String, said: &mut Vec<Message>) {
        if !matches!(self.open, Some(Open::Text { .. })) {
            let (id, text) = (id("msg_"), String::new());
            self.open(Open::Text { id, text }, said);
        }
        let at = self.at();
        let Some(Open::Text { id, text }) = &mut self.open else {
            return;
        };
        text.push_str(&word);
        let delta = json!({"item_id": id, "output_index": at, "content_index": 0,
            "delta": word, "logprobs": []});
        said.push(self.event(Mark::Part, "response.output_text.delta", delta));
    }
}

/// An item as it stands when it begins, or when it is whole.
fn item(open: &Open, whole: bool) -> Value {
    let status = if whole { "completed" } else { "in_progress" };
    match open {
        Open::Text { id, text } => {
            let part = json!({"type": "output_text", "text": text, "annotations": []});
            let content: Vec<Value> = whole.then_some(part).into_iter().collect();
            json!({"id": id, "type": "message", "role": "assistant", "status": status,
                   "content": content})
        }
        Open::Call { id, called } => {
            let arguments = if whole { called.arguments.as_str() } else { "" };
            json!({"id": id, "type": "function_call", "call_id": called.id, "name": called.name,
                   "arguments": arguments, "status": status})
        }
    }
}

impl Speak for Responses {
    fn begin(&mut self, script: &Script) {
        self.script = Some(script.clone());
    }

    fn step(&mut self, step: Step) -> Vec<Message> {
        let mut said = Vec::new();
        match step {
            Step::Role => {
                let response = json!({"response": self.response("in_progress", &[], None)});
                said.push(self.event(Mark::Frame, "response.created", response.clone()));
                said.push(self.event(Mark::Frame, "response.in_progress", response));
            }
            // thoughts stay inside, as OpenAI keeps them
            Step::Thinking(_) | Step::Signature(_) => {}
            Step::Word(word) => self.word(word, &mut said),
            Step::CallBegins(_, called) => {
                let id = id("fc_");
                self.open(Open::Call { id, called }, &mut said);
            }
            Step::CallContinues(_, part) => {
                if let Some(Open::Call { id, .. }) = &self.open {
                    let delta = json!({"item_id": id, "output_index": self.at(), "delta": part});
                    let name = "response.function_call_arguments.delta";
                    said.push(self.event(Mark::Part, name, delta));
                }
            }
            Step::Finish(_) => self.close(&mut said),
            Step::Usage(usage) => {
                let finish = self.script.as_ref().map_or(Finish::Stop, |s| s.finish);
                let response = self.finished(finish, &self.done, usage);
                let name = match response["status"].as_str() {
                    Some("incomplete") => "response.incomplete",
                    Some(_) | None => "response.completed",
                };
                said.push(self.event(Mark::Finish, name, json!({"response": response})));
            }
        }
        said
    }

    fn whole(&self, script: &Script) -> Value {
        let mut output = Vec::new();
        if !script.text.is_empty() || script.calls.is_empty() {
            let (id, text) = (id("msg_"), script.text.clone());
            output.push(item(&Open::Text { id, text }, true));
        }
        output.extend(script.calls.iter().map(|called| {
            let (id, called) = (id("fc_"), called.clone());
            item(&Open::Call { id, called }, true)
        }));
        self.finished(script.finish, &output, script.usage)
    }

    fn error(&self, refusal: &Refusal) -> Value {
        openai::error(refusal)
    }

    fn error_message(&self, refusal: &Refusal) -> Bytes {
        let error = &self.error(refusal)["error"];
        event(
            "error",
            &json!({"type": "error", "sequence_number": self.number,
                "code": error["code"], "message": error["message"], "param": null}),
        )
    }

    fn heartbeat(&self) -> Bytes {
        Bytes::from_static(b": keep-alive\n\n")
    }
}

/// The request as a chat, or what is wrong with it.
pub(in super::super) fn read(body: &[u8]) -> Result<ChatBody, String> {
    let given: Map<String, Value> = serde_json::from_slice(body).map_err(|bad| bad.to_string())?;
    let mut list = Vec::new();
    if let Some(instructions) = given.get("instructions").and_then(Value::as_str) {
        list.push(json!({"role": "system", "content": instructions}));
    }
    match given.get("input") {
        Some(Value::String(text)) => list.push(json!({"role": "user", "content": text})),
        Some(Value::Array(items)) => {
            for item in items {
                list.extend(read_item(item)?);
            }
        }
        Some(_) | None => return Err("Missing required parameter: 'input'.".to_owned()),
    }
    let mut chat = json!({"model": given.get("model"), "messages": list});
    for (theirs, ours) in [("max_output_tokens", "max_tokens"), ("stream", "stream")] {
        if let Some(value) = given.get(theirs) {
            chat[ours] = value.clone();
        }
    }
    let tools = given.get("tools").and_then(Value::as_array);
    let functions = tools
        .into_iter()
        .flatten()
        .filter(|tool| tool["type"] == "function");
    let functions: Vec<Value> = functions
        .map(|tool| {
            json!({"type": "function", "function":
                {"name": tool["name"], "parameters": tool["parameters"]}})
        })
        .collect();
    if !functions.is_empty() {
        chat["tools"] = Value::Array(functions);
    }
    chat["tool_choice"] = match given.get("tool_choice") {
        Some(Value::Object(choice)) => {
            json!({"type": "function", "function": {"name": choice.get("name")}})
        }
        Some(choice) => choice.clone(),
        None => json!("auto"),
    };
    ChatBody::parse(chat.to_string().as_bytes()).map_err(|bad| bad.to_string())
}

fn read_item(item: &Value) -> Result<Option<Value>, String> {
    match item["type"].as_str() {
        None | Some("message") => {
            let role = item["role"].as_str().unwrap_or("user");
            Ok(Some(
                json!({"role": role, "content": text_of(&item["content"])}),
            ))
        }
        Some("function_call") => {
            let call = json!({"id": item["call_id"], "type": "function",
                "function": {"name": item["name"], "arguments": item["arguments"]}});
            Ok(Some(
                json!({"role": "assistant", "content": null, "tool_calls": [call]}),
            ))
        }
        Some("function_call_output") => {
            let text = text_of(&item["output"]);
            let id = &item["call_id"];
            Ok(Some(
                json!({"role": "tool", "tool_call_id": id, "content": text}),
            ))
        }
        Some("reasoning") => Ok(None),
        Some(other) => Err(format!(
            "Invalid value: '{other}' for an input item's type."
        )),
    }
}
