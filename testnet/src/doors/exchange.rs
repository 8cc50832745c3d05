//! POST and read to the end, under one limit; streams as events with their names.

use http::Method;
use serde_json::Value;
use tokio::time::timeout;

use super::{At, Heard, Question};

/// A body as it came, with what is known of it.
pub(super) struct Came {
    pub(super) heard: Heard,
    pub(super) body: String,
    /// It is a stream of events.
    pub(super) streamed: bool,
}

/// One event.
pub(super) struct Event {
    pub(super) name: Option<String>,
    pub(super) data: String,
}

impl Event {
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.data).ok()
    }
}

/// Posts `body` to `path`.
pub(super) async fn post(at: &At, path: &str, body: &Value, question: &Question) -> Came {
    let mut came = Came {
        heard: Heard::default(),
        body: String::new(),
        streamed: false,
    };
    let read = read(at, path, (body, question.cached), &mut came);
    if timeout(question.limit, read).await.is_err() {
        came.heard.hung = true;
    }
    let streams = question.stream && came.heard.status == 200;
    if streams && !came.streamed {
        came.heard
            .wrong
            .push("a stream was asked for, and none came".to_owned());
    }
    came
}

async fn read(at: &At, path: &str, (body, cached): (&Value, bool), came: &mut Came) {
    let request = at
        .http
        .request(Method::POST, path)
        .header("x-llm-router-cache", if cached { "on" } else { "off" })
        .header("anthropic-version", "2023-06-01")
        .json(body);
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => {
            came.heard.unsent = error.is_connect();
            came.heard.wrong.push(format!("no answer: {error:?}"));
            return;
        }
    };
    let header = |name: &str| {
        let value = response.headers().get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
            .to_owned()
    };
    came.heard.status = response.status().as_u16();
    came.heard.answered_by = header("x-llm-router-model");
    came.heard.attempts = header("x-llm-router-attempts").parse().ok();
    came.heard.cache = header("x-llm-router-cache");
    came.heard.entry = header("x-llm-router-cache-entry");
    came.streamed = header("content-type").starts_with("text/event-stream");
    if header("x-request-id").is_empty() {
        came.heard.wrong.push("no x-request-id".to_owned());
    }
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            Ok(None) => break,
            Err(error) => {
                came.heard
                    .wrong
                    .push(format!("the answer broke off: {error:?}"));
                break;
            }
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => {
            came.heard.recovered_by = note(&text, "x-llm-router-recovered");
            came.body = text;
        }
        Err(_) => came.heard.wrong.push("the answer is not UTF-8".to_owned()),
    }
}

/// What a comment of a stream says under a header's name.
fn note(text: &str, name: &str) -> Option<String> {
    let notes = text.lines().filter_map(|line| line.strip_prefix(": "));
    let mut named = notes.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    named.next().map(str::to_owned)
}

/// A stream's events; comments are left out.
pub(super) fn events(text: &str) -> Vec<Event> {
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    let read = |block: &str| {
        let mut name = None;
        let mut data: Vec<&str> = Vec::new();
        for line in block.lines() {
            if let Some(value) = line.strip_prefix("event:") {
                name = Some(value.trim().to_owned());
            } else if let Some(value) = line.strip_prefix("data:") {
                data.push(value.strip_prefix(' ').unwrap_or(value));
            }
        }
        let data = (!data.is_empty()).then(|| data.join("\n"))?;
        Some(Event { name, data })
    };
    blocks.filter_map(read).collect()
}

/// Reads OpenAI's error object, in a body or an event; all four keys have to be there.
pub(super) fn openai_error(heard: &mut Heard, value: &Value) {
    let error = &value["error"];
    for key in ["message", "type", "param", "code"] {
        heard.must(error.get(key).is_some(), || {
            format!("error without `{key}`: {value}")
        });
    }
    let message = error["message"].as_str().unwrap_or("");
    heard.must(!message.is_empty(), || {
        format!("error without words: {value}")
    });
    heard.error = Some(format!("{message} ({})", error["code"]));
}

/// A body that is JSON; what is not is noted.
pub(super) fn json(heard: &mut Heard, body: &str) -> Value {
    match serde_json::from_str(body) {
        Ok(value) => value,
        Err(_) if heard.hung => Value::Null,
        Err(error) => {
            let shown: String = body.chars().take(120).collect();
            heard.wrong.push(format!("not JSON ({error}): {shown}"));
            Value::Null
        }
    }
}

/// A count out of a usage object.
pub(super) fn count(usage: &Value, name: &str) -> u64 {
    usage[name].as_u64().unwrap_or(0)
}
