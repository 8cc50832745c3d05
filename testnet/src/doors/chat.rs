//! OpenAI Chat Completions.

use serde_json::{Value, json};

use super::exchange::{self, Came, count, events, openai_error, post};
use super::{At, Ended, Heard, Question, schema};

pub(super) const PATH: &str = "/v1/chat/completions";

pub(super) async fn ask(at: &At, question: &Question) -> Heard {
    let came = post(at, PATH, &body(question), question).await;
    if came.streamed {
        stream(came)
    } else {
        whole(came)
    }
}

pub(super) fn body(question: &Question) -> Value {
    let mut messages = vec![json!({"role": "user", "content": question.prompt})];
    if let Some((answer, results)) = &question.earlier {
        messages.push(answer.raw["choices"][0]["message"].clone());
        messages.extend(answer.calls.iter().zip(results).map(
            |(call, result)| json!({"role": "tool", "tool_call_id": call.id, "content": result}),
        ));
    }
    let mut body = json!({"model": question.model, "messages": messages, "max_tokens": 4000});
    if question.stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    if question.thinking {
        body["reasoning_effort"] = json!("low");
    }
    if question.tools > 0 {
        let tool = |name| {
            json!({"type": "function", "function":
                {"name": name, "description": "asks", "parameters": schema()}})
        };
        body["tools"] = question.tool_names().map(tool).collect();
    }
    body
}

pub(super) fn ended(reason: &str) -> Option<Ended> {
    match reason {
        "stop" => Some(Ended::Stop),
        "length" => Some(Ended::Length),
        "tool_calls" => Some(Ended::Tools),
        "content_filter" => Some(Ended::Filtered),
        _ => None,
    }
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
    heard.must(value["object"] == "chat.completion", || {
        "not a chat.completion".to_owned()
    });
    let choice = &value["choices"][0];
    let message = &choice["message"];
    for key in ["content", "refusal"] {
        heard.must(message.get(key).is_some(), || {
            format!("message without `{key}`")
        });
    }
    heard.text = message["content"].as_str().unwrap_or("").to_owned();
    heard.thinking = message["reasoning_content"]
        .as_str()
        .unwrap_or("")
        .to_owned();
    let calls = message["tool_calls"].as_array();
    for (at, call) in calls.into_iter().flatten().enumerate() {
        fragment(&mut heard, at, call);
    }
    heard.ended = choice["finish_reason"].as_str().and_then(ended);
    usage(&mut heard, &value["usage"]);
    heard.raw = value;
    heard
}

fn fragment(heard: &mut Heard, at: usize, fragment: &Value) {
    let call = heard.call(at);
    call.id.push_str(fragment["id"].as_str().unwrap_or(""));
    let function = &fragment["function"];
    call.name.push_str(function["name"].as_str().unwrap_or(""));
    call.arguments
        .push_str(function["arguments"].as_str().unwrap_or(""));
}

fn usage(heard: &mut Heard, usage: &Value) {
    if usage.is_object() {
        heard.usage = Some((
            count(usage, "prompt_tokens"),
            count(usage, "completion_tokens"),
        ));
    }
}

fn stream(came: Came) -> Heard {
    let mut heard = came.heard;
    let events = events(&came.body);
    let mut id: Option<Value> = None;
    let mut done = false;
    for event in &events {
        heard.must(!done, || format!("after [DONE]: {}", event.data));
        if event.data == "[DONE]" {
            done = true;
            continue;
        }
        let value = exchange::json(&mut heard, &event.data);
        if value.get("error").is_some() {
            openai_error(&mut heard, &value);
            continue;
        }
        heard.must(heard.error.is_none(), || "chunks after an error".to_owned());
        heard.must(value["object"] == "chat.completion.chunk", || {
            format!("no chunk: {value}")
        });
        let first = id.get_or_insert_with(|| value["id"].clone()).clone();
        heard.must(value["id"] == first, || {
            format!("another id: {}", value["id"])
        });
        chunk(&mut heard, &value);
    }
    let whole = done && heard.error.is_none();
    let told = heard.error.is_some() && !done;
    if !heard.hung {
        heard.must(whole || told, || {
            "neither [DONE] nor an error ends it".to_owned()
        });
    }
    if heard.error.is_some() {
        // a stream that is told as broken has not ended, whatever it said before
        heard.ended = None;
    }
    heard
}

fn chunk(heard: &mut Heard, value: &Value) {
    usage(heard, &value["usage"]);
    let Some(choice) = value["choices"].get(0) else {
        heard.must(value["usage"].is_object(), || "an empty chunk".to_owned());
        return;
    };
    let delta = &choice["delta"];
    heard.text.push_str(delta["content"].as_str().unwrap_or(""));
    heard
        .thinking
        .push_str(delta["reasoning_content"].as_str().unwrap_or(""));
    for call in delta["tool_calls"].as_array().into_iter().flatten() {
        let at = call["index"]
            .as_u64()
            .and_then(|at| usize::try_from(at).ok());
        heard.must(at.is_some(), || format!("a fragment without index: {call}"));
        fragment(heard, at.unwrap_or(0), call);
    }
    if let Some(reason) = choice["finish_reason"].as_str() {
        heard.must(heard.ended.is_none(), || {
            format!("finished twice: {reason}")
        });
        heard.ended = ended(reason);
    }
}
