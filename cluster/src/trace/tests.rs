use std::sync::Arc;

use opentelemetry::trace::{SpanId, TraceContextExt as _, TraceId, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use parking_lot::Mutex;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

const METHOD: &str = "llm_router.cluster.v1.RaftService/Propose";

/// A collector as small as it can be.
#[derive(Clone, Debug, Default)]
struct Collector(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().extend(batch);
        Ok(())
    }
}

/// Runs a story in front of a collector; gives its spans, the first that ended in front.
fn told(story: impl FnOnce()) -> Vec<SpanData> {
    let exporter = Collector::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("test"))
        .with_context_activation(false);
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || {
        // tests beside this one have subscribers too, and what they want is cached together
        tracing::callsite::rebuild_interest_cache();
        story();
    });
    exporter.0.lock().clone()
}

fn door() -> Span {
    info_span!(target: TARGET, "door", otel.kind = "server")
}

fn attribute(span: &SpanData, key: &str) -> String {
    let found = span.attributes.iter().find(|pair| pair.key.as_str() == key);
    found.map_or_else(String::new, |pair| pair.value.to_string())
}

#[test]
fn what_the_leader_does_hangs_from_the_call_that_asks_for_it() {
    let spans = told(|| {
        door().in_scope(|| {
            let asking = calling(METHOD, || "n2".to_owned());
            let request = asking.sign(Request::new(()));
            let answer = answering(METHOD, request.metadata(), "n1");
            answer.end(Ok(()));
            asking.end(Ok(()));
        });
    });
    let [server, client, door] = spans.as_slice() else {
        panic!("{spans:?}")
    };
    assert_eq!(server.parent_span_id, client.span_context.span_id());
    assert_eq!(client.parent_span_id, door.span_context.span_id());
    let trace = door.span_context.trace_id();
    assert_eq!(
        [server, client].map(|span| span.span_context.trace_id()),
        [trace; 2]
    );
    assert_eq!(
        [server, client].map(|span| attribute(span, "llm_router.peer")),
        ["n1", "n2"]
    );
    assert_eq!(attribute(client, "rpc.response.status_code"), "OK");
}

#[test]
fn what_is_done_for_no_request_is_told_to_nobody() {
    let spans = told(|| {
        let asking = calling(METHOD, || panic!("nobody asks for the name"));
        let request = asking.sign(Request::new(()));
        assert!(request.metadata().is_empty());
        answering(METHOD, request.metadata(), "n1").end(Ok(()));
        asking.end(Ok(()));
        assert!(doing("agree").span().is_disabled());
        let foreign = info_span!(target: "openraft", "append");
        foreign.in_scope(|| drop(calling(METHOD, || panic!("nor here"))));
    });
    assert!(spans.iter().all(|span| span.name == "append"), "{spans:?}");
}

#[test]
fn a_call_that_is_dropped_was_given_up_unless_it_has_answered() {
    let spans = told(|| {
        door().in_scope(|| {
            drop(calling(METHOD, || "n2".to_owned()));
            let mut stream = calling(METHOD, || "n3".to_owned());
            stream.answered("held");
            drop(stream);
            calling(METHOD, || "n4".to_owned()).end(Err("timeout"));
        });
    });
    let why: Vec<String> = spans
        .iter()
        .map(|span| attribute(span, "error.type"))
        .collect();
    assert_eq!(why, ["cancelled", "", "timeout", ""]);
    assert_eq!(attribute(&spans[1], "llm_router.answer"), "held");
}

#[test]
fn a_stream_that_breaks_after_it_has_answered_has_failed() {
    let spans = told(|| {
        door().in_scope(|| {
            let mut stream = calling(METHOD, || "n2".to_owned());
            stream.answered("follow");
            stream.broke("unreached");
        });
    });
    assert_eq!(attribute(&spans[0], "llm_router.answer"), "follow");
    assert_eq!(attribute(&spans[0], "error.type"), "unreached");
    assert_eq!(attribute(&spans[0], "rpc.response.status_code"), "");
    let failed = matches!(spans[0].status, opentelemetry::trace::Status::Error { .. });
    assert!(failed, "{:?}", spans[0].status);
}

#[test]
fn a_call_that_is_refused_is_told_with_its_status() {
    let spans = told(|| {
        door().in_scope(|| {
            let asking = calling(METHOD, || "n2".to_owned());
            let request = asking.sign(Request::new(()));
            let answer = answering(METHOD, request.metadata(), "n1");
            let status = answer.refused(Status::invalid_argument("no such thing"));
            assert_eq!(status.code(), Code::InvalidArgument);
            asking.end(Ok(()));
        });
    });
    assert_eq!(attribute(&spans[0], "error.type"), "INVALID_ARGUMENT");
}

#[test]
fn a_step_of_this_node_tells_how_it_failed() {
    let spans = told(|| {
        door().in_scope(|| {
            doing("agree").end(Ok(()));
            doing("agree").end(Err("timeout"));
        });
    });
    let why: Vec<String> = spans[..2]
        .iter()
        .map(|span| attribute(span, "error.type"))
        .collect();
    assert_eq!(why, ["", "timeout"]);
    assert!(spans[..2].iter().all(|span| span.name == "agree"));
}

#[test]
fn a_context_that_makes_no_sense_begins_a_trace_of_its_own() {
    let spans = told(|| {
        let mut request = Request::new(());
        let nonsense = "00-nothing-like-it-01".parse().unwrap();
        request.metadata_mut().insert(TRACEPARENT, nonsense);
        answering(METHOD, request.metadata(), "n1").end(Ok(()));
    });
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].parent_span_id, SpanId::INVALID);
    assert_ne!(spans[0].span_context.trace_id(), TraceId::INVALID);
}

#[test]
fn an_unsampled_trace_stays_so_on_the_other_node() {
    let spans = told(|| {
        let mut request = Request::new(());
        let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        request
            .metadata_mut()
            .insert(TRACEPARENT, unsampled.parse().unwrap());
        let answer = answering(METHOD, request.metadata(), "n1");
        let context = answer.span().context();
        assert!(!context.span().span_context().is_sampled());
        answer.end(Ok(()));
    });
    assert!(spans.is_empty(), "{spans:?}");
}
