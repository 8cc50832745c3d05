use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::dialect::gemini::{NO_SEAL, to_native, uncarried};
use crate::dialect::openai::ChatBody;

const EARLY: &str = "gemini-2.5-flash";
const LATER: &str = "gemini-3-pro-preview";

fn body(value: &Value) -> ChatBody {
    ChatBody::parse(value.to_string().as_bytes()).unwrap()
}

fn user(rest: Value) -> Value {
    let mut value = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let fields = rest.as_object().unwrap().clone();
    value.as_object_mut().unwrap().extend(fields);
    value
}

fn said(message: Value) -> Value {
    json!({"messages": [message]})
}

fn native_for(model: &str, value: &Value) -> Value {
    let sent = to_native(&body(value), model, &BTreeMap::new()).unwrap();
    serde_json::from_slice(&sent).unwrap()
}

fn native(value: &Value) -> Value {
    native_for(EARLY, value)
}

/// The parts that bar a model, and those that may be left out.
fn lost(value: &Value) -> (Vec<String>, Vec<String>) {
    let (essential, droppable): (Vec<_>, Vec<_>) = uncarried(&body(value))
        .into_iter()
        .partition(|part| part.essential);
    let names = |parts: Vec<crate::dialect::carry::Uncarried>| {
        parts
            .into_iter()
            .map(|part| part.param.into_owned())
            .collect()
    };
    (names(essential), names(droppable))
}

#[test]
fn what_a_user_said_bars_the_model_rather_than_being_dropped() {
    let content = |part: Value| said(json!({"role": "user", "content": [part]}));
    for (value, param) in [
        (user(json!({"n": 2})), "n"),
        (user(json!({"functions": [{"name": "f"}]})), "functions"),
        (
            user(json!({"tools": [{"type": "custom", "custom": {"name": "f"}}]})),
            "tools[type=custom]",
        ),
        (
            content(json!({"type": "file", "file": {"file_id": "file-1"}})),
            "messages[].content[type=file]",
        ),
        (
            content(json!({"type": "image_url", "image_url": {"url": "data:image/png,raw"}})),
            "messages[].content[type=image_url]",
        ),
        (
            content(json!({"type": "image_url", "image_url": {"url": "ftp://x/y.png"}})),
            "messages[].content[type=image_url]",
        ),
        (
            content(json!({"type": "hologram"})),
            "messages[].content[type=hologram]",
        ),
        (
            said(json!({"role": "user", "content": 7})),
            "messages[].content",
        ),
        (
            said(json!({"role": "tool", "tool_call_id": "never", "content": "x"})),
            "messages[].tool_call_id",
        ),
        (
            said(
                json!({"role": "assistant", "tool_calls": [{"id": "c", "type": "function",
                "function": {"name": "f", "arguments": "[1]"}}]}),
            ),
            "messages[].tool_calls[].function.arguments",
        ),
        (
            said(json!({"role": "narrator", "content": "x"})),
            "messages[].role",
        ),
        (
            said(json!({"role": "assistant", "content": null, "audio": {"id": "a"}})),
            "messages[].audio",
        ),
    ] {
        assert_eq!(lost(&value).0, [param], "{value}");
        let refused = to_native(&body(&value), EARLY, &BTreeMap::new()).unwrap_err();
        assert_eq!((refused.param.as_ref(), refused.essential), (param, true));
    }
}

#[test]
fn parameters_without_a_place_are_named_and_those_that_say_nothing_are_not() {
    let given = user(
        json!({"logit_bias": {"1": 2}, "logprobs": true, "top_logprobs": 2,
        "parallel_tool_calls": false, "verbosity": "high", "store": true, "guided_json": {"a": 1}, "web_search_options": {},
        "reasoning_effort": "boundless", "response_format": {"type": "grammar"},
        "extra_body": {"google": {"thought_tag_marker": "t"}, "x": 1}}),
    );
    let (essential, mut droppable) = lost(&given);
    assert!(essential.is_empty());
    droppable.sort();
    let all = [
        "extra_body.google.thought_tag_marker",
        "extra_body.x",
        "guided_json",
        "logit_bias",
        "logprobs",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "store",
        "verbosity",
        "web_search_options",
    ];
    assert_eq!(droppable, all);
    let plain = user(
        json!({"temperature": 1, "top_p": 1, "top_k": 4, "seed": 1, "stop": ["a"],
        "max_tokens": 4, "presence_penalty": 0, "frequency_penalty": 0, "n": 1, "stream": true,
        "stream_options": {"include_usage": true}, "logprobs": false, "store": null, "user": "u",
        "metadata": {"a": "b"}, "service_tier": "auto", "parallel_tool_calls": true,
        "modalities": ["text"], "reasoning_effort": "low"}),
    );
    assert_eq!(lost(&plain), (vec![], vec![]));
}

#[test]
fn what_is_named_is_bounded_and_fit_for_a_header() {
    let mut given = user(json!({"bad\r\nname: x": 1}));
    for n in 0..80 {
        given[format!("f{n}")] = json!(1);
    }
    given["n"] = json!(3);
    let (essential, droppable) = lost(&given);
    assert_eq!(essential, ["n"]);
    assert_eq!((droppable.len(), &*droppable[32]), (33, "and 49 more"));
    assert!(
        droppable[..32]
            .iter()
            .all(|name| name.bytes().all(|b| b.is_ascii_graphic()))
    );
}

#[test]
fn parameters_become_settings_and_the_requests_own_win() {
    let defaults = BTreeMap::from([
        ("temperature".to_owned(), json!(0.9)),
        ("topK".to_owned(), json!(9)),
        (
            "safetySettings".to_owned(),
            json!([{"category": "C", "threshold": "OFF"}]),
        ),
    ]);
    let given = user(
        json!({"temperature": 0.1, "top_p": 0.5, "seed": 7, "stop": "END",
        "max_completion_tokens": 12, "max_tokens": 99, "frequency_penalty": 0.2, "presence_penalty": 0.3}),
    );
    let sent = to_native(&body(&given), EARLY, &defaults).unwrap();
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    let expected = json!({"temperature": 0.1, "topK": 9, "topP": 0.5, "seed": 7,
        "stopSequences": ["END"], "maxOutputTokens": 12, "frequencyPenalty": 0.2, "presencePenalty": 0.3});
    assert_eq!(sent["generationConfig"], expected);
    assert_eq!(sent["safetySettings"][0]["threshold"], "OFF");
    assert!(sent.get("model").is_none() && sent.get("stream").is_none());
    assert!(native(&user(json!({}))).get("generationConfig").is_none());
}

#[test]
fn formats_take_geminis_words_and_schemas_stay_as_they_are() {
    let config = |format: Value| {
        native(&user(json!({"response_format": format})))["generationConfig"].take()
    };
    let schema = json!({"type": "object", "additionalProperties": false, "$defs": {"a": {"type": "string"}},
        "properties": {"x": {"$ref": "#/$defs/a"}}});
    let named = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let expected = json!({"responseMimeType": "application/json", "responseJsonSchema": schema});
    assert_eq!(config(named), expected);
    let object = config(json!({"type": "json_object"}));
    assert_eq!(object, json!({"responseMimeType": "application/json"}));
    assert_eq!(config(json!({"type": "text"})), Value::Null);
}

#[test]
fn effort_is_a_budget_for_early_models_and_a_level_for_later_ones() {
    let config = |model: &str, given: Value| {
        native_for(model, &user(given))["generationConfig"]["thinkingConfig"].take()
    };
    let effort = |level: &str| json!({"reasoning_effort": level});
    for (model, level, expected) in [
        (
            EARLY,
            "none",
            json!({"thinkingBudget": 0, "includeThoughts": false}),
        ),
        (
            EARLY,
            "low",
            json!({"thinkingBudget": 1024, "includeThoughts": true}),
        ),
        (
            EARLY,
            "max",
            json!({"thinkingBudget": 24576, "includeThoughts": true}),
        ),
        (
            "gemini-2.5-pro",
            "none",
            json!({"thinkingBudget": 128, "includeThoughts": false}),
        ),
        (
            LATER,
            "none",
            json!({"thinkingLevel": "low", "includeThoughts": false}),
        ),
        (
            LATER,
            "xhigh",
            json!({"thinkingLevel": "high", "includeThoughts": true}),
        ),
        (
            "gemini-flash-latest",
            "minimal",
            json!({"thinkingLevel": "minimal", "includeThoughts": true}),
        ),
    ] {
        assert_eq!(config(model, effort(level)), expected, "{model} {level}");
    }
    let budget = json!({"thinking": {"type": "enabled", "budget_tokens": 2048}});
    let expected = json!({"thinkingBudget": 2048, "includeThoughts": true});
    assert_eq!(config(EARLY, budget), expected);
    let own = json!({"reasoning_effort": "low", "extra_body": {"google": {"cached_content": "c/1",
        "thinking_config": {"thinking_budget": 5, "include_thoughts": false}}}});
    let expected = json!({"thinkingBudget": 5, "includeThoughts": false});
    assert_eq!(config(EARLY, own.clone()), expected);
    assert_eq!(native(&user(own))["cachedContent"], "c/1");
}

#[test]
fn tools_and_the_choice_between_them_are_told() {
    let tools = json!([{"type": "function", "function": {"name": "f", "description": "finds",
        "parameters": {"type": "object", "properties": {"q": {"type": ["string", "null"]}}}}},
        {"type": "function", "function": {"name": "g"}}]);
    let sent = |choice: Value| native(&user(json!({"tools": tools, "tool_choice": choice})));
    let expected = json!([{"functionDeclarations": [
        {"name": "f", "description": "finds",
            "parametersJsonSchema": tools[0]["function"]["parameters"]},
        {"name": "g"}]}]);
    assert_eq!(sent(Value::Null)["tools"], expected);
    assert!(sent(Value::Null).get("toolConfig").is_none());
    let allowed = |mode: &str| {
        json!({"type": "allowed_tools", "allowed_tools": {"mode": mode,
            "tools": [{"type": "function", "function": {"name": "g"}}]}})
    };
    for (choice, config) in [
        (json!("auto"), json!({"mode": "AUTO"})),
        (json!("none"), json!({"mode": "NONE"})),
        (json!("required"), json!({"mode": "ANY"})),
        (
            json!({"type": "function", "function": {"name": "g"}}),
            json!({"mode": "ANY", "allowedFunctionNames": ["g"]}),
        ),
        (
            allowed("required"),
            json!({"mode": "ANY", "allowedFunctionNames": ["g"]}),
        ),
        (
            allowed("auto"),
            json!({"mode": "VALIDATED", "allowedFunctionNames": ["g"]}),
        ),
    ] {
        let sent = sent(choice.clone());
        assert_eq!(
            sent["toolConfig"]["functionCallingConfig"], config,
            "{choice}"
        );
    }
    let odd = user(json!({"tools": tools, "tool_choice": {"type": "custom"}}));
    assert_eq!(lost(&odd).1, ["tool_choice"]);
}

#[test]
fn media_travel_inside_or_by_their_address() {
    let given = said(json!({"role": "user", "content": [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA+/=="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a/cat.JPG?x=1.png", "detail": "high"}},
        {"type": "image_url", "image_url": "https://example.com/pictures/7"},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "text", "text": ""}]}));
    let expected = json!([{"text": "look"},
        {"inlineData": {"mimeType": "image/png", "data": "AA+/=="}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/a/cat.JPG?x=1.png"}},
        {"fileData": {"fileUri": "https://example.com/pictures/7"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}}]);
    assert_eq!(
        native(&given)["contents"],
        json!([{"role": "user", "parts": expected}])
    );
    assert_eq!(lost(&given).1, ["messages[].content[].image_url.detail"]);
    // an escaped slash is the same address
    let escaped = br#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image\/png;base64,A\/A="}}]}]}"#;
    let sent = to_native(&ChatBody::parse(escaped).unwrap(), EARLY, &BTreeMap::new()).unwrap();
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    let blob = json!({"mimeType": "image/png", "data": "A/A="});
    assert_eq!(sent["contents"][0]["parts"][0]["inlineData"], blob);
}

#[test]
fn a_tool_conversation_keeps_names_ids_and_exact_numbers() {
    let text = r#"{"messages":[
        {"role":"system","content":"be kind"},{"role":"developer","content":[{"type":"text","text":"be brief"}]},
        {"role":"user","content":"go"},
        {"role":"assistant","content":"on it","tool_calls":[
            {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"big\":123456789012345678901234567890}"}},
            {"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},
        {"role":"tool","tool_call_id":"c2","content":"{\"n\": 1.50}"},
        {"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"42"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}]},
        {"role":"user","content":"and?"}]}"#;
    let parsed = ChatBody::parse(text.as_bytes()).unwrap();
    let bytes = to_native(&parsed, EARLY, &BTreeMap::new()).unwrap();
    let sent = String::from_utf8(bytes.clone()).unwrap();
    let exact = r#""args":{"big":123456789012345678901234567890}"#;
    assert!(
        sent.contains(exact) && sent.contains(r#""response":{"n": 1.50}"#),
        "{sent}"
    );
    let sent: Value = serde_json::from_slice(&bytes).unwrap();
    let system = json!({"parts": [{"text": "be kind"}, {"text": "be brief"}]});
    assert_eq!(sent["systemInstruction"], system);
    let turns = sent["contents"].as_array().unwrap();
    let roles: Vec<&str> = turns
        .iter()
        .map(|turn| turn["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["user", "model", "user", "user"]);
    assert_eq!(turns[1]["parts"][0], json!({"text": "on it"}));
    let second = json!({"functionCall": {"id": "c2", "name": "g", "args": {}}});
    assert_eq!(turns[1]["parts"][2], second);
    assert_eq!(turns[2]["parts"][0]["functionResponse"]["name"], "g");
    let answered = json!({"functionResponse": {"id": "c1", "name": "f", "response": {"output": "42"},
        "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}]}});
    assert_eq!(turns[2]["parts"][1], answered);
    assert_eq!(turns[3]["parts"], json!([{"text": "and?"}]));
}

#[test]
fn instructions_alone_become_the_question() {
    let sent = native(&said(json!({"role": "system", "content": "say hi"})));
    let turn = json!([{"role": "user", "parts": [{"text": "say hi"}]}]);
    assert_eq!(sent["contents"], turn);
    assert!(sent.get("systemInstruction").is_none());
}

#[test]
fn seals_go_back_where_they_came_from_and_foreign_ones_do_not() {
    let call = |seal: Value| {
        json!({"id": "c", "type": "function",
        "function": {"name": "f", "arguments": "{}"}, "extra_content": seal})
    };
    let sealed = call(json!({"google": {"thought_signature": "S1=="}}));
    let bare = call(Value::Null);
    let turn = |message: Value| native_for(LATER, &said(message))["contents"][0]["parts"].take();
    let both = turn(json!({"role": "assistant", "content": null, "tool_calls": [sealed, bare]}));
    assert_eq!(both[0]["thoughtSignature"], "S1==");
    assert!(
        both[1].get("thoughtSignature").is_none(),
        "only the first of a turn is sealed"
    );
    let foreign = turn(json!({"role": "assistant", "content": null, "tool_calls": [bare]}));
    assert_eq!(foreign[0]["thoughtSignature"], NO_SEAL);
    let early = native(&said(
        json!({"role": "assistant", "content": null, "tool_calls": [bare]}),
    ));
    assert!(
        early["contents"][0]["parts"][0]
            .get("thoughtSignature")
            .is_none()
    );
    let blocks = json!([{"type": "thinking", "thinking": "hm", "signature": "google:S2"},
        {"type": "thinking", "thinking": "", "signature": "anthropics-own"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "thinking", "thinking": "", "signature": "google:S3"}]);
    let text = turn(json!({"role": "assistant", "content": "so", "thinking_blocks": blocks}));
    let expected =
        json!([{"text": "", "thoughtSignature": "S2"}, {"text": "so", "thoughtSignature": "S3"}]);
    assert_eq!(text, expected);
}
