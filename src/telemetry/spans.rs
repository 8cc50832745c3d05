//! The spans of a request, one constructor each, and what becomes known late.
//!
//! ```text
//! POST /v1/chat/completions        server     the door
//! └─ chat auto                     internal   the use case, retries and failovers included
//!    ├─ cache_lookup               internal   with the calls to other nodes below it
//!    ├─ queue_wait gpu-fast        internal
//!    ├─ chat llama3:8b             client     one attempt
//!    ├─ retry_wait gpu-fast        internal   before the same model is asked once more
//!    ├─ queue_wait gpu-fast        internal
//!    ├─ chat llama3:8b             client
//!    ├─ queue_wait cloud           internal
//!    └─ chat gpt-4o                client     the attempt after a failover
//! ```
//!
//! A new span is a child of the current one: enter the parent, or instrument the future that makes
//! the child. A span ends when it was last left, so the setters that end one enter it once more.
//! Without a collector all of them are disabled, and then their fields are not even computed.

use http::Method;
use opentelemetry::{Array, StringValue, Value};
use tracing::field::Empty;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::log::clean;
use super::metrics::labels::provider_name;
use super::metrics::{AttemptOutcome, calls};
use super::record::RequestRecord;
use crate::inference::CacheStatus;
use crate::types::{ChatRequest, EmbedRequest, Finish, ModelName, Priority, Usage};

pub use llm_router_cluster::trace::TARGET;

/// An HTTP request at the door. `route` is the route's template, empty when none matched.
pub fn http_server(method: &Method, route: &str) -> Span {
    let method = calls::method_label(method);
    info_span!(
        target: TARGET,
        "http",
        otel.name = format!("{method} {route}").trim_end(),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = (!route.is_empty()).then_some(route),
        url.scheme = "http",
        http.response.status_code = Empty,
        error.type = Empty,
    )
}

/// The HTTP request has ended, with the last byte of its body.
pub fn http_ended(span: &Span, status: u16) {
    span.record("http.response.status_code", i64::from(status));
    if status >= 500 {
        failed(span, &status.to_string());
    }
    end(span);
}

/// A gRPC call at the door. `method` is `package.Service/Method`.
pub fn grpc_server(method: &str) -> Span {
    info_span!(
        target: TARGET,
        "grpc",
        otel.name = &*clean(method),
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = &*clean(method),
        rpc.response.status_code = Empty,
        error.type = Empty,
    )
}

/// The gRPC call has ended, with its trailers.
pub fn grpc_ended(span: &Span, code: tonic::Code) {
    let name = calls::code_label(code);
    span.record("rpc.response.status_code", name);
    match code {
        // The codes that mean the server failed, as the conventions list them.
        tonic::Code::Unknown
        | tonic::Code::DeadlineExceeded
        | tonic::Code::Unimplemented
        | tonic::Code::Internal
        | tonic::Code::Unavailable
        | tonic::Code::DataLoss => failed(span, name),
        tonic::Code::Ok
        | tonic::Code::Cancelled
        | tonic::Code::InvalidArgument
        | tonic::Code::NotFound
        | tonic::Code::AlreadyExists
        | tonic::Code::PermissionDenied
        | tonic::Code::ResourceExhausted
        | tonic::Code::FailedPrecondition
        | tonic::Code::Aborted
        | tonic::Code::OutOfRange
        | tonic::Code::Unauthenticated => {}
    }
    end(span);
}

/// The caller has left before the gRPC call had ended.
pub fn grpc_given_up(span: &Span) {
    let name = calls::code_label(tonic::Code::Cancelled);
    span.record("rpc.response.status_code", name);
    failed(span, "cancelled");
    end(span);
}

/// The use case: everything done for one chat request.
pub fn request(request: &ChatRequest) -> Span {
    info_span!(
        target: TARGET,
        "request",
        otel.name = format!("chat {}", clean(&request.model)),
        otel.kind = "internal",
        otel.status_code = Empty,
        gen_ai.operation.name = "chat",
        gen_ai.request.model = &*clean(&request.model),
        gen_ai.request.stream = request.stream,
        gen_ai.response.model = Empty,
        llm_router.request.id = &*clean(request.id.as_str()),
        llm_router.tenant = &*clean(request.tenant.as_str()),
        llm_router.priority = request.priority.as_str(),
        llm_router.route = Empty,
        llm_router.model = Empty,
        llm_router.cache = Empty,
        llm_router.similarity = Empty,
        llm_router.attempts = Empty,
        llm_router.cost_usd = Empty,
        llm_router.input_tokens = Empty,
        llm_router.output_tokens = Empty,
        error.type = Empty,
    )
}

/// The use case: everything done for one request for vectors.
pub fn embeddings(request: &EmbedRequest) -> Span {
    info_span!(
        target: TARGET,
        "request",
        otel.name = format!("embeddings {}", clean(&request.model)),
        otel.kind = "internal",
        otel.status_code = Empty,
        gen_ai.operation.name = "embeddings",
        gen_ai.request.model = &*clean(&request.model),
        gen_ai.response.model = Empty,
        llm_router.request.id = &*clean(request.id.as_str()),
        llm_router.tenant = &*clean(request.tenant.as_str()),
        llm_router.priority = request.priority.as_str(),
        llm_router.route = Empty,
        llm_router.model = Empty,
        llm_router.cache = Empty,
        llm_router.similarity = Empty,
        llm_router.attempts = Empty,
        llm_router.cost_usd = Empty,
        llm_router.input_tokens = Empty,
        llm_router.output_tokens = Empty,
        error.type = Empty,
    )
}

/// The request has ended; the recorder calls this. Token counts stand under our own names here:
/// the attempts carry the conventions' ones, and a sum over spans must not count them twice.
pub fn request_ended(span: &Span, record: &RequestRecord) {
    if span.is_disabled() {
        return;
    }
    if let Some(route) = &record.route {
        span.record("llm_router.route", route.as_str());
    }
    if let Some(model) = &record.model {
        span.record("llm_router.model", model.as_str());
    }
    span.record("llm_router.cache", record.cache.as_str());
    span.record("llm_router.similarity", record.similarity.map(f64::from));
    span.record("llm_router.attempts", i64::from(record.attempts));
    span.record("llm_router.cost_usd", record.cost_usd);
    if let Some(usage) = record.usage {
        span.record("llm_router.input_tokens", int(usage.prompt_tokens));
        span.record("llm_router.output_tokens", int(usage.completion_tokens));
    }
    if let Err(kind) = record.outcome {
        failed(span, kind.as_str());
    }
    end(span);
}

/// Waiting for admission to `model`.
pub fn queue_wait(model: &ModelName, priority: Priority) -> Span {
    info_span!(
        target: TARGET,
        "queue_wait",
        otel.name = format!("queue_wait {model}"),
        otel.kind = "internal",
        otel.status_code = Empty,
        llm_router.model = model.as_str(),
        llm_router.priority = priority.as_str(),
        error.type = Empty,
    )
}

/// Waiting has ended: admitted, or refused with this word.
pub fn queue_ended(span: &Span, refused: Option<&'static str>) {
    if let Some(reason) = refused {
        failed(span, reason);
    }
    end(span);
}

/// Waiting before `model` is asked once more.
pub fn retry_wait(model: &ModelName, failures: u32) -> Span {
    info_span!(
        target: TARGET,
        "retry_wait",
        otel.name = format!("retry_wait {model}"),
        otel.kind = "internal",
        llm_router.model = model.as_str(),
        llm_router.failures = i64::from(failures),
    )
}

/// Asking the cache.
pub fn cache_lookup() -> Span {
    info_span!(
        target: TARGET,
        "cache_lookup",
        otel.kind = "internal",
        llm_router.cache = Empty,
        llm_router.similarity = Empty,
    )
}

/// The cache has answered, with the cosine of the best candidate it judged.
pub fn cache_ended(span: &Span, status: CacheStatus, similarity: Option<f32>) {
    span.record("llm_router.cache", status.as_str());
    span.record("llm_router.similarity", similarity.map(f64::from));
    end(span);
}

/// One attempt as its span needs it.
#[derive(Clone, Copy, Debug)]
pub struct AttemptSpan<'a> {
    /// The candidate.
    pub model: &'a ModelName,
    /// The upstream's name for it.
    pub upstream: &'a str,
    /// Provider kind.
    pub provider: &'a str,
    /// 1 for the first attempt of the request.
    pub number: u32,
    /// The upstream's host, when it has one.
    pub server: Option<&'a str>,
    /// A stream was asked for.
    pub stream: bool,
    /// The conventions' word for what is asked: `chat`, `embeddings`.
    pub operation: &'static str,
}

/// One call to a provider.
pub fn attempt(attempt: &AttemptSpan<'_>) -> Span {
    info_span!(
        target: TARGET,
        "attempt",
        otel.name = format!("{} {}", attempt.operation, attempt.upstream),
        otel.kind = "client",
        otel.status_code = Empty,
        gen_ai.operation.name = attempt.operation,
        gen_ai.provider.name = provider_name(attempt.provider),
        gen_ai.request.model = attempt.upstream,
        gen_ai.request.stream = attempt.stream,
        gen_ai.response.model = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        server.address = attempt.server,
        llm_router.model = attempt.model.as_str(),
        llm_router.attempt = i64::from(attempt.number),
        http.response.status_code = Empty,
        error.type = Empty,
    )
}

/// What an attempt's end adds to its span.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttemptEnd<'a> {
    /// The name of the model in the upstream's answer.
    pub response_model: Option<&'a str>,
    /// Why the answer ended.
    pub finish: Option<Finish>,
    /// Token counts, as the upstream counted them.
    pub usage: Option<Usage>,
    /// The upstream's status, when there was one.
    pub status: Option<u16>,
}

/// The attempt has ended, a stream's with its last piece.
pub fn attempt_ended(span: &Span, outcome: AttemptOutcome, known: &AttemptEnd<'_>) {
    if span.is_disabled() {
        return;
    }
    if let Some(model) = known.response_model {
        span.record("gen_ai.response.model", &*clean(model));
    }
    if let Some(finish) = known.finish {
        let reasons = vec![StringValue::from(finish.as_openai())];
        span.set_attribute(
            "gen_ai.response.finish_reasons",
            Value::Array(Array::String(reasons)),
        );
    }
    if let Some(usage) = known.usage {
        span.record("gen_ai.usage.input_tokens", int(usage.prompt_tokens));
        span.record("gen_ai.usage.output_tokens", int(usage.completion_tokens));
    }
    if let Some(status) = known.status {
        span.record("http.response.status_code", i64::from(status));
    }
    if let Some(error) = outcome.error_type() {
        failed(span, error);
    }
    end(span);
}

/// Marks a span as failed, with a word from a closed list.
fn failed(span: &Span, error_type: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error_type);
}

/// A span's end is the moment it was last left.
fn end(span: &Span) {
    span.in_scope(|| ());
}

fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
