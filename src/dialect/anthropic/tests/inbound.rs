//! Requests of the dialect, read; and what survives being read and written again.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::dialect::anthropic::{
    BETA, Defaults, Purpose, Version, to_native, to_openai, unsupported,
};
use crate::dialect::openai::{BadRequest, ChatBody};
use crate::types::Dialect;

fn read(body: &Value, version: Version) -> Result<ChatBody, BadRequest> {
    to_openai(body.to_string().as_bytes(), Purpose::Answer, version, None)
}

fn with(rest: &Value) -> Value {
    let mut body = json!({"model": "c", "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}]});
    let fields = body.as_object_mut().unwrap();
    fields.extend(rest.as_object().unwrap().clone());
    body
}

fn translated(body: &Value) -> Value {
    let body = read(body, Version::June2023).unwrap();
    serde_json::from_slice(&body.object().to_bytes()).unwrap()
}

fn lost(body: &Value) -> Vec<(String, bool)> {
    let body = read(body, Version::June2023).unwrap();
    let parts = body.untranslated().iter();
    parts
        .map(|part| (part.param.to_string(), part.essential))
        .collect()
}

#[test]
fn what_is_missing_or_impossible_is_named() {
    for (change, param) in [
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"model": 3}), "model"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"temperature": 1.5}), "temperature"),
        (json!({"messages": []}), "messages"),
        (
            json!({"messages": [{"role": "tool", "content": "x"}]}),
            "messages",
        ),
        (
            json!({"messages": [{"role": "user", "content": 3}]}),
            "messages",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}),
            "messages",
        ),
        (json!({"tools": [{"name": "f"}]}), "tools"),
        (json!({"tool_choice": {"type": "maybe"}}), "tool_choice"),
        (json!({"stop_sequences": "x"}), "stop_sequences"),
    ] {
        let error = read(&with(&change), Version::June2023).unwrap_err();
        assert_eq!(error.param(), Some(param), "{change}");
    }
    let count = json!({"model": "c", "messages": [{"role": "user", "content": "hi"}]});
    let bytes = count.to_string();
    assert!(to_openai(bytes.as_bytes(), Purpose::Count, Version::June2023, None).is_ok());
}

#[test]
fn the_version_of_2026_refuses_what_it_no_longer_has() {
    let document = json!({"type": "document", "source": {"type": "text", "data": "x"}});
    let cited = json!({"type": "text", "text": "x", "citations": [{"type": "char_location"}]});
    for change in [
        json!({"temperature": 1}),
        json!({"top_p": 1}),
        json!({"top_k": 5}),
        json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [document]}]}),
        json!({"messages": [{"role": "user", "content": [cited]}]}),
    ] {
        assert!(read(&with(&change), Version::June2023).is_ok(), "{change}");
        assert!(
            read(&with(&change), Version::October2026).is_err(),
            "{change}"
        );
    }
    assert_eq!(Version::read(None).unwrap(), Version::June2023);
    assert_eq!(
        Version::read(Some("2026-10-21")).unwrap(),
        Version::October2026
    );
    let unknown = Version::read(Some("2024-01-01")).unwrap_err().to_string();
    assert!(unknown.contains("2023-06-01 or 2026-10-21"), "{unknown}");
}

#[test]
fn fields_are_told_in_openais_words() {
    let body = translated(&with(&json!({
        "system": "be brief", "temperature": 0.5, "top_p": 0.9, "top_k": 4, "stream": true,
        "stop_sequences": ["END"], "metadata": {"user_id": "u"}, "service_tier": "standard_only",
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low"},
        "cache_control": {"type": "ephemeral"},
    })));
    let expected = json!({
        "model": "c", "stream": true, "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 4,
        "stop": ["END"], "user": "u", "service_tier": "default",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
        "tool_choice": "required", "parallel_tool_calls": false,
        "response_format": {"type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": true}},
        "reasoning_effort": "low",
    });
    assert_eq!(body, expected);
}

#[test]
fn a_budget_to_think_with_becomes_an_effort_and_stays_beside() {
    for (thinking, effort) in [
        (
            json!({"type": "enabled", "budget_tokens": 1024}),
            json!("low"),
        ),
        (
            json!({"type": "enabled", "budget_tokens": 8192}),
            json!("medium"),
        ),
        (
            json!({"type": "enabled", "budget_tokens": 40000}),
            json!("high"),
        ),
        (json!({"type": "adaptive"}), Value::Null),
        (json!({"type": "disabled"}), Value::Null),
        (json!({"type": "between_tools"}), Value::Null),
    ] {
        let given = with(&json!({"thinking": thinking}));
        assert_eq!(translated(&given)["reasoning_effort"], effort);
        let read = read(&given, Version::October2026).unwrap();
        assert_eq!(beside(&read)["thinking"], thinking);
        let lost: Vec<_> = read
            .untranslated()
            .iter()
            .map(|part| &*part.param)
            .collect();
        let named = effort.is_null().then_some("thinking");
        assert_eq!(lost, named.into_iter().collect::<Vec<_>>(), "{thinking}");
    }
    let both = json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}});
    let read = read(&with(&both), Version::October2026).unwrap();
    assert!(read.untranslated().is_empty(), "the effort says it");
}

/// What tells a request apart beside its OpenAI-shaped fields.
fn beside(body: &ChatBody) -> Value {
    serde_json::from_slice(&body.native().unwrap().beside.to_bytes()).unwrap()
}

#[test]
fn no_tokens_at_all_are_a_limit_that_is_carried() {
    let body = read(&with(&json!({"max_tokens": 0})), Version::October2026).unwrap();
    assert_eq!(body.max_tokens(), Some(0));
    let sent = to_native(&body, "c", false, &Defaults::default()).unwrap();
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(sent["max_tokens"], 0);
}

#[test]
fn a_field_inside_another_does_not_hide_one_of_its_name() {
    let asked = |inner: u8, outer: u8| {
        let config = json!({"output_config": {"x": inner}, "x": outer});
        beside(&read(&with(&config), Version::October2026).unwrap())
    };
    assert_ne!(asked(1, 2), asked(2, 2));
    assert_ne!(asked(1, 1), asked(1, 2));
}

#[test]
fn a_long_session_of_an_agent_is_read() {
    let turns = (0..700).flat_map(|n| {
        let id = format!("toolu_{n}");
        [
            json!({"role": "assistant", "content": [{"type": "text", "text": "so"},
            {"type": "tool_use", "id": id, "name": "f", "input": {"path": "a", "line": n}}]}),
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id,
            "content": [{"type": "text", "text": "r"}], "is_error": false}]}),
        ]
    });
    let first = json!({"role": "user", "content": "begin"});
    let messages: Vec<Value> = std::iter::once(first).chain(turns).collect();
    let body = read(&with(&json!({"messages": messages})), Version::October2026).unwrap();
    assert_eq!(body.messages().len(), 1401);
}

#[test]
fn what_has_no_place_is_named_and_tells_two_requests_apart() {
    let document = json!({"type": "document", "source": {"type": "text", "data": "x"}});
    let image = json!({"type": "image", "source": {"type": "file", "file_id": "f"}});
    let result = json!({"type": "tool_result", "tool_use_id": "t", "is_error": true,
        "content": [{"type": "text", "text": "no"}, {"type": "image", "source": {}}]});
    for (change, param, essential) in [
        (
            json!({"messages": [{"role": "user", "content": [document]}]}),
            "messages[].content[type=document]",
            true,
        ),
        (
            json!({"messages": [{"role": "user", "content": [image]}]}),
            "messages[].content[type=image].source",
            true,
        ),
        (
            json!({"messages": [{"role": "user", "content": [result.clone()]}]}),
            "messages[].content[type=tool_result].content[type=image]",
            true,
        ),
        (
            json!({"messages": [{"role": "user", "content": [result]}]}),
            "messages[].content[type=tool_result].is_error",
            false,
        ),
        (
            json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"type": "server_tool_use"}]}]}),
            "messages[].content[type=server_tool_use]",
            true,
        ),
        (
            json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
            "tools[type=web_search_20250305]",
            true,
        ),
        (json!({"container": "c"}), "container", true),
        (json!({"mcp_servers": [{"url": "u"}]}), "mcp_servers", true),
        (json!({"inference_geo": "us"}), "inference_geo", true),
        (json!({"speed": "fast"}), "speed", false),
        (json!({"nov\nelty": 1}), "nov?elty", false),
    ] {
        assert!(
            lost(&with(&change)).contains(&(param.to_owned(), essential)),
            "{change}"
        );
        let asked = |given: &Value| {
            let read = read(&with(given), Version::June2023).unwrap();
            (read.object().to_bytes(), beside(&read))
        };
        assert_ne!(asked(&change), asked(&json!({})), "{change}");
    }
    assert!(
        lost(&with(
            &json!({"cache_control": {"type": "ephemeral"}, "mcp_servers": null})
        ))
        .is_empty()
    );
}

#[test]
fn what_has_no_openai_field_reaches_no_openai_upstream() {
    let sealed = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
    let result =
        json!({"type": "tool_result", "tool_use_id": "t", "is_error": true, "content": "no"});
    let body = with(&json!({"thinking": {"type": "adaptive"}, "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [sealed, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]},
        {"role": "user", "content": [result]}]}));
    let body = read(&body, Version::June2023).unwrap();
    assert!(body.recalls_thinking());
    let sent: Value = serde_json::from_slice(&body.to_upstream("gpt")).unwrap();
    let call =
        json!({"id": "t", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}});
    assert_eq!(
        sent["messages"],
        json!([{"role": "user", "content": "a"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "t", "content": "no"}])
    );
}

#[test]
fn trials_go_along_and_make_another_request() {
    let bytes = with(&json!({})).to_string();
    let beta = Some("context-1m".to_owned());
    let body = to_openai(
        bytes.as_bytes(),
        Purpose::Answer,
        Version::October2026,
        beta,
    )
    .unwrap();
    let native = body.native_in(Dialect::Anthropic).unwrap();
    assert!(native.headers.contains(&(BETA, "context-1m".to_owned())));
    assert!(
        native
            .headers
            .contains(&("anthropic-version", "2026-10-21".to_owned()))
    );
    assert_eq!(beside(&body), json!({BETA: "context-1m"}));
}

#[test]
fn a_request_goes_to_its_own_dialect_as_it_came() {
    let given = r#"{"model": "alias","max_tokens":12345678901234567890, "messages":[{"role":"user","content":"h\u00e9"}],"novelty":1.0,"stream":true}"#;
    let body = to_openai(given.as_bytes(), Purpose::Answer, Version::June2023, None).unwrap();
    let sent = to_native(&body, "c-9", true, &Defaults::default()).unwrap();
    let expected = r#"{"model":"c-9","max_tokens":12345678901234567890,"messages":[{"role":"user","content":"h\u00e9"}],"novelty":1.0,"stream":true}"#;
    assert_eq!(String::from_utf8(sent).unwrap(), expected);
    let whole = to_native(&body, "c-9", false, &Defaults::default()).unwrap();
    assert!(
        String::from_utf8(whole)
            .unwrap()
            .ends_with("\"stream\":false}")
    );
    assert!(unsupported(&body, &Defaults::default()).is_empty());
}

/// Inbound, then outbound as for a client of OpenAI's dialect.
fn there_and_back(body: &Value) -> Value {
    let openai = read(body, Version::June2023).unwrap();
    let plain = ChatBody::from_object(openai.object().clone()).unwrap();
    serde_json::from_slice(&to_native(&plain, "c", false, &Defaults::default()).unwrap()).unwrap()
}

#[test]
fn thinking_and_its_seals_survive_byte_for_byte_in_front_of_the_turn() {
    let thinking =
        r#"{"type":"thinking","thinking":"h\u00e9 \u2028 1e400","signature":"EqQB+/=="}"#;
    let redacted = r#"{"type":"redacted_thinking","data":"opaque=="}"#;
    let call = r#"{"type":"tool_use","id":"toolu_1","name":"f","input":{"big":123456789012345678901234567890,"a":1.0}}"#;
    let turn = format!(r#"[{thinking},{redacted},{{"type":"text","text":"so"}},{call}]"#);
    let body = format!(
        r#"{{"model":"c","max_tokens":9,"messages":[{{"role":"user","content":"a"}},{{"role":"assistant","content":{turn}}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"toolu_1","content":"r"}}]}}]}}"#
    );
    let openai = to_openai(body.as_bytes(), Purpose::Answer, Version::June2023, None).unwrap();
    let shown: Value = serde_json::from_slice(&openai.object().to_bytes()).unwrap();
    assert_eq!(
        shown["messages"][1]["reasoning_content"],
        "hé \u{2028} 1e400"
    );
    let plain = ChatBody::from_object(openai.object().clone()).unwrap();
    let sent = to_native(&plain, "c", false, &Defaults::default()).unwrap();
    let sent = String::from_utf8(sent).unwrap();
    let sealed = format!(r#"[{thinking},{redacted},{{"#);
    assert!(sent.contains(&sealed) && sent.contains(call), "{sent}");
}

#[test]
fn thinking_without_a_seal_is_ours_and_goes_back_to_nobody() {
    let unsealed = json!({"type": "thinking", "thinking": "hm", "signature": ""});
    let said = json!([unsealed, {"type": "text", "text": "so"}]);
    let body = with(
        &json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": said}]}),
    );
    let read = read(&body, Version::June2023).unwrap();
    let native = read.native_in(Dialect::Anthropic).unwrap();
    let messages: Value = native.object.read("messages").unwrap();
    assert_eq!(
        messages[1]["content"],
        json!([{"type": "text", "text": "so"}])
    );
    assert_eq!(there_and_back(&body)["messages"][1]["content"], "so");
}

#[test]
fn a_seal_of_gemini_goes_back_to_gemini_on_its_call_and_to_nobody_else() {
    let plain = json!({"type": "thinking", "thinking": "hm", "signature": "google:c2Vs"});
    let on_call = json!({"type": "thinking", "thinking": "", "signature": "google-call:Y2Fs"});
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let said = json!([plain, on_call, call("t1"), call("t2")]);
    let body = with(
        &json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": said}]}),
    );
    let read = read(&body, Version::June2023).unwrap();
    let messages: Value = read.object().read("messages").unwrap();
    let calls = &messages[1]["tool_calls"];
    assert_eq!(
        calls[0]["extra_content"]["google"]["thought_signature"],
        "Y2Fs"
    );
    assert_eq!(calls[1].get("extra_content"), None);
    assert_eq!(messages[1]["thinking_blocks"], json!([plain]));

    let only_calls = json!([call("t1"), call("t2")]);
    let native = read.native_in(Dialect::Anthropic).unwrap();
    let as_it_came: Value = native.object.read("messages").unwrap();
    assert_eq!(as_it_came[1]["content"], only_calls);
    assert_eq!(there_and_back(&body)["messages"][1]["content"], only_calls);
}

fn texts() -> impl Strategy<Value = String> {
    "[a-zé\"\\\\ ]{0,8}[a-z]"
}

/// A conversation of plain texts, calls and their results, as this dialect has it.
fn conversations() -> impl Strategy<Value = Value> {
    let turn = (
        texts(),
        prop::collection::vec((texts(), 0..100i64), 0..3),
        texts(),
    );
    (prop::collection::vec(turn, 1..5), prop::option::of(texts())).prop_map(|(turns, system)| {
        let mut messages = vec![json!({"role": "user", "content": "begin"})];
        for (at, (said, calls, next)) in turns.into_iter().enumerate() {
            if calls.is_empty() {
                messages.push(json!({"role": "assistant", "content": said}));
                messages.push(json!({"role": "user", "content": next}));
                continue;
            }
            let id = |n: usize| format!("toolu_{at}_{n}");
            let mut blocks = vec![json!({"type": "text", "text": said})];
            let uses = calls.iter().enumerate();
            blocks.extend(uses.map(|(n, (q, number))| {
                json!({"type": "tool_use", "id": id(n), "name": "f", "input": {"q": q, "n": number}})
            }));
            messages.push(json!({"role": "assistant", "content": blocks}));
            let results = calls.iter().enumerate();
            let mut results: Vec<Value> = results
                .map(|(n, (q, number))| {
                    let mut result = json!({"type": "tool_result", "tool_use_id": id(n), "content": q});
                    if number % 5 == 0 {
                        result["is_error"] = json!(true);
                    }
                    result
                })
                .collect();
            results.push(json!({"type": "text", "text": next}));
            messages.push(json!({"role": "user", "content": results}));
        }
        let mut body = json!({"model": "c", "max_tokens": 9, "messages": messages, "stream": false});
        if let Some(system) = system {
            body["system"] = json!(system);
        }
        body
    })
}

proptest! {
    #[test]
    fn plain_conversations_and_calls_survive_both_translations(body in conversations()) {
        prop_assert_eq!(there_and_back(&body), body);
    }
}
