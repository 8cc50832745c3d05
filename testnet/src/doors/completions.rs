//! OpenAI's older completions: a prompt, a text.

use serde_json::{Value, json};

use super::chat::ended;
use super::exchange::{self, Came, count, events, openai_error, post};
use super::{At, Heard, Question};

pub(super) const PATH: &str = "/v1/completions";

pub(super) async fn ask(at: &At, question: &Question) -> Heard {
    let came = post(at, PATH, &body(question), question).await;
    if came.streamed {
        stream(came)
    } else {
        whole(came)
    }
}

pub(super) fn body(question: &Question) -> Value {
    json!({"model": question.model, "prompt": question.prompt, "max_tokens": 4000,
        "stream": question.stream})
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
    said(&mut heard, &value);
    heard.raw = value;
    heard
}

fn said(heard: &mut Heard, value: &Value) {
    heard.must(value["object"] == "text_completion", || {
        format!("no text_completion: {value}")
    });
    if value["usage"].is_object() {
        let usage = &value["usage"];
        heard.usage = Some((
            count(usage, "prompt_tokens"),
            count(usage, "completion_tokens"),
        ));
    }
    let Some(choice) = value["choices"].get(0) else {
        return;
    };
    heard.must(choice["text"].is_string(), || {
        format!("a choice without text: {value}")
    });
    heard.text.push_str(choice["text"].as_str().unwrap_or(""));
    if let Some(reason) = choice["finish_reason"].as_str() {
        heard.must(heard.ended.is_none(), || {
            format!("finished twice: {reason}")
        });
        heard.ended = ended(reason);
    }
}

fn stream(came: Came) -> Heard {
    let mut heard = came.heard;
    let mut done = false;
    for event in events(&came.body) {
        heard.must(!done, || format!("after [DONE]: {}", event.data));
        if event.data == "[DONE]" {
            done = true;
            continue;
        }
        let value = exchange::json(&mut heard, &event.data);
        if value.get("error").is_some() {
            openai_error(&mut heard, &value);
            heard.ended = None;
        } else {
            said(&mut heard, &value);
        }
    }
    if !heard.hung {
        let ends = done != heard.error.is_some();
        heard.must(ends, || "neither [DONE] nor an error ends it".to_owned());
    }
    heard
}
