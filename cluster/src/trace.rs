//! Calls between nodes, in the trace of the request they are made for.
//!
//! ```text
//! n1  PUT /admin/v1/config                             server
//! n1  └─ agree                                         internal
//! n1     └─ llm_router.cluster.v1.RaftService/Propose  client
//! n2        └─ llm_router.cluster.v1.RaftService/Propose   server
//! ```
//!
//! Only what is done for a request is told: a call made while none of a request's spans is current
//! makes none, and one that comes without a trace context is answered without. Votes, entries,
//! heartbeats, reports and what a cache moves in the background would otherwise be most of what a
//! collector hears.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};
use tracing::field::Empty;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of every span, by which layers choose them.
pub const TARGET: &str = "llm_router::trace";

/// The header that names trace and parent.
const TRACEPARENT: &str = "traceparent";

/// A call as one of its two ends tells it, or a step of this node's own. Dropped before it has ended, it
/// was given up.
#[derive(Debug)]
pub struct Call {
    span: Span,
    /// What its end is when nobody says it.
    unsaid: Result<(), &'static str>,
    ended: bool,
}

/// A call that this node is about to make to `peer`, if it is made for a request.
pub fn calling(method: &'static str, peer: impl FnOnce() -> String) -> Call {
    if !is_traced() {
        return Call::untold();
    }
    Call::of(info_span!(
        target: TARGET,
        "peer_call",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        llm_router.peer = peer(),
        llm_router.answer = Empty,
        error.type = Empty,
    ))
}

/// A call that another node has made, if it was made for a request there. `peer` is the node's name.
pub fn answering(method: &'static str, metadata: &MetadataMap, peer: &str) -> Call {
    if !metadata.contains_key(TRACEPARENT) {
        return Call::untold();
    }
    let span = info_span!(
        target: TARGET,
        "peer_answer",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        llm_router.peer = peer,
        llm_router.answer = Empty,
        error.type = Empty,
    );
    let headers = Headers(metadata.as_ref());
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    // refused where no collector is told about spans
    let _untold = span.set_parent(parent);
    Call::of(span)
}

/// Something this node does for a request by itself, if it is done for one.
pub(crate) fn doing(what: &'static str) -> Call {
    if !is_traced() {
        return Call::untold();
    }
    Call::of(info_span!(
        target: TARGET,
        "doing",
        otel.name = what,
        otel.kind = "internal",
        otel.status_code = Empty,
        error.type = Empty,
    ))
}

/// One of a request's spans is current.
fn is_traced() -> bool {
    let current = Span::current();
    current
        .metadata()
        .is_some_and(|span| span.target() == TARGET)
}

impl Call {
    /// One that is part of no request.
    pub(crate) fn untold() -> Self {
        Call::of(Span::none())
    }

    fn of(span: Span) -> Self {
        Call {
            span,
            unsaid: Err("cancelled"),
            ended: false,
        }
    }

    /// Its span, to be current while it lasts.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Names it as the parent of what the other node does.
    pub fn sign<T>(&self, mut request: Request<T>) -> Request<T> {
        if !self.span.is_disabled() {
            let mut headers = HeadersMut(request.metadata_mut().as_mut());
            TraceContextPropagator::new().inject_context(&self.span.context(), &mut headers);
        }
        request
    }

    /// What was answered, in a word of a closed list. A stream that has said it has not failed,
    /// whoever leaves it first.
    pub fn answered(&mut self, word: &'static str) {
        self.span.record("llm_router.answer", word);
        self.unsaid = Ok(());
    }

    /// A stream broke after whatever it has said, with the name of a failure.
    pub fn broke(&mut self, failure: &'static str) {
        self.unsaid = Err(failure);
    }

    /// It has ended with this refusal, which is given back.
    pub fn refused(self, status: Status) -> Status {
        self.end(Err(code_name(status.code())));
        status
    }

    /// It has ended, with the name of a failure.
    pub fn end(mut self, outcome: Result<(), &'static str>) {
        self.close(outcome);
    }

    fn close(&mut self, outcome: Result<(), &'static str>) {
        if std::mem::replace(&mut self.ended, true) || self.span.is_disabled() {
            return;
        }
        match outcome {
            Ok(()) => {
                // a step of this node's own has no such field
                self.span.record("rpc.response.status_code", "OK");
            }
            Err(failure) => {
                self.span.record("error.type", failure);
                self.span.record("otel.status_code", "ERROR");
            }
        }
        // a span's end is the moment it was last left
        self.span.in_scope(|| ());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.close(self.unsaid);
    }
}

/// A status code as the conventions spell it.
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        let header = HeaderName::try_from(key).ok();
        let header = header.zip(HeaderValue::try_from(value).ok());
        if let Some((name, value)) = header {
            // an empty list of notes says nothing
            if !value.is_empty() {
                self.0.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
