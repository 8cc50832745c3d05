use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::dialect::openai::build::Head;
use crate::types::{Finish, Usage};

fn body(value: &Value) -> ChatBody {
    ChatBody::parse(value.to_string().as_bytes()).unwrap()
}

fn user(rest: Value) -> Value {
    let mut value = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    value
        .as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    value
}

fn native_with(value: &Value, defaults: &BTreeMap<String, Value>) -> Value {
    serde_json::from_slice(&to_native(&body(value), "q:3b", true, defaults).unwrap()).unwrap()
}

fn native(value: &Value) -> Value {
    native_with(value, &BTreeMap::new())
}

fn refused(value: &Value) -> Untranslatable {
    to_native(&body(value), "q", true, &BTreeMap::new()).unwrap_err()
}

fn message(message: Value) -> Value {
    json!({"messages": [message]})
}

#[test]
fn more_than_one_answer_is_refused() {
    assert_eq!(refused(&user(json!({"n": 2}))).param, "n");
    assert!(native(&user(json!({"n": 1}))).get("n").is_none());
}

#[test]
fn what_a_user_said_is_refused_rather_than_dropped() {
    for part in [
        json!({"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}),
        json!({"type": "image_url", "image_url": {"url": "data:image/png,raw"}}),
        json!({"type": "image_url"}),
        json!({"type": "input_audio", "input_audio": {"data": "AA"}}),
        json!({"type": "file", "file": {}}),
    ] {
        let error = refused(&message(json!({"role": "user", "content": [part]})));
        assert_eq!(error.param, "messages");
        assert!(!error.to_string().contains("example.com"));
    }
}

#[test]
fn arguments_that_are_no_object_are_refused() {
    for arguments in ["[1]", "nonsense", "\"x\""] {
        let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}});
        let given = message(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
        assert_eq!(refused(&given).param, "messages", "{arguments}");
    }
}

#[test]
fn what_cannot_be_carried_is_named() {
    let given = user(
        json!({"logit_bias": {"1": 2}, "audio": {"voice": "x"}, "tool_choice": "required",
        "logprobs": true, "modalities": ["text", "audio"], "parallel_tool_calls": false}),
    );
    let names = unsupported(&body(&given));
    let all = [
        "audio",
        "logit_bias",
        "logprobs",
        "modalities",
        "parallel_tool_calls",
        "tool_choice",
    ];
    assert_eq!(names, all);
    let same = user(
        json!({"logit_bias": {}, "tool_choice": "auto", "modalities": ["text"], "temperature": 1,
        "logprobs": false, "parallel_tool_calls": true, "store": null, "user": "u"}),
    );
    assert!(unsupported(&body(&same)).is_empty());
}

#[test]
fn parameters_become_options_and_the_bodys_own_win() {
    let defaults = BTreeMap::from([
        ("num_gpu".to_owned(), json!(0)),
        ("temperature".to_owned(), json!(0.9)),
        ("top_k".to_owned(), json!(9)),
    ]);
    let given = user(
        json!({"temperature": 0.1, "top_p": 0.5, "seed": 7, "stop": "END", "max_tokens": 12,
        "frequency_penalty": 0.2, "presence_penalty": 0.3, "min_p": 0.05, "options": {"seed": 8, "num_ctx": 4096}}),
    );
    let options = native_with(&given, &defaults)["options"].take();
    let expected = json!({"num_gpu": 0, "top_k": 9, "temperature": 0.1, "top_p": 0.5, "seed": 8,
        "stop": ["END"], "num_predict": 12, "frequency_penalty": 0.2, "presence_penalty": 0.3,
        "min_p": 0.05, "num_ctx": 4096});
    assert_eq!(options, expected);
    assert!(native(&user(json!({}))).get("options").is_none());
}

#[test]
fn formats_and_thinking_take_ollamas_words() {
    let format = |given| native(&user(json!({"response_format": given})))["format"].take();
    assert_eq!(format(json!({"type": "json_object"})), json!("json"));
    let schema = json!({"type": "object", "properties": {}});
    let named = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    assert_eq!(format(named), schema);
    assert_eq!(format(json!({"type": "text"})), Value::Null);
    let think = |given| native(&user(given))["think"].take();
    assert_eq!(think(json!({"reasoning_effort": "none"})), json!(false));
    assert_eq!(think(json!({"reasoning_effort": "minimal"})), json!("low"));
    assert_eq!(
        think(json!({"reasoning_effort": "high", "think": true})),
        json!(true)
    );
    assert_eq!(
        native(&user(json!({"keep_alive": "5m"})))["keep_alive"],
        json!("5m")
    );
}

#[test]
fn a_tool_conversation_survives_with_its_names_and_exact_numbers() {
    let text = r#"{"tools":[{"type":"function","function":{"name":"f"}}],"messages":[
        {"role":"developer","content":"be kind"},
        {"role":"user","content":[{"type":"text","text":"look"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",
            "function":{"name":"f","arguments":"{\"big\":123456789012345678901234567890}"}}]},
        {"role":"tool","tool_call_id":"c1","content":"42"}]}"#;
    let parsed = ChatBody::parse(text.as_bytes()).unwrap();
    let bytes = to_native(&parsed, "m", false, &BTreeMap::new()).unwrap();
    let sent = String::from_utf8(bytes.clone()).unwrap();
    assert!(
        sent.contains(r#""arguments":{"big":123456789012345678901234567890}"#),
        "{sent}"
    );
    let sent: Value = serde_json::from_slice(&bytes).unwrap();
    let messages = sent["messages"].as_array().unwrap();
    assert_eq!(messages[0], json!({"role": "system", "content": "be kind"}));
    assert_eq!(
        messages[1],
        json!({"role": "user", "content": "look", "images": ["AAAA"]})
    );
    assert_eq!(messages[2]["tool_calls"][0]["id"], json!("c1"));
    let result = json!({"role": "tool", "content": "42", "tool_name": "f", "tool_call_id": "c1"});
    assert_eq!(messages[3], result);
    assert_eq!(sent["tools"][0]["function"]["name"], json!("f"));
    assert_eq!(sent["stream"], json!(false));
}

#[test]
fn tools_are_withheld_when_the_choice_is_none() {
    let given = user(
        json!({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none"}),
    );
    assert!(native(&given).get("tools").is_none());
}

fn decoder() -> Decoder {
    Decoder::new(Head {
        id: "chatcmpl-1".to_owned(),
        created: 1,
        model: "m".to_owned(),
    })
}

#[test]
fn an_error_line_is_no_chunk() {
    let error = decoder().line(br#"{"error":"model runner has crashed"}"#);
    assert!(matches!(error, Err(Bad::Error(text)) if text == "model runner has crashed"));
}

#[test]
fn loading_and_unloading_are_no_answers() {
    for reason in ["load", "unload"] {
        let line =
            json!({"message": {"content": ""}, "done": true, "done_reason": reason}).to_string();
        assert!(matches!(
            decoder().line(line.as_bytes()),
            Err(Bad::NoAnswer(_))
        ));
        let head = Head::new("m");
        assert!(matches!(
            answer::whole(&head, line.as_bytes()),
            Err(Bad::NoAnswer(_))
        ));
    }
    assert!(matches!(
        answer::whole(&Head::new("m"), b"{\"message\":{}}"),
        Err(Bad::NotDone)
    ));
}

#[test]
fn a_stream_becomes_role_text_finish_and_usage() {
    let mut decoder = decoder();
    let first = decoder
        .line(br#"{"message":{"role":"assistant","content":"he"},"done":false}"#)
        .unwrap();
    assert_eq!(first.len(), 2);
    assert!(!first[0].tap.real && first[1].tap.real);
    assert_eq!(first[1].tap.text, "he");
    assert!(!decoder.is_done());
    let last = decoder
        .line(br#"{"message":{"content":"y"},"done":true,"done_reason":"length","prompt_eval_count":3,"eval_count":2}"#)
        .unwrap();
    assert_eq!(last[0].tap.text, "y");
    assert_eq!(last[1].tap.finish, Some(Finish::Length));
    assert_eq!(last[2].tap.usage, Some(Usage::new(3, 2)));
    assert!(last[2].usage_only && decoder.is_done());
}

#[test]
fn tool_calls_get_an_index_an_id_a_string_and_the_right_finish() {
    let mut decoder = decoder();
    let line =
        br#"{"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}},
        {"id":"given","function":{"name":"g","arguments":{}}}]},"done":false}"#;
    let chunks = decoder.line(line).unwrap();
    let third = br#"{"message":{"tool_calls":[{"function":{"name":"h"}}]},"done":false}"#;
    let more = decoder.line(third).unwrap();
    let calls = |chunk: &crate::types::Chunk| {
        let mut value: Value = serde_json::from_slice(&chunk.raw).unwrap();
        value["choices"][0]["delta"]["tool_calls"].take()
    };
    let (two, third) = (calls(&chunks[1]), calls(&more[0]));
    assert!(two[0]["id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(
        two[0]["function"],
        json!({"name": "f", "arguments": "{\"a\":1}"})
    );
    assert_eq!(
        (&two[0]["index"], &two[1]["index"], &third[0]["index"]),
        (&json!(0), &json!(1), &json!(2))
    );
    assert_eq!(two[1]["id"], json!("given"));
    let end = decoder
        .line(br#"{"done":true,"done_reason":"stop"}"#)
        .unwrap();
    assert_eq!(end[0].tap.finish, Some(Finish::ToolCalls));
    assert_eq!(end.len(), 1, "nobody counted, so no usage is made up");
}

#[test]
fn a_whole_answer_carries_thinking_calls_and_counts() {
    let text = br#"{"message":{"role":"assistant","content":"","thinking":"hm","tool_calls":[
        {"id":"c","function":{"name":"f","arguments":{"a":[1]}}}]},"done":true,"done_reason":"stop","eval_count":4}"#;
    let completion = answer::whole(&Head::new("m"), text).unwrap();
    let value: Value = serde_json::from_slice(&completion.raw).unwrap();
    let choice = &value["choices"][0];
    assert_eq!(choice["finish_reason"], json!("tool_calls"));
    assert_eq!(choice["message"]["reasoning_content"], json!("hm"));
    assert_eq!(choice["message"]["content"], Value::Null);
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\":[1]}"}});
    assert_eq!(choice["message"]["tool_calls"], json!([call]));
    assert_eq!(completion.tap.usage, Some(Usage::new(0, 4)));
    assert!(completion.tap.beyond_text);
}
