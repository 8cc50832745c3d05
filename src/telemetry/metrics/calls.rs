//! What the doors and the attempts tell: HTTP, gRPC, connections, calls to providers.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Version};
use opentelemetry::metrics::UpDownCounter;
use opentelemetry::{KeyValue, StringValue};
use parking_lot::RwLock;

use super::Metrics;
use super::labels::OTHER;
use crate::provider::Class;
use crate::types::{ModelName, Usage};

/// Most paths with a label of their own; the doors have some forty.
const MAX_PATHS: usize = 256;

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// With a whole answer.
    Answered,
    /// With a failure of this class.
    Failed(Class),
    /// It was given up: the client left, the deadline passed, another attempt was faster.
    Abandoned,
}

impl AttemptOutcome {
    /// The metric label and `error.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            AttemptOutcome::Answered => "ok",
            AttemptOutcome::Failed(Class::Hard) => "hard",
            AttemptOutcome::Failed(Class::Gate { .. }) => "gate",
            AttemptOutcome::Failed(Class::Credential) => "credential",
            AttemptOutcome::Failed(Class::Caller) => "caller",
            AttemptOutcome::Abandoned => "abandoned",
        }
    }

    /// `error.type`, unless it was answered.
    pub const fn error_type(self) -> Option<&'static str> {
        match self {
            AttemptOutcome::Answered => None,
            AttemptOutcome::Failed(_) | AttemptOutcome::Abandoned => Some(self.as_str()),
        }
    }
}

/// One attempt that has ended, a stream's with its last piece.
#[derive(Clone, Copy, Debug)]
pub struct AttemptRecord<'a> {
    /// The conventions' word for what was asked: `chat`, `embeddings`.
    pub operation: &'static str,
    /// The candidate.
    pub model: &'a ModelName,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// From sending to the end.
    pub duration: Duration,
    /// From sending to the first chunk of a stream.
    pub first_chunk: Option<Duration>,
    /// Token counts, as the upstream counted them.
    pub usage: Option<Usage>,
}

/// One HTTP request that has ended, with the last byte of its body.
#[derive(Clone, Copy, Debug)]
pub struct HttpCall<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The route's template, as axum's `MatchedPath` has it; empty when no route matched.
    pub route: &'a str,
    /// The protocol's version.
    pub version: Version,
    /// The status that was sent.
    pub status: u16,
    /// From its head to the end of the response body.
    pub duration: Duration,
}

/// One gRPC call that has ended, with the last message of its stream.
#[derive(Clone, Copy, Debug)]
pub struct GrpcCall<'a> {
    /// `package.Service/Method` of a method that exists, else empty.
    pub method: &'a str,
    /// What was answered.
    pub code: tonic::Code,
    /// From its head to its trailers.
    pub duration: Duration,
}

/// Counts something as open until it is dropped.
pub struct Active<const LABELS: usize> {
    counter: UpDownCounter<i64>,
    labels: [KeyValue; LABELS],
}

impl<const LABELS: usize> Active<LABELS> {
    fn new(counter: &UpDownCounter<i64>, labels: [KeyValue; LABELS]) -> Self {
        counter.add(1, &labels);
        Active {
            counter: counter.clone(),
            labels,
        }
    }
}

impl<const LABELS: usize> Drop for Active<LABELS> {
    fn drop(&mut self) {
        self.counter.add(-1, &self.labels);
    }
}

impl<const LABELS: usize> fmt::Debug for Active<LABELS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Active")
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

/// Names from a small closed set that arrive as borrowed text: each is copied once.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: RwLock<HashMap<Box<str>, StringValue>>,
}

impl Names {
    fn label(&self, name: &str) -> StringValue {
        if name.is_empty() {
            return StringValue::from(OTHER);
        }
        if let Some(value) = self.known.read().get(name) {
            return value.clone();
        }
        let mut known = self.known.write();
        if known.len() >= MAX_PATHS {
            return StringValue::from(OTHER);
        }
        let value = StringValue::from(Arc::<str>::from(name));
        known.entry(Box::from(name)).or_insert(value).clone()
    }
}

impl Metrics {
    /// A connection was accepted at `door` (`http`, `grpc`); it is open until the guard is
    /// dropped.
    pub fn connected(&self, door: &'static str) -> Active<1> {
        Active::new(
            &self.inner.instruments.connections,
            [KeyValue::new("door", door)],
        )
    }

    /// An HTTP request begins; it is active until the guard is dropped.
    pub fn http_began(&self, method: &Method) -> Active<2> {
        Active::new(
            &self.inner.instruments.http_active,
            [
                KeyValue::new("http.request.method", method_label(method)),
                KeyValue::new("url.scheme", "http"),
            ],
        )
    }

    /// An HTTP request has ended.
    pub fn http_ended(&self, call: &HttpCall<'_>) {
        let labels = [
            KeyValue::new("http.request.method", method_label(call.method)),
            KeyValue::new("http.response.status_code", i64::from(call.status)),
            KeyValue::new("http.route", self.inner.paths.label(call.route)),
            KeyValue::new("network.protocol.version", version_label(call.version)),
            KeyValue::new("url.scheme", "http"),
            KeyValue::new("error.type", error_label(call.status)),
        ];
        // The conventions name a server's error only from 500 up.
        let count = if call.status >= 500 {
            labels.len()
        } else {
            labels.len() - 1
        };
        self.inner
            .instruments
            .http_duration
            .record(call.duration.as_secs_f64(), &labels[..count]);
    }

    /// A gRPC call has ended.
    pub fn grpc_ended(&self, call: &GrpcCall<'_>) {
        let code = code_label(call.code);
        let labels = [
            KeyValue::new("rpc.method", self.inner.paths.label(call.method)),
            KeyValue::new("rpc.response.status_code", code),
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("error.type", code),
        ];
        let failed = call.code != tonic::Code::Ok;
        let count = if failed {
            labels.len()
        } else {
            labels.len() - 1
        };
        self.inner
            .instruments
            .rpc_duration
            .record(call.duration.as_secs_f64(), &labels[..count]);
    }

    /// An attempt has ended.
    pub fn attempt_ended(&self, attempt: &AttemptRecord<'_>) {
        let labels = self.inner.gauges.labels.load();
        let instruments = &self.inner.instruments;
        let other = || StringValue::from(OTHER);
        let (name, provider, upstream) = match labels.get(attempt.model) {
            Some(known) => (
                known.name.clone(),
                known.provider.clone(),
                known.upstream.clone(),
            ),
            None => (other(), other(), other()),
        };
        let outcome = attempt.outcome.as_str();
        instruments.attempts.add(
            1,
            &[
                KeyValue::new("model", name),
                KeyValue::new("outcome", outcome),
            ],
        );

        // The last place is the token type or the error, as each instrument has it.
        let mut genai = [
            KeyValue::new("gen_ai.operation.name", attempt.operation),
            KeyValue::new("gen_ai.provider.name", provider),
            KeyValue::new("gen_ai.request.model", upstream),
            KeyValue::new("error.type", outcome),
        ];
        let failed = attempt.outcome.error_type().is_some();
        let told = if failed { &genai[..] } else { &genai[..3] };
        instruments
            .operation
            .record(attempt.duration.as_secs_f64(), told);
        if let Some(first) = attempt.first_chunk {
            instruments
                .first_chunk
                .record(first.as_secs_f64(), &genai[..3]);
        }
        let Some(usage) = attempt.usage else { return };
        for (kind, tokens) in [
            ("input", usage.prompt_tokens),
            ("output", usage.completion_tokens),
        ] {
            if tokens > 0 {
                genai[3] = KeyValue::new("gen_ai.token.type", kind);
                instruments.tokens.record(tokens, &genai);
            }
        }
    }
}

/// The methods of HTTP; anything a client made up is `_OTHER`, as the conventions ask.
pub(in crate::telemetry) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "_OTHER",
    }
}

/// The statuses our own table of errors has; others are one label.
fn error_label(status: u16) -> &'static str {
    match status {
        500 => "500",
        501 => "501",
        502 => "502",
        503 => "503",
        504 => "504",
        _ => OTHER,
    }
}

fn version_label(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => OTHER,
    }
}

/// The names gRPC itself gives its codes.
pub(in crate::telemetry) fn code_label(code: tonic::Code) -> &'static str {
    llm_router_cluster::trace::code_name(code)
}
