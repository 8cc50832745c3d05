use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost_types::value::Kind as Held;
use prost_types::{ListValue, Struct, Value as Given};
use serde_json::{Value, json};

use super::super::deadline::Deadline;
use super::*;
use crate::api::options::DEFAULT_TIMEOUT;
use crate::dialect::openai::tap;
use crate::inference::{ReplyMeta, StreamEnd};
use crate::types::{ChatRequest, Moment, TenantId};

const NOW: Moment = Moment::from_millis(5_000);

fn read(asked: v1::GenerateRequest) -> Result<ChatRequest, Error> {
    read_with(asked, &HeaderMap::new(), None)
}

fn read_with(
    asked: v1::GenerateRequest,
    headers: &HeaderMap,
    deadline: Option<Deadline>,
) -> Result<ChatRequest, Error> {
    chat_request(
        asked,
        Call {
            tenant: TenantId::default(),
            headers,
            deadline,
            now: NOW,
            stream: false,
        },
    )
}

fn refused_field(asked: v1::GenerateRequest) -> String {
    read(asked).unwrap_err().param.unwrap()
}

fn prompt() -> v1::GenerateRequest {
    v1::GenerateRequest {
        prompt: "hi".to_owned(),
        ..Default::default()
    }
}

fn held(kind: Held) -> Given {
    Given { kind: Some(kind) }
}

fn options(name: &str, kind: Held) -> Option<Struct> {
    Some(Struct {
        fields: BTreeMap::from([(name.to_owned(), held(kind))]),
    })
}

fn body(request: &ChatRequest) -> Value {
    serde_json::from_slice(&request.body.object().to_bytes()).unwrap()
}

#[test]
fn every_impossible_value_is_refused_by_its_name() {
    let refused = |field: &str, change: fn(&mut v1::GenerateRequest)| {
        let mut asked = prompt();
        change(&mut asked);
        assert_eq!(refused_field(asked), field);
    };
    refused("prompt", |asked| asked.prompt.clear());
    refused("prompt", |asked| {
        asked.messages.push(v1::Message::default())
    });
    refused("priority", |asked| asked.priority = 99);
    refused("cache", |asked| asked.cache = -1);
    refused("temperature", |asked| asked.temperature = Some(f64::NAN));
    refused("temperature", |asked| asked.temperature = Some(2.1));
    refused("top_p", |asked| asked.top_p = Some(-0.1));
    refused("timeout_ms", |asked| asked.timeout_ms = Some(0));
    refused("tools[0].name", |asked| {
        asked.tools.push(v1::Tool::default())
    });
    refused("tags", |asked| {
        asked.tags.insert("k".to_owned(), "v".repeat(129));
    });
    refused("messages[0].role", |asked| {
        asked.prompt.clear();
        asked.messages.push(v1::Message::default());
    });
    refused("tool_choice.function", |asked| {
        let choice = Some(v1::tool_choice::Choice::Function(String::new()));
        asked.tool_choice = Some(v1::ToolChoice { choice });
    });
    refused("tool_choice.mode", |asked| {
        let choice = Some(v1::tool_choice::Choice::Mode(7));
        asked.tool_choice = Some(v1::ToolChoice { choice });
    });
}

#[test]
fn provider_options_cannot_override_what_has_its_own_field() {
    for name in ["model", "messages", "stream", "n", "max_tokens", "tools"] {
        let provider_options = options(name, Held::StringValue("other".to_owned()));
        let asked = v1::GenerateRequest {
            provider_options,
            ..prompt()
        };
        assert_eq!(refused_field(asked), format!("provider_options.{name}"));
    }
}

#[test]
fn provider_options_that_are_not_json_are_refused() {
    let asked = |kind| v1::GenerateRequest {
        provider_options: options("x", kind),
        ..prompt()
    };
    assert_eq!(
        refused_field(asked(Held::NumberValue(f64::INFINITY))),
        "provider_options"
    );
    let mut deep = held(Held::BoolValue(true));
    for _ in 0..40 {
        deep = held(Held::ListValue(ListValue { values: vec![deep] }));
    }
    assert_eq!(refused_field(asked(deep.kind.unwrap())), "provider_options");
}

#[test]
fn provider_options_become_top_level_fields() {
    let provider_options = options("top_k", Held::NumberValue(40.0));
    let request = read(v1::GenerateRequest {
        provider_options,
        ..prompt()
    })
    .unwrap();
    assert_eq!(request.body.object().get("top_k").unwrap().get(), "40");
}

#[test]
fn a_prompt_is_one_user_message_for_the_routes() {
    let request = read(prompt()).unwrap();
    assert_eq!(&*request.model, "auto");
    assert_eq!(
        body(&request)["messages"],
        json!([{"role": "user", "content": "hi"}])
    );
    assert_eq!(request.deadline, NOW + DEFAULT_TIMEOUT);
    assert!(!request.stream && !request.include_usage);
}

#[test]
fn the_message_wins_over_the_metadata() {
    let mut headers = HeaderMap::new();
    headers.insert("x-llm-router-priority", "low".parse().unwrap());
    headers.insert("x-llm-router-cache", "off".parse().unwrap());
    headers.insert("x-llm-router-cache-threshold", "0.97".parse().unwrap());
    headers.insert("x-llm-router-tags", "team=a,region=eu".parse().unwrap());
    let plain = read_with(prompt(), &headers, None).unwrap();
    assert_eq!(plain.min_similarity, Some(0.97));
    assert_eq!(
        (plain.priority, plain.cache),
        (Priority::Low, CacheMode::Off)
    );
    let asked = v1::GenerateRequest {
        priority: v1::Priority::Critical.into(),
        cache: v1::CacheMode::Refresh.into(),
        tags: BTreeMap::from([("team".to_owned(), "b".to_owned())]),
        ..prompt()
    };
    let request = read_with(asked, &headers, None).unwrap();
    assert_eq!(
        (request.priority, request.cache),
        (Priority::Critical, CacheMode::Refresh)
    );
    let tags: BTreeMap<_, _> = request.tags.into_iter().collect();
    assert_eq!(tags["team"], "b");
    assert_eq!(tags["region"], "eu");
}

#[test]
fn the_earliest_stated_deadline_holds() {
    let at = |seconds| NOW + Duration::from_secs(seconds);
    let asked = |millis| v1::GenerateRequest {
        timeout_ms: millis,
        ..prompt()
    };
    let mut headers = HeaderMap::new();
    let deadline = |millis, headers: &HeaderMap, grpc: Option<u64>| {
        read_with(
            asked(millis),
            headers,
            grpc.map(|seconds| Deadline(at(seconds))),
        )
        .unwrap()
        .deadline
    };
    assert_eq!(deadline(Some(2_000), &headers, Some(3)), at(2));
    assert_eq!(deadline(Some(4_000), &headers, Some(3)), at(3));
    assert_eq!(
        deadline(None, &headers, Some(3_000)),
        at(3_000),
        "longer than the default is fine"
    );
    assert_eq!(
        deadline(None, &headers, Some(1_000_000)),
        at(4 * 3600),
        "but not without end"
    );
    headers.insert("x-llm-router-timeout-ms", "1000".parse().unwrap());
    assert_eq!(deadline(None, &headers, Some(3)), at(1));
}

#[test]
fn an_assistants_tool_calls_and_their_answers_are_told_apart() {
    let call = v1::ToolCall {
        id: "c1".to_owned(),
        name: "now".to_owned(),
        arguments: "{}".to_owned(),
    };
    let messages = vec![
        v1::Message {
            role: "user".to_owned(),
            content: "time?".to_owned(),
            ..Default::default()
        },
        v1::Message {
            role: "assistant".to_owned(),
            tool_calls: vec![call],
            ..Default::default()
        },
        v1::Message {
            role: "tool".to_owned(),
            content: "noon".to_owned(),
            tool_call_id: Some("c1".to_owned()),
            ..Default::default()
        },
    ];
    let request = read(v1::GenerateRequest {
        messages,
        ..Default::default()
    })
    .unwrap();
    let sent = body(&request);
    assert_eq!(sent["messages"][1]["content"], Value::Null);
    assert_eq!(
        sent["messages"][1]["tool_calls"][0]["function"]["name"],
        "now"
    );
    assert_eq!(sent["messages"][2]["tool_call_id"], "c1");
}

fn meta() -> ReplyMeta {
    ReplyMeta {
        id: "job-7".into(),
        revision: llm_router_cluster::Revision(4),
        route: Some("cheap".into()),
        model: "gpu-fast".into(),
        attempts: 2,
        dropped: Vec::new(),
        cache: CacheStatus::Miss,
        similarity: None,
        entry: None,
        age: None,
        explained: None,
        elapsed: Duration::from_millis(12),
        estimated: false,
        cost_usd: Some(0.5),
    }
}

#[test]
fn tool_calls_we_cannot_read_are_an_error_not_an_omission() {
    let raw = json!({"choices": [{"index": 0, "message": {"tool_calls": [{"id": 1}]}}]});
    let completion = tap::completion(raw.to_string().into()).unwrap();
    assert_eq!(
        generated(meta(), completion).unwrap_err().kind,
        Kind::UpstreamFailed
    );
}

#[test]
fn a_whole_answer_keeps_its_tool_calls_usage_and_reason() {
    let call = json!({"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{\"a\":1}"}});
    let raw = json!({
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"content": null, "tool_calls": [call]}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    });
    let completion = tap::completion(raw.to_string().into()).unwrap();
    let answer = generated(meta(), completion).unwrap();
    assert_eq!(answer.tool_calls[0].arguments, "{\"a\":1}");
    assert_eq!(answer.finish_reason(), v1::FinishReason::ToolCalls);
    assert_eq!(answer.usage.unwrap().total_tokens, 7);
    assert_eq!(
        (answer.route(), answer.attempts, answer.cached),
        ("cheap", 2, false)
    );
    assert!((answer.latency_ms - 12.0).abs() < 1e-9);
}

#[test]
fn a_piece_of_tool_calls_is_passed_on_as_it_came() {
    let raw = br#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0, "function":{"arguments":"{\"a"}}]}}]}"#;
    let Some(v1::stream_generate_response::Event::ToolCallDelta(calls)) =
        tool_call_delta(raw).and_then(|piece| piece.event)
    else {
        panic!("no tool calls")
    };
    assert_eq!(calls, r#"[{"index":0, "function":{"arguments":"{\"a"}}]"#);
    assert!(tool_call_delta(br#"{"choices":[{"delta":{"content":"x"}}]}"#).is_none());
}

/// The way back, to prove that nothing is lost on the way in.
fn back(request: &ChatRequest) -> v1::GenerateRequest {
    let body = body(request);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let messages = list(&body["messages"]).into_iter().map(|one| v1::Message {
        role: text(&one["role"]),
        content: text(&one["content"]),
        name: one["name"].as_str().map(str::to_owned),
        ..Default::default()
    });
    let tools = list(&body["tools"]).into_iter().map(|one| v1::Tool {
        name: text(&one["function"]["name"]),
        description: one["function"]["description"].as_str().map(str::to_owned),
        parameters: None,
    });
    let further: BTreeMap<String, Given> = body
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| name.starts_with("opt_"))
        .map(|(name, value)| (name.clone(), value_back(value)))
        .collect();
    v1::GenerateRequest {
        messages: messages.collect(),
        model: text(&body["model"]),
        priority: match request.priority {
            Priority::Critical => v1::Priority::Critical.into(),
            Priority::High => v1::Priority::High.into(),
            Priority::Normal => v1::Priority::Normal.into(),
            Priority::Low => v1::Priority::Low.into(),
        },
        max_tokens: body["max_tokens"].as_u64(),
        temperature: body["temperature"].as_f64(),
        top_p: body["top_p"].as_f64(),
        stop: list(&body["stop"]).iter().map(text).collect(),
        seed: body["seed"].as_i64(),
        tools: tools.collect(),
        user: text(&body["user"]),
        tags: request.tags.iter().cloned().collect(),
        cache: match request.cache {
            CacheMode::On => v1::CacheMode::On.into(),
            CacheMode::Exact => v1::CacheMode::Exact.into(),
            CacheMode::Off => v1::CacheMode::Off.into(),
            CacheMode::Refresh => v1::CacheMode::Refresh.into(),
        },
        timeout_ms: u64::try_from(request.deadline.since(NOW).as_millis()).ok(),
        provider_options: (!further.is_empty()).then_some(Struct { fields: further }),
        ..Default::default()
    }
}

fn value_back(value: &Value) -> Given {
    held(match value {
        Value::Null => Held::NullValue(0),
        Value::Bool(truth) => Held::BoolValue(*truth),
        Value::Number(number) => Held::NumberValue(number.as_f64().unwrap()),
        Value::String(text) => Held::StringValue(text.clone()),
        Value::Array(items) => Held::ListValue(ListValue {
            values: items.iter().map(value_back).collect(),
        }),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), value_back(value)));
            Held::StructValue(Struct {
                fields: fields.collect(),
            })
        }
    })
}

fn given_value() -> impl Strategy<Value = Given> {
    let leaf = prop_oneof![
        Just(Held::NullValue(0)),
        any::<bool>().prop_map(Held::BoolValue),
        (-1_000_000i32..1_000_000).prop_map(|n| Held::NumberValue(f64::from(n) / 8.0)),
        (-1_000_000i32..1_000_000).prop_map(|whole| Held::NumberValue(whole.into())),
        ".{0,8}".prop_map(Held::StringValue),
    ]
    .prop_map(held);
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| held(Held::ListValue(ListValue { values }))),
            btree_map(".{0,4}", inner, 0..4)
                .prop_map(|fields| held(Held::StructValue(Struct { fields }))),
        ]
    })
}

prop_compose! {
    fn given_message()(role in "system|user|assistant", content in ".{0,20}", name in option::of("[a-z]{1,8}"))
        -> v1::Message {
        v1::Message { role, content, name, ..Default::default() }
    }
}

prop_compose! {
    fn given_tool()(name in "[a-z_]{1,8}", description in option::of(".{0,12}")) -> v1::Tool {
        v1::Tool { name, description, parameters: None }
    }
}

prop_compose! {
    fn knobs()(
        max_tokens in option::of(any::<u64>()),
        temperature in option::of((0u8..=16).prop_map(|eighths| f64::from(eighths) / 8.0)),
        top_p in option::of((0u8..=8).prop_map(|eighths| f64::from(eighths) / 8.0)),
        seed in option::of(any::<i64>()),
        stop in vec(".{1,5}", 0..3),
        user in ".{0,8}",
    ) -> v1::GenerateRequest {
        v1::GenerateRequest { max_tokens, temperature, top_p, seed, stop, user, ..Default::default() }
    }
}

prop_compose! {
    fn given_request()(
        knobs in knobs(),
        messages in vec(given_message(), 1..5),
        model in "[a-z]{1,8}",
        tools in vec(given_tool(), 0..3),
        (priority, cache) in (1i32..=4, 1i32..=4),
        tags in btree_map("[a-z]{1,8}", ".{0,8}", 0..4),
        timeout in 1u64..14_400_000,
        further in btree_map("opt_[a-z]{1,4}", given_value(), 0..4),
    ) -> v1::GenerateRequest {
        let provider_options = (!further.is_empty()).then_some(Struct { fields: further });
        v1::GenerateRequest {
            messages, model, tools, priority, cache, tags,
            timeout_ms: Some(timeout), provider_options, ..knobs
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_on_the_way_in(asked in given_request()) {
        let request = read(asked.clone()).unwrap();
        prop_assert_eq!(back(&request), asked);
    }

    #[test]
    fn the_streamed_message_has_the_same_fields_by_number(asked in given_request()) {
        use prost::Message as _;
        let bytes = asked.encode_to_vec();
        let streamed = v1::StreamGenerateRequest::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(from_stream(streamed), asked.clone());
        let explained = v1::ExplainRequest::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(from_explain(explained), asked);
    }
}

#[test]
fn the_end_of_a_stream_names_who_carried_it_on() {
    let end = StreamEnd {
        cost_usd: Some(0.25),
        recovered: Some("b".into()),
        estimated: true,
    };
    let told = stream_finish((Some(Finish::Stop), None), end, Duration::ZERO);
    let Some(v1::stream_generate_response::Event::Finish(finish)) = told.event else {
        panic!("{told:?}")
    };
    assert_eq!((finish.recovered_by(), finish.cost_usd()), ("b", 0.25));
    assert!(finish.estimated);
}
