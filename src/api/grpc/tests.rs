//! The whole door, over real connections, in front of a scripted node.

mod admin;
mod deadlines;
mod scripted;
mod shutting;

use std::time::Duration;

use futures::StreamExt as _;
use llm_router_proto::llm_router::v1;
use llm_router_proto::llm_router::v1::router_service_client::RouterServiceClient;
use llm_router_proto::llm_router::v1::stats_service_client::StatsServiceClient;
use llm_router_proto::llm_router::v1::stream_generate_response::Event;
use tonic::Code;
use tonic_types::StatusExt as _;

use self::scripted::{Open, Scripted};
use crate::dialect::openai::build::Head;
use crate::dialect::whole::Whole;
use crate::error::{Error, Kind, Tried};
use crate::inference::{Reply, ReplyBody};
use crate::types::{Event as Said, Finish, Usage};

fn asking(prompt: &str) -> v1::GenerateRequest {
    v1::GenerateRequest {
        prompt: prompt.to_owned(),
        ..Default::default()
    }
}

fn streaming(prompt: &str) -> v1::StreamGenerateRequest {
    v1::StreamGenerateRequest {
        prompt: prompt.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_exhausted_plan_says_what_was_tried() {
    let node = Scripted::new(|_| async {
        let tried = Tried {
            model: "gpu-fast".into(),
            reason: "breaker open".to_owned(),
        };
        Err(Error::new(Kind::Unavailable, "no candidate could be tried").with_tried(vec![tried]))
    });
    let open = Open::before(node).await;
    let mut client = RouterServiceClient::new(open.channel().await);
    let status = client.generate(asking("hi")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().contains("gpu-fast: breaker open"),
        "{}",
        status.message()
    );
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "UNAVAILABLE");
    assert_eq!(
        details.retry_info().unwrap().retry_delay,
        Some(Duration::from_secs(1))
    );
    let id = &details.request_info().unwrap().request_id;
    assert_eq!(status.metadata().get("x-request-id").unwrap(), id.as_str());
    assert_eq!(status.metadata().get("x-llm-router-node").unwrap(), "n1");
}

#[tokio::test]
async fn a_bad_field_is_refused_before_the_node_is_asked() {
    let node = Scripted::new(|_| async { panic!("the node must not be asked") });
    let open = Open::before(node).await;
    let mut client = RouterServiceClient::new(open.channel().await);
    let asked = v1::GenerateRequest {
        temperature: Some(9.0),
        ..asking("hi")
    };
    let status = client.generate(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    assert_eq!(
        details.bad_request().unwrap().field_violations[0].field,
        "temperature"
    );
}

#[tokio::test]
async fn vectors_come_in_order_with_their_facts_and_bad_inputs_are_named() {
    let open = Open::before(Scripted::saying("x")).await;
    let mut client = RouterServiceClient::new(open.channel().await);
    let asked = |inputs: &[&str]| v1::EmbedRequest {
        inputs: inputs.iter().map(|text| (*text).to_owned()).collect(),
        model: "m".to_owned(),
        ..Default::default()
    };
    let response = client.embed(asked(&["a", "bbb"])).await.unwrap();
    assert_eq!(
        response.metadata().get("x-llm-router-model").unwrap(),
        "gpu-fast"
    );
    let made = response.into_inner();
    let vectors: Vec<_> = made.embeddings.into_iter().map(|one| one.values).collect();
    assert_eq!(vectors, [[1.0], [3.0]]);
    assert_eq!(made.usage.unwrap().total_tokens, 4);
    assert_eq!(
        (made.model_used.as_str(), made.upstream_model.as_str()),
        ("gpu-fast", "up")
    );
    let both = v1::EmbedRequest {
        token_inputs: vec![v1::TokenList { ids: vec![1] }],
        ..asked(&["a"])
    };
    let long = v1::EmbedRequest {
        dimensions: Some(0),
        ..asked(&["a"])
    };
    for (wrong, field) in [
        (asked(&[]), "inputs"),
        (asked(&["a", ""]), "inputs"),
        (both, "token_inputs"),
        (long, "dimensions"),
    ] {
        let status = client.embed(wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let named = &details.bad_request().unwrap().field_violations[0].field;
        assert_eq!(named, field, "{status:?}");
    }
}

#[tokio::test]
async fn an_oversized_message_is_refused() {
    let open = Open::before(Scripted::saying("x")).await;
    let mut client = RouterServiceClient::new(open.channel().await);
    let status = client
        .generate(asking(&"x".repeat(8 * 1024 * 1024 + 1)))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
}

#[tokio::test]
async fn an_unknown_model_is_not_found() {
    let open = Open::before(Scripted::saying("x")).await;
    let mut stats = StatsServiceClient::new(open.channel().await);
    let asked = v1::GetModelStatusRequest {
        model: "nope".to_owned(),
    };
    assert_eq!(
        stats.get_model_status(asked).await.unwrap_err().code(),
        Code::NotFound
    );
    let mut router = RouterServiceClient::new(open.channel().await);
    let asked = v1::ExplainRequest {
        prompt: "x".to_owned(),
        model: "nope".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        router.explain(asked).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn an_answer_carries_its_facts_in_the_message_and_the_metadata() {
    let open = Open::before(Scripted::saying("Paris")).await;
    let mut client = RouterServiceClient::new(open.channel().await);
    let mut call = tonic::Request::new(asking("capital of France?"));
    call.metadata_mut()
        .insert("x-request-id", "job-7".parse().unwrap());
    let response = client.generate(call).await.unwrap();
    let expected = [
        ("x-request-id", "job-7"),
        ("x-llm-router-model", "gpu-fast"),
        ("x-llm-router-route", "cheap"),
        ("x-llm-router-cache", "semantic"),
        ("x-llm-router-attempts", "1"),
        ("x-llm-router-similarity", "0.9375"),
        ("x-llm-router-node", "n1"),
    ];
    for (name, value) in expected {
        assert_eq!(response.metadata().get(name).unwrap(), value, "{name}");
    }
    let answer = response.into_inner();
    assert_eq!(
        (answer.content.as_str(), answer.model_used.as_str()),
        ("Paris", "gpu-fast")
    );
    assert!(answer.cached);
    assert_eq!(answer.cache(), v1::CacheStatus::Semantic);
    assert_eq!(answer.finish_reason(), v1::FinishReason::Stop);
    assert_eq!(answer.request_id, "job-7");
    assert_eq!(answer.usage.unwrap().total_tokens, 5);
}

async fn events(open: &Open) -> Vec<Result<Event, tonic::Status>> {
    let mut client = RouterServiceClient::new(open.channel().await);
    let replies = client
        .stream_generate(streaming("hi"))
        .await
        .unwrap()
        .into_inner();
    replies
        .map(|reply| reply.map(|reply| reply.event.unwrap()))
        .collect()
        .await
}

/// The events of a stream in which no error comes.
async fn whole_stream(open: &Open) -> Vec<Event> {
    let events = events(open).await;
    events.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_stream_that_is_cut_off_ends_in_an_error_not_a_finish() {
    let node = Scripted::streaming(Duration::ZERO, || {
        let cut = Error::new(Kind::UpstreamFailed, "the upstream closed mid-answer");
        vec![Ok(Head::new("m").text("Pa")), Err(cut)]
    });
    let events = events(&Open::before(node).await).await;
    assert_eq!(events.len(), 3);
    let status = events[2].as_ref().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "UPSTREAM_FAILED"
    );
}

#[tokio::test]
async fn a_stream_is_one_start_then_deltas_then_one_finish() {
    let node = Scripted::streaming(Duration::ZERO, || {
        let head = Head::new("m");
        let calls = serde_json::json!([{"index": 0, "function": {"name": "now"}}]);
        let chunks = vec![
            head.role(),
            head.text("Pa"),
            head.text("ris"),
            head.tool_calls(&calls),
            head.finish(Finish::Stop),
            head.usage(Usage::new(3, 2)),
        ];
        chunks.into_iter().map(Ok).collect()
    });
    let events = whole_stream(&Open::before(node).await).await;
    let [
        Event::Start(start),
        Event::Delta(a),
        Event::Delta(b),
        Event::ToolCallDelta(c),
        Event::Finish(end),
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(
        (start.model_used.as_str(), start.route()),
        ("gpu-fast", "cheap")
    );
    assert_eq!(format!("{a}{b}"), "Paris");
    assert!(c.contains("now"));
    assert_eq!(end.finish_reason(), v1::FinishReason::Stop);
    assert_eq!(end.usage.unwrap().total_tokens, 5);
    assert_eq!(end.cost_usd, Some(0.25));
    assert!(end.estimated);
}

/// What a model says that thinks, begins to speak, and refuses.
fn refusing() -> [Said; 5] {
    [
        Said::Thinking("hm, ".to_owned()),
        Said::Thinking("no".to_owned()),
        Said::Text("Well. ".to_owned()),
        Said::Refusal("I ca".to_owned()),
        Said::Refusal("n't".to_owned()),
    ]
}

#[tokio::test]
async fn thinking_and_a_refusal_are_told_piece_by_piece() {
    let node = Scripted::streaming(Duration::ZERO, || {
        let head = Head::new("m");
        let mut chunks: Vec<_> = refusing().iter().map(|said| Ok(head.said(said))).collect();
        chunks.push(Ok(head.finish(Finish::ContentFilter)));
        chunks
    });
    let events = whole_stream(&Open::before(node).await).await;
    let [
        Event::Start(_),
        Event::ThinkingDelta(a),
        Event::ThinkingDelta(b),
        Event::Delta(text),
        Event::RefusalDelta(c),
        Event::RefusalDelta(d),
        Event::Finish(_),
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(format!("{a}{b}/{text}/{c}{d}"), "hm, no/Well. /I can't");
}

#[tokio::test]
async fn a_whole_answer_keeps_its_thinking_and_its_refusal() {
    let node = Scripted::new(|request| async move {
        let whole = Head::new("m").whole(&Whole::of(refusing()));
        Ok(Reply {
            meta: scripted::meta(&request),
            body: ReplyBody::Complete(whole),
        })
    });
    let open = Open::before(node).await;
    let mut client = RouterServiceClient::new(open.channel().await);
    let answer = client.generate(asking("hi")).await.unwrap().into_inner();
    assert_eq!(
        (&*answer.content, answer.thinking(), answer.refusal()),
        ("Well. ", "hm, no", "I can't")
    );
    let events = whole_stream(&open).await;
    let [
        Event::Start(_),
        Event::ThinkingDelta(thinking),
        Event::Delta(_),
        Event::RefusalDelta(refusal),
        Event::Finish(_),
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((&**thinking, &**refusal), ("hm, no", "I can't"));
}

#[tokio::test]
async fn a_hit_streams_in_the_same_shape() {
    let events = whole_stream(&Open::before(Scripted::saying("Paris")).await).await;
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| match event {
            Event::Start(_) => "start",
            Event::Delta(_) => "delta",
            Event::ThinkingDelta(_) => "thinking",
            Event::RefusalDelta(_) => "refusal",
            Event::ToolCallDelta(_) => "tools",
            Event::Finish(_) => "finish",
        })
        .collect();
    assert_eq!(kinds, ["start", "delta", "finish"]);
}

#[tokio::test]
async fn counters_and_model_status_are_told() {
    let open = Open::before(Scripted::saying("x")).await;
    let mut stats = StatsServiceClient::new(open.channel().await);
    let counters = stats
        .get_stats(v1::GetStatsRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(counters.total_requests, 7);
    let watch = v1::WatchStatsRequest { interval_ms: 100 };
    let watch = stats.watch_stats(watch).await.unwrap().into_inner();
    assert_eq!(
        watch
            .take(3)
            .filter(|one| std::future::ready(one.is_ok()))
            .count()
            .await,
        3
    );
    let asked = v1::GetModelStatusRequest {
        model: "gpu-fast".to_owned(),
    };
    let status = stats.get_model_status(asked).await.unwrap().into_inner();
    assert_eq!(
        (status.provider.as_str(), status.queue_depth),
        ("ollama", 4)
    );
    let breaker = status.circuit_breaker.unwrap();
    assert_eq!(
        (breaker.state.as_str(), breaker.mode.as_str()),
        ("half_open", "auto")
    );
    let mut router = RouterServiceClient::new(open.channel().await);
    let listed = router
        .list_models(v1::ListModelsRequest {})
        .await
        .unwrap()
        .into_inner()
        .models;
    assert_eq!(
        (listed[0].name.as_str(), &listed[0].provider),
        ("auto", &None)
    );
    assert_eq!(listed[1].upstream_model(), "llama3:8b");
    assert_eq!(
        (listed[2].provider(), listed[2].upstream_model()),
        ("local", "tiny"),
        "the node's own embedder is a model too"
    );
}

/// Asks one version of the reflection service for the services it knows.
macro_rules! services_listed {
    ($version:ident, $open:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let message_request = Some(MessageRequest::ListServices(String::new()));
        let ask = ServerReflectionRequest {
            message_request,
            ..Default::default()
        };
        let mut client = ServerReflectionClient::new($open.channel().await);
        let asks = futures::stream::iter([ask]);
        let mut replies = client
            .server_reflection_info(asks)
            .await
            .unwrap()
            .into_inner();
        let reply = replies
            .message()
            .await
            .unwrap()
            .unwrap()
            .message_response
            .unwrap();
        let MessageResponse::ListServicesResponse(list) = reply else {
            panic!("{reply:?}")
        };
        list.service
            .into_iter()
            .map(|service| service.name)
            .collect::<Vec<String>>()
    }};
}

#[tokio::test]
async fn both_reflection_versions_list_every_service() {
    let open = Open::before(Scripted::saying("x")).await;
    let expected = [
        "llm_router.v1.RouterService",
        "llm_router.v1.StatsService",
        "grpc.health.v1.Health",
    ];
    for names in [services_listed!(v1, open), services_listed!(v1alpha, open)] {
        assert!(
            expected
                .iter()
                .all(|name| names.iter().any(|found| found == name)),
            "{names:?}"
        );
    }
}
