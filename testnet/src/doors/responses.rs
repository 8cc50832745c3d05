//! OpenAI Responses.

use serde_json::{Value, json};

use super::exchange::{self, Came, Event, count, events, openai_error, post};
use super::{At, Ended, Heard, Question, schema};

pub(super) const PATH: &str = "/v1/responses";

pub(super) async fn ask(at: &At, question: &Question) -> Heard {
    let came = post(at, PATH, &body(question), question).await;
    if came.streamed {
        stream(came)
    } else {
        whole(came)
    }
}

pub(super) fn body(question: &Question) -> Value {
    let mut input = vec![json!({"role": "user", "content": question.prompt})];
    if let Some((answer, results)) = &question.earlier {
        input.extend(answer.raw["output"].as_array().cloned().unwrap_or_default());
        input.extend(answer.calls.iter().zip(results).map(|(call, result)| {
            json!({"type": "function_call_output", "call_id": call.id, "output": result})
        }));
    }
    let mut body = json!({"model": question.model, "input": input, "stream": question.stream,
        "store": false});
    if question.thinking {
        body["reasoning"] = json!({"effort": "low"});
    }
    if question.tools > 0 {
        let tool = |name| {
            json!({"type": "function", "name": name, "description": "asks",
                "parameters": schema(), "strict": false})
        };
        body["tools"] = question.tool_names().map(tool).collect();
    }
    body
}

fn whole(came: Came) -> Heard {
    let mut heard = came.heard;
    let value = exchange::json(&mut heard, &came.body);
    if heard.status != 200 {
        if heard.status != 0 && value.is_object() {
            openai_error(&mut heard, &value);
        }
        return heard;
    }
    response(&mut heard, &value);
    heard.raw = value;
    heard
}

/// Reads a `response` that is over.
fn response(heard: &mut Heard, value: &Value) {
    heard.must(value["object"] == "response", || {
        format!("not a response: {value}")
    });
    (heard.text, heard.calls) = (String::new(), Vec::new());
    for item in value["output"].as_array().into_iter().flatten() {
        match item["type"].as_str() {
            Some("message") => {
                for part in item["content"].as_array().into_iter().flatten() {
                    heard.text.push_str(part["text"].as_str().unwrap_or(""));
                }
            }
            Some("function_call") => {
                let at = heard.calls.len();
                let call = heard.call(at);
                call.id = item["call_id"].as_str().unwrap_or("").to_owned();
                call.name = item["name"].as_str().unwrap_or("").to_owned();
                call.arguments = item["arguments"].as_str().unwrap_or("").to_owned();
            }
            Some("reasoning") => {
                for part in item["summary"].as_array().into_iter().flatten() {
                    heard.thinking.push_str(part["text"].as_str().unwrap_or(""));
                }
            }
            Some(_) | None => heard.wrong.push(format!("an unknown item: {item}")),
        }
    }
    let usage = &value["usage"];
    if usage.is_object() {
        heard.usage = Some((count(usage, "input_tokens"), count(usage, "output_tokens")));
    }
    let reason = value["incomplete_details"]["reason"].as_str();
    heard.ended = match (value["status"].as_str(), reason) {
        (Some("completed"), _) if heard.calls.is_empty() => Some(Ended::Stop),
        (Some("completed"), _) => Some(Ended::Tools),
        (Some("incomplete"), Some("max_output_tokens")) => Some(Ended::Length),
        (Some("incomplete"), Some("content_filter")) => Some(Ended::Filtered),
        _ => None,
    };
    if value["status"] == "failed" {
        failed(heard, &value["error"]);
    }
}

fn failed(heard: &mut Heard, error: &Value) {
    let message = error["message"].as_str().unwrap_or("");
    heard.must(!message.is_empty(), || {
        format!("error without words: {error}")
    });
    heard.error = Some(format!("{message} ({})", error["code"]));
}

fn stream(came: Came) -> Heard {
    let mut heard = came.heard;
    let mut said = String::new();
    let mut last = String::new();
    for (number, event) in events(&came.body).iter().enumerate() {
        last = one(&mut heard, number, event, &mut said);
    }
    const ENDS: [&str; 4] = [
        "response.completed",
        "response.incomplete",
        "response.failed",
        "error",
    ];
    if !heard.hung {
        heard.must(ENDS.contains(&last.as_str()), || {
            format!("ends with `{last}`")
        });
    }
    if heard.ended.is_some() {
        let whole = heard.text.clone();
        heard.must(whole == said, || {
            format!("deltas said {said:?}, the end {whole:?}")
        });
    }
    heard
}

/// Reads one event; its type.
fn one(heard: &mut Heard, number: usize, event: &Event, said: &mut String) -> String {
    let Some(value) = event.json() else {
        heard.wrong.push(format!("not JSON: {}", event.data));
        return String::new();
    };
    let kind = value["type"].as_str().unwrap_or("").to_owned();
    let named = event.name.as_deref() == Some(kind.as_str());
    heard.must(named, || format!("named {:?}: {value}", event.name));
    let counted = value["sequence_number"] == number;
    heard.must(counted, || {
        format!("event {number} says {}", value["sequence_number"])
    });
    if number == 0 {
        let begins = ["response.created", "error"].contains(&kind.as_str());
        heard.must(begins, || format!("begins with {kind}"));
    }
    let over = heard.ended.is_some() || heard.error.is_some();
    heard.must(!over, || format!("after the end: {kind}"));
    match kind.as_str() {
        "response.output_text.delta" => said.push_str(value["delta"].as_str().unwrap_or("")),
        "response.completed" | "response.incomplete" | "response.failed" => {
            response(heard, &value["response"]);
        }
        "error" => failed(heard, &value),
        _ => {}
    }
    kind
}
