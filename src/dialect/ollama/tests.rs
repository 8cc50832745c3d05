use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::dialect::carry::Uncarried;
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::build::Head;
use crate::dialect::whole::Whole;
use crate::types::{Event, Finish, Usage};

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

fn named(value: &Value) -> Vec<String> {
    let parts = uncarried(&body(value)).into_iter();
    parts.map(|part| part.param.into_owned()).collect()
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
    let mut names = named(&given);
    names.sort();
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
    assert_eq!(named(&same), [""; 0]);
    let unknown = json!({"guided_json": {"a": 1}, "repetition_penalty": 1.3, "thinking": {"type": "enabled"},
        "web_search_options": {}, "response_format": {"type": "grammar"}});
    let mut names = named(&user(unknown));
    names.sort();
    let all = [
        "guided_json",
        "repetition_penalty",
        "response_format",
        "thinking",
        "web_search_options",
    ];
    assert_eq!(names, all);
    let tool = json!([{"type": "function", "function": {"name": "f", "strict": true}}]);
    let inside = json!({"tools": tool, "messages": [{"role": "user", "name": "ann", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}}]}]});
    let all = [
        "messages[].name",
        "messages[].content[].image_url.detail",
        "tools[].function.strict",
    ];
    assert_eq!(named(&inside), all);
    let other = user(json!({"tools": [{"type": "custom", "custom": {"name": "f"}}]}));
    assert_eq!(
        uncarried(&body(&other)),
        [Uncarried::essential("tools[type=custom]")]
    );
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

fn line(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Event>, Bad> {
    let mut said = Vec::new();
    decoder.line(bytes, &mut said).map(|()| said)
}

#[test]
fn an_error_line_is_no_chunk() {
    let error = line(
        &mut Decoder::default(),
        br#"{"error":"model runner has crashed"}"#,
    );
    assert!(matches!(error, Err(Bad::Error(text)) if text == "model runner has crashed"));
}

#[test]
fn loading_and_unloading_are_no_answers() {
    for reason in ["load", "unload"] {
        let text =
            json!({"message": {"content": ""}, "done": true, "done_reason": reason}).to_string();
        let read = line(&mut Decoder::default(), text.as_bytes());
        assert!(matches!(read, Err(Bad::NoAnswer(_))));
        let whole = answer::whole(text.as_bytes());
        assert!(matches!(whole, Err(Bad::NoAnswer(_))));
    }
    let undone = answer::whole(b"{\"message\":{}}");
    assert!(matches!(undone, Err(Bad::NotDone)));
}

#[test]
fn a_stream_becomes_start_text_finish_and_usage() {
    let mut decoder = Decoder::default();
    let first = br#"{"message":{"role":"assistant","content":"he"},"done":false}"#;
    let first = line(&mut decoder, first).unwrap();
    assert!(matches!(&first[..], [Event::Start { .. }, Event::Text(text)] if text == "he"));
    assert!(!decoder.is_done());
    let last = br#"{"message":{"content":"y"},"done":true,"done_reason":"length","prompt_eval_count":3,"eval_count":2}"#;
    let expected = [
        Event::Text("y".into()),
        Event::Finish(Finish::Length),
        Event::Usage(Usage::new(3, 2)),
    ];
    assert_eq!(line(&mut decoder, last).unwrap(), expected);
    assert!(decoder.is_done());
}

#[test]
fn tool_calls_get_an_index_an_id_a_string_and_the_right_finish() {
    let mut decoder = Decoder::default();
    let text =
        br#"{"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}},
        {"id":"given","function":{"name":"g","arguments":{}}}]},"done":false}"#;
    let mut said = line(&mut decoder, text).unwrap();
    let third = br#"{"message":{"tool_calls":[{"function":{"name":"h"}}]},"done":false}"#;
    said.extend(line(&mut decoder, third).unwrap());
    let index = |event: &Event| {
        let Event::ToolCall { index, .. } = event else {
            return None;
        };
        Some(*index)
    };
    let indices: Vec<u32> = said.iter().filter_map(index).collect();
    assert_eq!(indices, [0, 1, 2]);
    let end = line(&mut decoder, br#"{"done":true,"done_reason":"stop"}"#).unwrap();
    let nobody_counted = [Event::Finish(Finish::ToolCalls)];
    assert_eq!(end, nobody_counted, "so no usage is made up");
    let calls = Whole::of(said).calls;
    assert!(calls[0].id.starts_with("call_") && calls[1].id == "given");
    let told: Vec<_> = calls.iter().map(|c| (&*c.name, &*c.arguments)).collect();
    assert_eq!(told, [("f", r#"{"a":1}"#), ("g", "{}"), ("h", "{}")]);
}

#[test]
fn a_whole_answer_carries_thinking_calls_and_counts() {
    let text = br#"{"message":{"role":"assistant","content":"","thinking":"hm","tool_calls":[
        {"id":"c","function":{"name":"f","arguments":{"a":[1]}}}]},"done":true,"done_reason":"stop","eval_count":4}"#;
    let completion = Head::new("m").whole(&answer::whole(text).unwrap());
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

#[test]
fn what_would_be_refused_is_known_before_anyone_asks() {
    let part = |part: Value| message(json!({"role": "user", "content": [part]}));
    let called = |arguments: &str| {
        let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}});
        message(json!({"role": "assistant", "content": null, "tool_calls": [call]}))
    };
    let picture = |url: &str| part(json!({"type": "image_url", "image_url": {"url": url}}));
    for (given, param) in [
        (user(json!({"n": 2})), "n"),
        (
            picture("https://example.com/cat.png"),
            "messages[].content[].image_url.url",
        ),
        (
            picture("data:image/png,raw"),
            "messages[].content[].image_url.url",
        ),
        (
            part(json!({"type": "input_audio", "input_audio": {"data": "AA"}})),
            "messages[].content[type=input_audio]",
        ),
        (
            part(json!({"type": "hologram"})),
            "messages[].content[].type",
        ),
        (called("[1]"), "messages[].tool_calls[].function.arguments"),
    ] {
        let untold = uncarried(&body(&given));
        let told: Vec<_> = untold
            .iter()
            .map(|p| (p.param.as_ref(), p.essential))
            .collect();
        assert_eq!(told, [(param, true)], "{given}");
        refused(&given);
    }
    for given in [
        user(json!({})),
        picture("data:image/png;base64,AA"),
        part(json!({"type": "text", "text": "x"})),
        called(""),
        message(json!({"role": "assistant", "content": null})),
    ] {
        assert!(uncarried(&body(&given)).is_empty(), "{given}");
        native(&given);
    }
}
