use serde_json::{Value, json};

use super::{Asked, MAX_PROMPTS, Writer};
use crate::dialect::openai::build::Head;
use crate::dialect::openai::tap;
use crate::types::{Finish, Usage};

fn parse(body: &Value) -> Result<Asked, super::BadRequest> {
    Asked::parse(body.to_string().as_bytes())
}

#[test]
fn each_prompt_is_a_chat_of_its_own_and_further_fields_go_along() {
    let body = json!({"model": "m", "prompt": ["a", "b"], "n": 2, "stop": ["x"], "best_of": 2,
        "logprobs": null, "echo": false});
    let asked = parse(&body).unwrap();
    assert_eq!((asked.chats.len(), asked.choices), (2, 2));
    assert_eq!(asked.chats[1].messages()[0].text(), "b");
    let sent: Value = serde_json::from_slice(&asked.chats[0].object().to_bytes()).unwrap();
    assert_eq!(sent["stop"], json!(["x"]));
    for gone in ["prompt", "best_of", "echo", "logprobs"] {
        assert_eq!(sent.get(gone), None, "{gone}");
    }
}

#[test]
fn what_a_chat_cannot_do_is_refused_by_its_field() {
    let many = vec!["x"; MAX_PROMPTS + 1];
    for (field, value, param) in [
        ("prompt", Value::Null, "prompt"),
        ("prompt", json!([]), "prompt"),
        ("prompt", json!(""), "prompt"),
        ("prompt", json!([1, 2]), "prompt"),
        ("prompt", json!([[1], [2]]), "prompt"),
        ("prompt", json!(many), "prompt"),
        ("suffix", json!("end"), "suffix"),
        ("echo", json!(true), "echo"),
        ("logprobs", json!(3), "logprobs"),
        ("best_of", json!(3), "best_of"),
        ("n", json!(0), "n"),
        ("messages", json!([]), "prompt"),
    ] {
        let mut body = json!({"prompt": "a"});
        body[field] = value;
        assert_eq!(parse(&body).unwrap_err().param(), Some(param), "{body}");
    }
    let wide = json!({"prompt": ["a", "b"], "n": 100});
    assert_eq!(parse(&wide).unwrap_err().param(), Some("n"));
}

#[test]
fn choices_are_numbered_over_all_prompts_and_tokens_are_summed() {
    let asked = parse(&json!({"prompt": ["a", "b"], "n": 2})).unwrap();
    let answer = |first: &str, second: &str| {
        let choice = |index: u64, text: &str| {
            json!({"index": index, "message": {"role": "assistant", "content": text},
                "finish_reason": "stop"})
        };
        let body = json!({"id": "x", "model": "up", "object": "chat.completion",
            "choices": [choice(0, first), choice(1, second)],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}});
        tap::completion(body.to_string().into()).unwrap()
    };
    let answers = [answer("a0", "a1"), answer("b0", "b1")];
    let said = Writer::new(&asked).whole(&answers).unwrap();
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(said["object"], "text_completion");
    assert_eq!(said["model"], "up");
    let told: Vec<(u64, &str)> = said["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| {
            (
                choice["index"].as_u64().unwrap(),
                choice["text"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [(0, "a0"), (1, "a1"), (2, "b0"), (3, "b1")]);
    assert_eq!(said["choices"][0]["logprobs"], Value::Null);
    assert_eq!(said["usage"]["total_tokens"], 10);
}

#[test]
fn a_stream_says_text_then_its_end_and_counts_only_where_they_are_wanted() {
    for wanted in [true, false] {
        let body = json!({"prompt": ["a", "b"], "stream": true,
            "stream_options": {"include_usage": wanted}});
        let mut writer = Writer::new(&parse(&body).unwrap());
        let head = Head::new("up");
        assert!(writer.chunk(1, &head.role()).unwrap().is_none());
        let text = writer.chunk(1, &head.text("hi")).unwrap().unwrap();
        let text: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(text["choices"][0]["text"], "hi");
        assert_eq!(text["choices"][0]["index"], 1);
        assert_eq!(text["choices"][0]["finish_reason"], Value::Null);
        let end = writer
            .chunk(0, &head.finish(Finish::Length))
            .unwrap()
            .unwrap();
        let end: Value = serde_json::from_slice(&end).unwrap();
        assert_eq!(end["choices"][0]["finish_reason"], "length");
        assert!(
            writer
                .chunk(0, &head.usage(Usage::new(1, 2)))
                .unwrap()
                .is_none()
        );
        assert!(
            writer
                .chunk(1, &head.usage(Usage::new(3, 4)))
                .unwrap()
                .is_none()
        );
        let counts = writer.counts();
        assert_eq!(counts.is_some(), wanted);
        if let Some(counts) = counts {
            let counts: Value = serde_json::from_slice(&counts).unwrap();
            assert_eq!(counts["usage"]["total_tokens"], 10);
            assert_eq!(counts["choices"], json!([]));
        }
    }
}
