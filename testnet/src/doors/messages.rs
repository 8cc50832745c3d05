//! Anthropic Messages.

use serde_json::{Value, json};

use super::exchange::{self, Came, Event, count, events, post};
use super::{At, Ended, Heard, Question, schema};

pub(super) const PATH: &str = "/v1/messages";

pub(super) async fn ask(at: &At, question: &Question) -> Heard {
    let came = post(at, PATH, &body(question), question).await;
    if came.streamed {
        Reader::default().stream(came)
    } else {
        whole(came)
    }
}

pub(super) fn body(question: &Question) -> Value {
    let mut messages = vec![json!({"role": "user", "content": question.prompt})];
    if let Some((answer, results)) = &question.earlier {
        messages.push(json!({"role": "assistant", "content": answer.raw["content"]}));
        let results = answer.calls.iter().zip(results);
        let results: Vec<Value> = results
            .map(|(call, result)| {
                json!({"type": "tool_result", "tool_use_id": call.id, "content": result})
            })
            .collect();
        messages.push(json!({"role": "user", "content": results}));
    }
    let mut body = json!({"model": question.model, "max_tokens": 4000, "messages": messages,
        "stream": question.stream});
    if question.thinking {
        body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    }
    if question.tools > 0 {
        let tool = |name| json!({"name": name, "description": "asks", "input_schema": schema()});
        body["tools"] = question.tool_names().map(tool).collect();
    }
    body
}

fn ended(reason: &str) -> Option<Ended> {
    match reason {
        "end_turn" | "stop_sequence" => Some(Ended::Stop),
        "max_tokens" => Some(Ended::Length),
        "tool_use" => Some(Ended::Tools),
        "refusal" => Some(Ended::Filtered),
        _ => None,
    }
}

fn error(heard: &mut Heard, value: &Value) {
    let error = &value["error"];
    let told = value["type"] == "error" && error["type"].is_string();
    heard.must(told, || format!("not Anthropic's error: {value}"));
    let message = error["message"].as_str().unwrap_or("");
    heard.must(!message.is_empty(), || {
        format!("error without words: {value}")
    });
    heard.error = Some(format!("{message} ({})", error["type"]));
}

fn usage(heard: &mut Heard, usage: &Value) {
    let known = heard.usage.unwrap_or((0, 0));
    if usage.is_object() {
        let input = usage["input_tokens"].as_u64().unwrap_or(known.0);
        heard.usage = Some((input, count(usage, "output_tokens")));
    }
}

fn whole(came: Came) -> Heard {
    let mut heard = came.heard;
    let value = exchange::json(&mut heard, &came.body);
    if heard.status != 200 {
        if heard.status != 0 && value.is_object() {
            error(&mut heard, &value);
        }
        return heard;
    }
    let shaped = value["type"] == "message" && value["role"] == "assistant";
    heard.must(shaped, || "not a message".to_owned());
    for block in value["content"].as_array().into_iter().flatten() {
        match block["type"].as_str() {
            Some("text") => heard.text.push_str(block["text"].as_str().unwrap_or("")),
            Some("thinking") => {
                heard.must(block["signature"].is_string(), || {
                    "a thought without seal".to_owned()
                });
                heard
                    .thinking
                    .push_str(block["thinking"].as_str().unwrap_or(""));
            }
            Some("tool_use") => {
                heard.must(block["input"].is_object(), || {
                    "input is no object".to_owned()
                });
                let at = heard.calls.len();
                let call = heard.call(at);
                call.id = block["id"].as_str().unwrap_or("").to_owned();
                call.name = block["name"].as_str().unwrap_or("").to_owned();
                call.arguments = block["input"].to_string();
            }
            Some(_) | None => heard.wrong.push(format!("an unknown block: {block}")),
        }
    }
    heard.ended = value["stop_reason"].as_str().and_then(ended);
    usage(&mut heard, &value["usage"]);
    heard.raw = value;
    heard
}

/// Where a stream stands.
#[derive(Default)]
struct Reader {
    heard: Heard,
    started: bool,
    stopped: bool,
    /// Blocks begun so far; the last of them is open.
    blocks: u64,
    open: bool,
    kind: String,
}

impl Reader {
    fn stream(mut self, came: Came) -> Heard {
        self.heard = came.heard;
        for event in events(&came.body) {
            self.event(&event);
        }
        let (stopped, failed) = (self.stopped, self.heard.error.is_some());
        if !self.heard.hung {
            let ends = stopped != failed;
            self.heard.must(ends, || {
                "neither message_stop nor an error ends it".to_owned()
            });
        }
        if failed {
            self.heard.ended = None;
        }
        self.heard
    }

    fn event(&mut self, event: &Event) {
        let Some(value) = event.json() else {
            self.heard.wrong.push(format!("not JSON: {}", event.data));
            return;
        };
        let kind = value["type"].as_str().unwrap_or("").to_owned();
        let named = event.name.as_deref() == Some(kind.as_str());
        self.heard
            .must(named, || format!("named {:?}: {value}", event.name));
        let over = self.stopped || self.heard.error.is_some();
        self.heard.must(!over, || format!("after the end: {kind}"));
        let early = !self.started && !["message_start", "ping", "error"].contains(&kind.as_str());
        self.heard
            .must(!early, || format!("before message_start: {kind}"));
        match kind.as_str() {
            "ping" => {}
            "error" => error(&mut self.heard, &value),
            "message_start" => {
                let again = std::mem::replace(&mut self.started, true);
                self.heard
                    .must(!again, || "a second message_start".to_owned());
                usage(&mut self.heard, &value["message"]["usage"]);
            }
            "content_block_start" => self.begin(&value),
            "content_block_delta" => self.delta(&value),
            "content_block_stop" => {
                let known = self.open && value["index"] == self.blocks - 1;
                self.heard
                    .must(known, || format!("closes what is not open: {value}"));
                self.open = false;
            }
            "message_delta" => {
                let (open, again) = (self.open, self.heard.ended.is_some());
                self.heard
                    .must(!open, || "message_delta inside a block".to_owned());
                self.heard
                    .must(!again, || "a second message_delta".to_owned());
                self.heard.ended = value["delta"]["stop_reason"].as_str().and_then(ended);
                usage(&mut self.heard, &value["usage"]);
            }
            "message_stop" => self.stopped = true,
            _ => self.heard.wrong.push(format!("an unknown event: {value}")),
        }
    }

    fn begin(&mut self, value: &Value) {
        let fits = !self.open && value["index"] == self.blocks;
        self.heard
            .must(fits, || format!("a block out of turn: {value}"));
        (self.open, self.blocks) = (true, self.blocks + 1);
        let block = &value["content_block"];
        block["type"]
            .as_str()
            .unwrap_or("")
            .clone_into(&mut self.kind);
        if self.kind == "tool_use" {
            let at = self.heard.calls.len();
            let call = self.heard.call(at);
            call.id = block["id"].as_str().unwrap_or("").to_owned();
            call.name = block["name"].as_str().unwrap_or("").to_owned();
        }
    }

    fn delta(&mut self, value: &Value) {
        let fits = self.open && value["index"] == self.blocks.saturating_sub(1);
        self.heard
            .must(fits, || format!("a delta of what is not open: {value}"));
        let delta = &value["delta"];
        let text = |name: &str| delta[name].as_str().unwrap_or("").to_owned();
        let kind = delta["type"].as_str().unwrap_or("");
        let wanted = match kind {
            "text_delta" => "text",
            "input_json_delta" => "tool_use",
            "thinking_delta" | "signature_delta" => "thinking",
            _ => "",
        };
        let held = self.kind == wanted;
        self.heard.must(held, || format!("{kind} in another block"));
        match kind {
            "text_delta" => self.heard.text.push_str(&text("text")),
            "thinking_delta" => self.heard.thinking.push_str(&text("thinking")),
            "input_json_delta" => {
                let at = self.heard.calls.len().saturating_sub(1);
                self.heard
                    .call(at)
                    .arguments
                    .push_str(&text("partial_json"));
            }
            _ => {}
        }
    }
}
