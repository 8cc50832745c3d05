mod writing;

use serde_json::{Value, json};

use super::{Inbound, read};
use crate::dialect::openai::BadRequest;
use crate::types::Dialect;

fn parse(body: &Value) -> Result<Inbound, BadRequest> {
    read(body.to_string().as_bytes())
}

/// The chat that a request is asked as.
fn chat(body: &Value) -> Value {
    let inbound = parse(body).unwrap();
    serde_json::from_slice(&inbound.chat.object().to_bytes()).unwrap()
}

/// What of a request cannot be told: all of it, and what is essential.
fn untold(body: &Value) -> (Vec<String>, Vec<String>) {
    let inbound = parse(body).unwrap();
    let parts = inbound.chat.untranslated();
    let named = |essential: bool| {
        let parts = parts.iter().filter(|part| part.essential == essential);
        parts.map(|part| part.param.to_string()).collect()
    };
    (named(false), named(true))
}

#[test]
fn a_string_is_a_users_message_and_instructions_stand_above_it() {
    let body = json!({"model": "m", "input": "hi", "instructions": "be brief", "stream": true,
        "max_output_tokens": 9, "temperature": 0.5, "reasoning": {"effort": "low"},
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n",
            "schema": {"type": "object"}, "strict": true}},
        "store": true, "metadata": {"a": "b"}, "user": "u"});
    let chat = chat(&body);
    assert_eq!(
        chat["messages"],
        json!([{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}])
    );
    assert_eq!(chat["max_completion_tokens"], 9);
    assert_eq!(
        (&chat["temperature"], &chat["stream"]),
        (&json!(0.5), &json!(true))
    );
    assert_eq!(
        (&chat["reasoning_effort"], &chat["verbosity"]),
        (&json!("low"), &json!("low"))
    );
    let format = json!({"type": "json_schema", "json_schema":
        {"name": "n", "schema": {"type": "object"}, "strict": true}});
    assert_eq!(chat["response_format"], format);
    assert_eq!(chat["user"], "u");
    for gone in [
        "store",
        "metadata",
        "input",
        "instructions",
        "text",
        "reasoning",
    ] {
        assert_eq!(chat.get(gone), None, "{gone}");
    }
    assert_eq!(untold(&body), (Vec::new(), Vec::new()));
}

#[test]
fn the_request_goes_along_as_it_came() {
    let text = r#"{ "input": "hi",  "big": 123456789012345678901234567890, "model":"m" }"#;
    let inbound = read(text.as_bytes()).unwrap();
    let native = inbound.chat.native_in(Dialect::Responses).unwrap();
    let sent = String::from_utf8(native.object.to_bytes()).unwrap();
    assert!(sent.contains("123456789012345678901234567890"), "{sent}");
}

#[test]
fn a_turn_with_calls_and_their_outputs_becomes_chat_messages() {
    let body = json!({"input": [
        {"role": "user", "content": [{"type": "input_text", "text": "weather?"},
            {"type": "input_image", "image_url": "data:x", "detail": "low"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": "let me look"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}"},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sun"},
        {"type": "function_call_output", "call_id": "c2",
            "output": [{"type": "input_text", "text": "rain"}]},
        {"role": "assistant", "content": "both"},
        {"role": "developer", "content": "now in French"},
    ]});
    let messages = chat(&body)["messages"].take();
    assert_eq!(
        messages,
        json!([
            {"role": "user", "content": [{"type": "text", "text": "weather?"},
                {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}]},
            {"role": "assistant", "content": "let me look", "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "c1", "type": "function",
                        "function": {"name": "f", "arguments": "{\"a\":1}"}},
                    {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
            {"role": "tool", "tool_call_id": "c2", "content": "rain"},
            {"role": "assistant", "content": "both"},
            {"role": "developer", "content": "now in French"},
        ])
    );
}

#[test]
fn functions_are_told_and_tools_of_the_servers_own_bar_whoever_has_none() {
    let body = json!({"input": "hi", "parallel_tool_calls": false,
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": null},
            {"type": "web_search"}],
        "tool_choice": {"type": "function", "name": "f"}});
    let chat = chat(&body);
    let function = json!({"type": "function",
        "function": {"name": "f", "parameters": {"type": "object"}}});
    assert_eq!(chat["tools"], json!([function]));
    assert_eq!(
        chat["tool_choice"],
        json!({"type": "function", "function": {"name": "f"}})
    );
    assert_eq!(chat["parallel_tool_calls"], false);
    assert_eq!(untold(&body).1, ["tools[type=web_search]"]);
}

#[test]
fn what_only_a_server_that_remembers_can_do_is_essential_and_the_rest_may_be_left_out() {
    for (field, value) in [
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!("conv_1")),
        ("prompt", json!({"id": "pmpt_1"})),
        ("background", json!(true)),
    ] {
        let mut body = json!({"input": "hi"});
        body[field] = value;
        assert_eq!(untold(&body).1, [field]);
        body[field] = Value::Null;
        assert_eq!(untold(&body), (Vec::new(), Vec::new()));
    }
    // the whole matter is remembered elsewhere
    assert_eq!(untold(&json!({"prompt": {"id": "p"}})).1, ["prompt"]);
    let file = json!({"input": [{"role": "user",
        "content": [{"type": "input_file", "file_id": "f"}]}, {"type": "item_reference", "id": "i"}]});
    assert_eq!(
        untold(&file).1,
        [
            "input[].content[type=input_file]",
            "input[type=item_reference]"
        ]
    );
    let optional = json!({"input": "hi", "truncation": "auto", "include": ["x.y"],
        "max_tool_calls": 3, "reasoning": {"summary": "auto"}, "new_field": 1,
        "background": false, "text": {"format": {"type": "text"}}});
    let named = [
        "reasoning.summary",
        "include[x.y]",
        "truncation",
        "max_tool_calls",
        "new_field",
    ];
    assert_eq!(
        untold(&optional),
        (named.map(str::to_owned).to_vec(), Vec::new())
    );
}

#[test]
fn what_a_chat_has_no_field_for_tells_requests_apart() {
    let beside = |body: &Value| {
        parse(body)
            .unwrap()
            .chat
            .native()
            .unwrap()
            .beside
            .to_bytes()
    };
    let plain = beside(&json!({"input": "hi", "store": true, "stream": true, "tools": []}));
    assert_eq!(plain, b"{}");
    let mut seen = vec![plain];
    let sealed = |seal: &str| {
        json!([{"role": "user", "content": "hi"},
        {"type": "reasoning", "summary": [], "encrypted_content": seal}])
    };
    for more in [
        json!({"include": ["message.output_text.logprobs"], "top_logprobs": 5}),
        json!({"include": ["reasoning.encrypted_content"]}),
        json!({"top_logprobs": 5}),
        json!({"reasoning": {"summary": "auto"}}),
        json!({"text": {"novelty": 1}}),
        json!({"truncation": "auto"}),
        json!({"max_tool_calls": 2}),
        json!({"novelty": 1}),
        json!({"metadata": {"a": "b"}}),
        json!({"prompt_cache_key": "k"}),
        json!({"tools": [{"type": "function", "name": "f", "novelty": 1}]}),
        json!({"input": sealed("one")}),
        json!({"input": sealed("two")}),
    ] {
        let mut body = json!({"input": "hi"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let beside = beside(&body);
        assert!(!seen.contains(&beside), "{body}");
        seen.push(beside);
    }
}

#[test]
fn odd_names_neither_hide_the_others_nor_grow_without_bound() {
    let body = json!({"input": "hi", "größe": 1, "max_tool_calls": 3});
    assert_eq!(untold(&body).0, ["gr??e", "max_tool_calls"]);
    let mut many = json!({"input": "hi"});
    for n in 0..9000 {
        many[format!("f{n}")] = json!(1);
    }
    let told = parse(&many).unwrap().chat.lost().told();
    assert_eq!(told.len(), 33);
    assert_eq!(told[32].param, "and 8968 more");
}

#[test]
fn a_wrong_field_is_named() {
    for (body, param) in [
        (json!({}), "input"),
        (json!({"input": 3}), "input"),
        (json!({"input": []}), "input"),
        (json!({"input": [{"type": "function_call"}]}), "input"),
        (
            json!({"input": [{"role": "tool", "content": "x"}]}),
            "input",
        ),
        (json!({"input": [{}]}), "input"),
        (json!({"input": "a", "tools": 1}), "tools"),
        (
            json!({"input": "a", "tools": [{"type": "function"}]}),
            "tools",
        ),
        (
            json!({"input": "a", "max_output_tokens": 0}),
            "max_output_tokens",
        ),
        (json!({"input": "a", "stream": "yes"}), "stream"),
        (json!({"input": "a", "temperature": 9}), "temperature"),
        (json!({"input": "a", "instructions": {}}), "instructions"),
        (json!({"input": "a", "background": "x"}), "background"),
    ] {
        assert_eq!(parse(&body).unwrap_err().param(), Some(param), "{body}");
    }
}
