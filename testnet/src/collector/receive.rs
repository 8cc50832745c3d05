//! The way in: OTLP over gRPC.

use std::sync::Arc;
use std::time::Duration;

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
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status};

use super::span::{Span, node};
use super::store::Store;

/// Largest export taken.
const MAX_MESSAGE: usize = 16 << 20;
/// Exports worked on at once on a connection.
const MAX_CALLS: usize = 32;
/// For one export.
const WITHIN: Duration = Duration::from_secs(10);

/// What takes spans, ready to be served.
pub(super) fn server(store: Arc<Store>) -> Router {
    let traces = TraceServiceServer::new(Receiver(store)).max_decoding_message_size(MAX_MESSAGE);
    let metrics = MetricsServiceServer::new(Deaf).max_decoding_message_size(MAX_MESSAGE);
    Server::builder()
        .concurrency_limit_per_connection(MAX_CALLS)
        .timeout(WITHIN)
        .add_service(traces)
        .add_service(metrics)
}

struct Receiver(Arc<Store>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (mut spans, mut sent) = (Vec::new(), 0_usize);
        for resource in request.into_inner().resource_spans {
            let node = node(resource.resource.unwrap_or_default().attributes);
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                sent += 1;
                spans.extend(Span::from_wire(&node, span));
            }
        }
        let refused = sent - spans.len();
        let store = Arc::clone(&self.0);
        let kept = tokio::task::spawn_blocking(move || store.add(spans)).await;
        kept.map_err(|_| Status::unavailable("the collector is shutting down"))?;
        let partial_success = (refused > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(refused).unwrap_or(i64::MAX),
            error_message: "spans without ids".to_owned(),
        });
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success,
        }))
    }
}

/// Takes metrics and forgets them.
struct Deaf;

#[tonic::async_trait]
impl MetricsService for Deaf {
    async fn export(
        &self,
        _: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
