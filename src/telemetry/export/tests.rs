mod trouble;

use http::{HeaderMap, HeaderValue, Method};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::*;
use crate::dialect::openai::ChatBody;
use crate::inference::CacheStatus;
use crate::provider::Class;
use crate::telemetry::metrics::AttemptOutcome;
use crate::telemetry::setup::{Settings, Telemetry};
use crate::telemetry::spans::{self, AttemptEnd, AttemptSpan};
use crate::telemetry::testing::{Captured, Collector, attribute};
use crate::telemetry::{Recorder, RequestRecord, content, propagation};
use crate::types::{
    CacheMode, ChatRequest, Features, Finish, ModelName, Priority, TenantId, Usage,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const CANARY: &str = "canary-c0ffee";

fn telemetry(endpoint: &str) -> Telemetry {
    let settings = Settings {
        otlp_endpoint: Some(endpoint.to_owned()),
        node: "n1".to_owned(),
        log: crate::config::node::LogFormat::Json,
        ..Settings::default()
    };
    Telemetry::prepare(settings).expect("settings are fine")
}

/// A request whose body, headers and tags hold what must never be told.
fn chat_request() -> ChatRequest {
    let body = format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"{CANARY}"}}]}}"#);
    ChatRequest {
        id: "req-1".into(),
        tenant: TenantId::from("team-a"),
        priority: Priority::High,
        model: "auto".into(),
        tags: vec![("secret".to_owned(), CANARY.to_owned())],
        cache: CacheMode::On,
        min_similarity: None,
        deadline: Moment::from_millis(1000),
        body: Arc::new(ChatBody::parse(&bytes::Bytes::from(body)).expect("valid")),
        stream: true,
        include_usage: false,
        features: Features {
            text: CANARY.into(),
            ..Features::default()
        },
    }
}

fn client_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let parent = format!("00-{TRACE}-{PARENT}-01");
    headers.insert(
        "traceparent",
        HeaderValue::from_str(&parent).expect("a value"),
    );
    headers.insert("tracestate", HeaderValue::from_static("vendor=x"));
    headers.insert("baggage", HeaderValue::from_static(CANARY));
    headers.insert("authorization", HeaderValue::from_static(CANARY));
    headers
}

/// What a subscriber wants is cached with what those of tests beside this one want; a callsite
/// that is first met meanwhile could be cached without it.
fn with_subscriber<T>(telemetry: &Telemetry, captured: &Captured, tell: impl FnOnce() -> T) -> T {
    let subscriber = telemetry
        .subscriber(captured.writer())
        .expect("filter is fine");
    tracing::subscriber::with_default(subscriber, || {
        tracing::callsite::rebuild_interest_cache();
        tell()
    })
}

/// One request with a failed attempt and a failover, as the engine tells it.
fn serve(recorder: &Recorder) -> String {
    let door = spans::http_server(&Method::POST, "/v1/chat/completions");
    propagation::set_parent(&door, &client_headers(), || true);
    let request = chat_request();
    let usage = Some(Usage::new(9, 5));
    let mut upstream = String::new();
    {
        let _door = door.enter();
        let story = spans::request(&request);
        story.in_scope(|| {
            let lookup = spans::cache_lookup();
            spans::cache_ended(&lookup, CacheStatus::Miss, Some(0.5));
            for (number, model, outcome) in [
                (1, "gpu-fast", AttemptOutcome::Failed(Class::Hard)),
                (2, "cloud", AttemptOutcome::Answered),
            ] {
                let model = ModelName::from(model);
                let wait = spans::queue_wait(&model, request.priority);
                spans::queue_ended(&wait, None);
                let attempt = spans::attempt(&AttemptSpan {
                    model: &model,
                    upstream: &format!("{model}-1"),
                    provider: "openai",
                    number,
                    server: Some("api.example.com"),
                    stream: true,
                    operation: "chat",
                });
                upstream = propagation::current_traceparent(&attempt).expect("exported");
                let answered = outcome == AttemptOutcome::Answered;
                let known = AttemptEnd {
                    response_model: answered.then_some("cloud-1-0613"),
                    finish: answered.then_some(Finish::Stop),
                    usage: usage.filter(|_| answered),
                    status: Some(if answered { 200 } else { 503 }),
                };
                spans::attempt_ended(&attempt, outcome, &known);
            }
        });
        let record = RequestRecord {
            model: Some("cloud".into()),
            route: Some("critical".into()),
            outcome: Ok(()),
            status: 200,
            cache: CacheStatus::Miss,
            attempts: 2,
            usage,
            ..RequestRecord::new(request.id.clone(), "http", "/v1/chat/completions")
        };
        recorder.finish(&record, &story);
    }
    spans::http_ended(&door, 200);
    upstream
}

#[test]
fn the_collector_receives_the_whole_tree() {
    let collector = Collector::start();
    let telemetry = telemetry(&collector.endpoint());
    let captured = Captured::default();
    let recorder = Recorder::new(telemetry.metrics().clone());
    let upstream = with_subscriber(&telemetry, &captured, || serve(&recorder));
    assert!(telemetry.shutdown(), "everything was sent");

    let received = &collector.received;
    assert_eq!(received.spans().len(), 7, "{:?}", received.spans());
    let door = received.span("POST /v1/chat/completions");
    assert_eq!(hex(&door.parent_span_id), PARENT, "the client's span");
    assert_eq!(door.kind, SpanKind::Server as i32);
    assert_eq!(door.trace_state, "vendor=x");
    assert_attributes(
        &door,
        &[
            ("http.response.status_code", "200"),
            ("http.route", "/v1/chat/completions"),
        ],
    );
    let story = received.span("chat auto");
    assert_eq!(story.parent_span_id, door.span_id);
    assert_attributes(
        &story,
        &[("llm_router.model", "cloud"), ("llm_router.attempts", "2")],
    );
    for name in [
        "cache_lookup",
        "queue_wait gpu-fast",
        "chat gpu-fast-1",
        "queue_wait cloud",
        "chat cloud-1",
    ] {
        let child = received.span(name);
        assert_eq!(child.parent_span_id, story.span_id, "parent of {name}");
    }
    assert_attributes(
        &received.span("cache_lookup"),
        &[("llm_router.cache", "miss")],
    );
    for span in received.spans() {
        assert_eq!(
            hex(&span.trace_id),
            TRACE,
            "the client's trace has {}",
            span.name
        );
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    }
    let answered = hex(&received.span("chat cloud-1").span_id);
    assert_eq!(upstream, format!("00-{TRACE}-{answered}-01"));

    let line: serde_json::Value = serde_json::from_str(&captured.text()).expect("one JSON line");
    assert_eq!(line["trace_id"], TRACE);
    assert_eq!(line["span_id"], hex(&story.span_id));
}

#[test]
fn what_a_client_said_is_told_to_nobody() {
    let collector = Collector::start();
    let telemetry = telemetry(&collector.endpoint());
    let captured = Captured::default();
    let recorder = Recorder::new(telemetry.metrics().clone());
    with_subscriber(&telemetry, &captured, || serve(&recorder));
    assert!(telemetry.shutdown());
    let spans = format!("{:?}", collector.received.spans());
    assert!(
        spans.contains("chat auto") && !spans.contains(CANARY),
        "{spans}"
    );
    assert!(!captured.text().is_empty() && !captured.text().contains(CANARY));
}

#[test]
fn the_collector_learns_who_sends_and_gets_the_metrics_too() {
    let collector = Collector::start();
    let telemetry = telemetry(&collector.endpoint());
    let recorder = Recorder::new(telemetry.metrics().clone());
    with_subscriber(&telemetry, &Captured::default(), || serve(&recorder));
    assert!(telemetry.shutdown());
    let received = &collector.received;
    assert_eq!(
        received.resource("service.name").as_deref(),
        Some("llm-router")
    );
    assert_eq!(
        received.resource("service.instance.id").as_deref(),
        Some("n1")
    );
    assert!(
        received
            .metric_names()
            .contains(&"llm_router.requests".to_owned())
    );
}

#[test]
fn what_is_said_is_told_where_an_operator_has_asked_for_it() {
    for (content, told) in [(CaptureContent::Off, false), (CaptureContent::On, true)] {
        let collector = Collector::start();
        let settings = Settings {
            otlp_endpoint: Some(collector.endpoint()),
            content,
            ..Settings::default()
        };
        let telemetry = Telemetry::prepare(settings).expect("settings are fine");
        let captured = Captured::default();
        with_subscriber(&telemetry, &captured, || {
            let model = ModelName::from("m");
            let span = spans::attempt(&AttemptSpan {
                model: &model,
                upstream: "m-1",
                provider: "openai",
                number: 1,
                server: None,
                stream: true,
                operation: "chat",
            });
            content::asked(&span, &chat_request());
            let mut heard = content::Heard::begin(content::is_told(&span));
            ["the ", "answer"]
                .iter()
                .for_each(|piece| heard.piece(piece));
            heard.end(&span, Some(Finish::Stop));
            spans::attempt_ended(&span, AttemptOutcome::Answered, &AttemptEnd::default());
        });
        assert!(telemetry.shutdown());
        let span = collector.received.span("chat m-1");
        let text = |key: &str| attribute(&span, key).unwrap_or_default();
        assert_eq!(text("gen_ai.input.messages").contains(CANARY), told);
        assert_eq!(text("gen_ai.output.messages").contains("the answer"), told);
        assert!(!captured.text().contains(CANARY), "no log line has it");
    }
}

#[test]
fn for_a_trace_that_is_not_told_nothing_is_read_or_copied() {
    for (ratio, told) in [(0.0, false), (1.0, true)] {
        let collector = Collector::start();
        let settings = Settings {
            otlp_endpoint: Some(collector.endpoint()),
            content: CaptureContent::On,
            sampling: SamplingConfig {
                ratio,
                client_per_second: 0,
            },
            ..Settings::default()
        };
        let telemetry = Telemetry::prepare(settings).expect("settings are fine");
        with_subscriber(&telemetry, &Captured::default(), || {
            let span = spans::cache_lookup();
            assert_eq!(content::is_told(&span), told);
            assert!(!content::is_told(&tracing::Span::none()));
        });
        assert!(telemetry.shutdown());
        assert_eq!(collector.received.spans().len(), usize::from(told));
    }
}

#[test]
fn attempts_speak_the_genai_conventions() {
    let collector = Collector::start();
    let telemetry = telemetry(&collector.endpoint());
    let recorder = Recorder::new(telemetry.metrics().clone());
    with_subscriber(&telemetry, &Captured::default(), || serve(&recorder));
    assert!(telemetry.shutdown());

    let answered = collector.received.span("chat cloud-1");
    assert_eq!(answered.kind, SpanKind::Client as i32);
    assert_attributes(
        &answered,
        &[
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", "cloud-1"),
            ("gen_ai.response.model", "cloud-1-0613"),
            ("gen_ai.response.finish_reasons", "stop"),
            ("gen_ai.usage.input_tokens", "9"),
            ("gen_ai.usage.output_tokens", "5"),
            ("server.address", "api.example.com"),
            ("http.response.status_code", "200"),
            ("llm_router.attempt", "2"),
        ],
    );
    assert!(attribute(&answered, "error.type").is_none());

    let failed = collector.received.span("chat gpu-fast-1");
    assert_eq!(attribute(&failed, "error.type").as_deref(), Some("hard"));
    assert_eq!(
        failed.status.as_ref().map(|status| status.code),
        Some(StatusCode::Error as i32)
    );
    assert!(attribute(&failed, "gen_ai.usage.input_tokens").is_none());
}

#[test]
fn a_call_whose_caller_has_left_is_no_success() {
    let collector = Collector::start();
    let telemetry = telemetry(&collector.endpoint());
    with_subscriber(&telemetry, &Captured::default(), || {
        spans::grpc_given_up(&spans::grpc_server("a.Service/Left"));
    });
    assert!(telemetry.shutdown());
    let left = collector.received.span("a.Service/Left");
    assert_attributes(
        &left,
        &[
            ("rpc.response.status_code", "CANCELLED"),
            ("error.type", "cancelled"),
        ],
    );
    assert_eq!(
        left.status.map(|status| status.code),
        Some(StatusCode::Error as i32)
    );
}

#[test]
fn a_caller_that_does_not_sample_is_not_sampled_but_stays_joined() {
    let collector = Collector::start();
    let telemetry = telemetry(&collector.endpoint());
    with_subscriber(&telemetry, &Captured::default(), || {
        let mut headers = HeaderMap::new();
        let parent = format!("00-{TRACE}-{PARENT}-00");
        headers.insert(
            "traceparent",
            HeaderValue::from_str(&parent).expect("a value"),
        );
        let door = spans::http_server(&Method::GET, "/health");
        propagation::set_parent(&door, &headers, || panic!("nothing is wished for"));
        let ours = propagation::current_traceparent(&door).expect("exported");
        assert!(
            ours.starts_with(&format!("00-{TRACE}-")) && ours.ends_with("-00"),
            "{ours}"
        );
        spans::http_ended(&door, 200);
    });
    assert!(telemetry.shutdown());
    assert!(collector.received.spans().is_empty());
}

#[test]
fn a_missing_collector_is_complained_about_once_a_minute() {
    let complaints = Complaints::new("host:4317".to_owned());
    let spoke = (0..180).filter(|second| complaints.may_speak(Moment::from_millis(second * 1000)));
    assert_eq!(spoke.collect::<Vec<_>>(), [0, 60, 120]);
}

#[test]
fn an_endpoint_that_cannot_work_is_refused_at_the_start() {
    for endpoint in [
        "",
        "collector",
        "https://collector:4317",
        "http://",
        "not a url",
    ] {
        let settings = Settings {
            otlp_endpoint: Some(endpoint.to_owned()),
            ..Settings::default()
        };
        let refused = Telemetry::prepare(settings).expect_err(endpoint);
        assert_eq!(refused.kind, Kind::InvalidConfig, "{endpoint}");
        assert_eq!(
            refused.param.as_deref(),
            Some("telemetry.otlp_endpoint"),
            "{endpoint}"
        );
    }
}

#[test]
fn dropping_telemetry_inside_a_runtime_does_not_panic() {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let collector = Collector::start();
    runtime.block_on(async {
        let telemetry = telemetry(&collector.endpoint());
        assert!(telemetry.exports());
        drop(telemetry);
    });
}

fn assert_attributes(span: &Span, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        assert_eq!(
            attribute(span, key).as_deref(),
            Some(*value),
            "{key} of {}",
            span.name
        );
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
