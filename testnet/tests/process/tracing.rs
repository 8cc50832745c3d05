//! One request, one trace: from the caller's span through the node to the upstream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use llm_router_testnet::{Node, Upstream, chat};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A collector that keeps what it is sent.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources
            .into_iter()
            .flat_map(|resource| resource.scope_spans);
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.extend(scopes.flat_map(|scope| scope.spans));
        drop(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn collector() -> anyhow::Result<(Collector, String, tokio::task::JoinSet<()>)> {
    let collector = Collector::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let service = TraceServiceServer::new(collector.clone());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(service);
        let _ = server.serve_with_incoming(incoming).await;
    });
    Ok((collector, address, tasks))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_collector_receives_the_whole_tree_inside_the_callers_trace() -> anyhow::Result<()> {
    let (collector, address, _tasks) = collector().await?;
    let upstream = Upstream::start().await?;
    let config = upstream.config("gpt", "");
    let telemetry = format!("telemetry: {{ otlp_endpoint: \"{address}\" }}\n");
    let mut node = Node::start(&format!("{config}{telemetry}")).await?;
    let traceparent = format!("00-{TRACE}-{CALLER}-01");

    let question = chat("gpt", "which way did this go?");
    let request = node
        .http()
        .request(http::Method::POST, "/v1/chat/completions");
    let reply = request
        .header("traceparent", &traceparent)
        .json(&question)
        .send()
        .await?;
    assert_eq!(reply.status(), 200);
    let ours = reply.headers()["traceparent"].to_str()?.to_owned();
    assert!(ours.starts_with(&format!("00-{TRACE}-")), "{ours}");
    reply.bytes().await?;
    node.terminate().await?;
    tokio::time::sleep(Duration::from_millis(100)).await;

    let spans = collector.spans.lock().unwrap().clone();
    let ours: Vec<&Span> = spans
        .iter()
        .filter(|span| hex(&span.trace_id) == TRACE)
        .collect();
    let by_id: HashMap<String, &Span> = ours
        .iter()
        .map(|span| (hex(&span.span_id), *span))
        .collect();
    let find = |name: &str| {
        let found = ours.iter().find(|span| span.name == name);
        *found.unwrap_or_else(|| panic!("no span `{name}` among {:?}", names(&ours)))
    };
    let parent = |span: &Span| {
        by_id
            .get(&hex(&span.parent_span_id))
            .map(|span| span.name.as_str())
    };

    let door = find("POST /v1/chat/completions");
    assert_eq!(
        hex(&door.parent_span_id),
        CALLER,
        "the door continues the caller's trace"
    );
    assert_eq!(parent(find("chat gpt")), Some("POST /v1/chat/completions"));
    assert_eq!(parent(find("cache_lookup")), Some("chat gpt"));
    assert_eq!(parent(find("queue_wait gpt")), Some("chat gpt"));
    let attempt = ours.iter().find(|span| span.kind == 3);
    assert_eq!(
        attempt.and_then(|span| parent(span)),
        Some("chat gpt"),
        "{:?}",
        names(&ours)
    );

    let headers = upstream
        .last_headers()
        .expect("a request reached the upstream");
    let attempt = attempt.map(|span| hex(&span.span_id)).unwrap_or_default();
    assert_eq!(headers["traceparent"], format!("00-{TRACE}-{attempt}-01"));
    Ok(())
}

fn names(spans: &[&Span]) -> Vec<String> {
    spans.iter().map(|span| span.name.clone()).collect()
}
