//! OpenAI-shaped requests, written in the dialect.

use serde_json::{Value, json};

use crate::dialect::anthropic::{Defaults, Effort, Version, to_native, unsupported};
use crate::dialect::openai::ChatBody;

fn native_of(body: &Value, defaults: &Defaults) -> Value {
    let body = ChatBody::parse(body.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&to_native(&body, "c-9", true, defaults).unwrap()).unwrap()
}

fn native(body: &Value) -> Value {
    native_of(body, &Defaults::default())
}

fn ask(rest: &Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    body
}

fn named(rest: &Value, defaults: &Defaults) -> Vec<(String, bool)> {
    let body = ChatBody::parse(ask(rest).to_string().as_bytes()).unwrap();
    let parts = unsupported(&body, defaults).into_iter();
    parts
        .map(|part| (part.param.to_string(), part.essential))
        .collect()
}

#[test]
fn consecutive_tool_messages_are_one_turn() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": ""}});
    let sent = native(&json!({"messages": [
        {"role": "system", "content": "one"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": null, "tool_calls": [call("call.1"), call("c2")]},
        {"role": "tool", "tool_call_id": "call.1", "content": "r1"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "r2"}]},
        {"role": "user", "content": "go on"},
        {"role": "developer", "content": "two"}]}));
    let used = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let expected = json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [used("call_1"), used("c2")]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "r1"},
            {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "r2"}]},
            {"type": "text", "text": "go on"}]}]);
    assert_eq!(sent["messages"], expected);
    let system = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
    assert_eq!(sent["system"], system);
}

#[test]
fn parameters_are_told_in_this_dialects_words() {
    let sent = native(&ask(&json!({
        "max_completion_tokens": 12, "temperature": 1.5, "top_p": 1, "top_k": 3, "stop": "END",
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
            {"type": "function", "function": {"name": "g"}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
        "user": "u", "service_tier": "default", "metadata": {"k": "v"},
    })));
    let expected = json!({
        "model": "c-9", "max_tokens": 12, "stream": true, "temperature": 1, "top_k": 3,
        "messages": [{"role": "user", "content": "hi"}], "stop_sequences": ["END"],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}},
            {"name": "g", "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "metadata": {"user_id": "u"}, "service_tier": "standard_only",
    });
    assert_eq!(sent, expected);
    assert_eq!(native(&ask(&json!({})))["max_tokens"], 4096);
    let defaults = Defaults {
        max_tokens: Some(64),
        ..Defaults::default()
    };
    assert_eq!(native_of(&ask(&json!({})), &defaults)["max_tokens"], 64);
    for (choice, kind) in [("auto", "auto"), ("required", "any"), ("none", "none")] {
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let sent = native(&ask(&json!({"tools": tools, "tool_choice": choice})));
        assert_eq!(sent["tool_choice"], json!({"type": kind}));
    }
}

#[test]
fn effort_is_told_as_the_models_options_say_and_never_where_it_would_be_refused() {
    let effort = |word: &str| ask(&json!({"reasoning_effort": word, "temperature": 0.5}));
    let sent = native(&effort("high"));
    assert_eq!(sent["output_config"], json!({"effort": "high"}));
    assert_eq!(sent["thinking"], json!({"type": "adaptive"}));
    assert_eq!(sent.get("temperature"), None);
    assert_eq!(
        native(&effort("none"))["thinking"],
        json!({"type": "disabled"})
    );
    let told = |effort| Defaults {
        effort,
        ..Defaults::default()
    };
    let sent = native_of(&effort("medium"), &told(Effort::Budget));
    assert_eq!(
        sent["thinking"],
        json!({"type": "enabled", "budget_tokens": 2048})
    );
    let sent = native_of(&effort("medium"), &told(Effort::Off));
    assert_eq!(
        (sent.get("thinking"), &sent["temperature"]),
        (None, &json!(0.5))
    );
    let forced = json!({"reasoning_effort": "low", "tool_choice": "required",
        "tools": [{"type": "function", "function": {"name": "f"}}]});
    assert_eq!(native(&ask(&forced)).get("thinking"), None);
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let unsealed = json!({"reasoning_effort": "low", "messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "r"}]});
    assert_eq!(native(&unsealed).get("thinking"), None);
}

#[test]
fn the_version_without_sampling_is_asked_without_it() {
    let defaults = Defaults {
        version: Version::October2026,
        ..Defaults::default()
    };
    let given = json!({"temperature": 0.2, "top_p": 0.5});
    let sent = native_of(&ask(&given), &defaults);
    assert_eq!((sent.get("temperature"), sent.get("top_p")), (None, None));
    let droppable = |names: &[&str]| -> Vec<(String, bool)> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), false))
            .collect()
    };
    assert_eq!(
        named(&given, &defaults),
        droppable(&["temperature", "top_p"])
    );
    assert!(named(&given, &Defaults::default()).is_empty());
    assert!(named(&json!({"temperature": 1}), &defaults).is_empty());
}

#[test]
fn what_a_user_said_is_carried_or_refused_and_never_dropped() {
    let content = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    let image = |url: &str| content(json!({"type": "image_url", "image_url": {"url": url}}));
    let told = |body: &Value| native(body)["messages"][0]["content"][0].clone();
    let inline = json!({"type": "base64", "media_type": "image/png", "data": "AA=="});
    assert_eq!(told(&image("data:image/png;base64,AA=="))["source"], inline);
    let far = json!({"type": "url", "url": "https://example.com/x.png"});
    assert_eq!(told(&image("https://example.com/x.png"))["source"], far);
    let pdf = json!({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}});
    assert_eq!(told(&content(pdf))["title"], "a.pdf");
    let call =
        json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\":"}});
    for (body, param) in [
        (image("ftp://x"), "messages"),
        (
            content(json!({"type": "input_audio", "input_audio": {}})),
            "messages",
        ),
        (
            content(json!({"type": "file", "file": {"file_id": "f"}})),
            "messages",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [call]}]}),
            "messages[].tool_calls[].function.arguments",
        ),
        (
            json!({"messages": [{"role": "tool", "content": "x"}]}),
            "messages",
        ),
        (ask(&json!({"n": 2})), "n"),
        (
            ask(&json!({"response_format": {"type": "json_object"}})),
            "response_format",
        ),
        (ask(&json!({"tools": [{"type": "custom"}]})), "tools"),
    ] {
        let body = ChatBody::parse(body.to_string().as_bytes()).unwrap();
        let error = to_native(&body, "c", true, &Defaults::default()).unwrap_err();
        assert_eq!(error.param, param, "{error}");
    }
}

#[test]
fn a_started_answer_ends_without_white_space() {
    let started = |content: Value| {
        native(&json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": content}]}))["messages"].clone()
    };
    assert_eq!(
        started(json!("The answer: \n"))[1]["content"],
        "The answer:"
    );
    assert_eq!(started(json!("  ")).as_array().unwrap().len(), 1);
    let parts = started(json!([{"type": "text", "text": "x "}, {"type": "text", "text": "y "}]));
    assert_eq!(parts[1]["content"][0]["text"], "x ");
    assert_eq!(parts[1]["content"][1]["text"], "y");
}

#[test]
fn what_the_dialect_has_no_place_for_is_named() {
    let given = json!({"n": 2, "logprobs": true, "top_logprobs": 2, "seed": 7, "logit_bias": {"1": 2},
        "frequency_penalty": 0.5, "presence_penalty": -0.5, "modalities": ["text", "audio"],
        "functions": [{}], "response_format": {"type": "json_object"}, "tools": [{"type": "custom"}]});
    let names = named(&given, &Defaults::default());
    for (param, essential) in [
        ("n", true),
        ("logprobs", false),
        ("top_logprobs", false),
        ("seed", false),
        ("logit_bias", false),
        ("frequency_penalty", false),
        ("presence_penalty", false),
        ("modalities", true),
        ("functions", true),
        ("response_format", true),
        ("tools[]", true),
    ] {
        assert!(names.contains(&(param.to_owned(), essential)), "{param}");
    }
    let audio = json!({"messages": [{"role": "user", "content": [{"type": "input_audio"}]},
        {"role": "assistant", "content": "x", "reasoning_content": "hm"}]});
    let names = named(&audio, &Defaults::default());
    assert!(names.contains(&("messages[].content[type=input_audio]".to_owned(), true)));
    assert!(names.contains(&("messages[].reasoning_content".to_owned(), false)));
    let same = json!({"n": 1, "logprobs": false, "top_logprobs": 0, "logit_bias": {}, "presence_penalty": 0,
        "modalities": ["text"], "functions": [], "response_format": {"type": "text"}, "store": false,
        "service_tier": "auto", "temperature": 0.3, "stop": ["x"], "user": "u"});
    assert_eq!(named(&same, &Defaults::default()), []);
}

#[test]
fn whatever_is_not_told_is_named() {
    let lost = |rest: Value, effort: Effort| {
        let defaults = Defaults {
            effort,
            ..Defaults::default()
        };
        let parts = named(&rest, &defaults).into_iter();
        let mut names: Vec<String> = parts.map(|(name, _)| name).collect();
        names.sort();
        names
    };
    let unknown = json!({"guided_json": {"a": 1}, "repetition_penalty": 1.3,
        "chat_template_kwargs": {"x": 1}, "temperature": 1.5, "web_search_options": {}});
    let all = [
        "chat_template_kwargs",
        "guided_json",
        "repetition_penalty",
        "temperature",
        "web_search_options",
    ];
    assert_eq!(lost(unknown, Effort::Adaptive), all);
    let plain = json!({"temperature": 1, "user": "u", "metadata": {"a": "b"}, "n": 1, "seed": null,
        "prompt_cache_key": "k", "service_tier": "auto", "stream": true, "store": false});
    assert_eq!(lost(plain, Effort::Adaptive), [""; 0]);
    let inside = json!({"messages": [{"role": "user", "name": "ann", "content": [
        {"type": "image_url", "image_url": {"url": "https://x.example/a", "detail": "high"}}]}]});
    let all = ["messages[].content[].image_url.detail", "messages[].name"];
    assert_eq!(lost(inside, Effort::Adaptive), all);
}

#[test]
fn an_effort_is_named_where_the_model_may_not_think() {
    let defaults = Defaults {
        effort: Effort::Budget,
        ..Defaults::default()
    };
    let forced = json!({"reasoning_effort": "high", "temperature": 0.5, "tool_choice": "required",
        "tools": [{"type": "function", "function": {"name": "f"}}]});
    let lost = |rest: &Value| named(rest, &defaults);
    let effort = [("reasoning_effort".to_owned(), false)];
    // the temperature is told instead
    assert_eq!(lost(&forced), effort);
    assert_eq!(
        lost(&json!({"reasoning_effort": "high", "max_tokens": 100})),
        effort
    );
    assert_eq!(lost(&json!({"reasoning_effort": "high"})), []);
    assert_eq!(
        lost(&json!({"reasoning_effort": "none", "max_tokens": 100})),
        []
    );
}
