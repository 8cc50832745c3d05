//! For this room's tests: a place where log lines land, and a collector on a loopback port.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Log lines as they were written.
#[derive(Clone, Debug, Default)]
pub(super) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub(super) fn writer(&self) -> BoxMakeWriter {
        let sink = self.clone();
        BoxMakeWriter::new(move || sink.clone())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).expect("logs are text")
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything a collector was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    spans: Arc<Mutex<Vec<Span>>>,
    resource: Arc<Mutex<Vec<KeyValue>>>,
    metrics: Arc<Mutex<Vec<String>>>,
    largest: Arc<AtomicUsize>,
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl Received {
    /// Answers no export of spans until what this gives is dropped.
    pub(super) fn hold(&self) -> OwnedMutexGuard<()> {
        let gate = Arc::clone(&self.gate).try_lock_owned();
        gate.expect("no export is under way")
    }

    /// Spans of the largest export.
    pub(super) fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.lock().clone()
    }

    pub(super) fn span(&self, name: &str) -> Span {
        let spans = self.spans();
        let found = spans.iter().find(|span| span.name == name);
        found
            .unwrap_or_else(|| panic!("no span {name} in {spans:?}"))
            .clone()
    }

    pub(super) fn resource(&self, key: &str) -> Option<String> {
        text(&self.resource.lock(), key)
    }

    pub(super) fn metric_names(&self) -> Vec<String> {
        self.metrics.lock().clone()
    }
}

/// An attribute as text, whatever its type.
pub(super) fn attribute(span: &Span, key: &str) -> Option<String> {
    text(&span.attributes, key)
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    show(found.value.as_ref()?.value.as_ref()?)
}

fn show(value: &Value) -> Option<String> {
    Some(match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(flag) => flag.to_string(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::ArrayValue(array) => {
            let values = array.values.iter().filter_map(|value| value.value.as_ref());
            values.filter_map(show).collect::<Vec<_>>().join(",")
        }
        Value::KvlistValue(_) | Value::BytesValue(_) | Value::StringValueStrindex(_) => {
            return None;
        }
    })
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let _open = self.gate.lock().await;
        let mut count = 0;
        for resource in request.into_inner().resource_spans {
            *self.resource.lock() = resource.resource.unwrap_or_default().attributes;
            let scopes = resource.scope_spans.into_iter();
            let mut spans = self.spans.lock();
            let before = spans.len();
            spans.extend(scopes.flat_map(|scope| scope.spans));
            count += spans.len() - before;
        }
        self.largest.fetch_max(count, Ordering::Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let scopes = request.into_inner().resource_metrics.into_iter();
        let metrics = scopes.flat_map(|resource| resource.scope_metrics);
        let names = metrics
            .flat_map(|scope| scope.metrics)
            .map(|metric| metric.name);
        self.metrics.lock().extend(names);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// A collector on a loopback port, in a runtime of its own; it stops when dropped.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) received: Received,
    pub(super) address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    pub(super) fn start() -> Self {
        Self::at("127.0.0.1:0").expect("a loopback port")
    }

    /// At this address, once it is free.
    pub(super) fn at(address: &str) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let received = Received::default();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address))?;
        let address = listener.local_addr().expect("bound");
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(received.clone()))
            .add_service(MetricsServiceServer::new(received.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        runtime.spawn(server);
        Ok(Collector {
            received,
            address,
            _runtime: runtime,
        })
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}
