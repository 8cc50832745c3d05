//! Sees every request of the door from its head to the last byte of its answer: span, metrics,
//! the node's name and the trace context on the way out.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{Method, Request, Version};
use http_body::{Frame, SizeHint};
use tracing::{Instrument, Span};

use super::chat::set;
use super::errors::Manner;
use super::revision;
use crate::api::credential;
use crate::app::Node;
use crate::telemetry::{HttpCall, Metrics, propagation, spans};
use crate::types::{Moment, RequestId};

/// Wraps a request's handling.
pub(super) async fn watch(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let name = route.as_ref().map_or("", MatchedPath::as_str);
    let span = match is_for_probes(name) && !propagation::has_parent(request.headers()) {
        true => Span::none(),
        false => spans::http_server(request.method(), name),
    };
    propagation::set_parent(&span, request.headers(), || {
        credential::caller(&node.keys, request.headers()).is_ok()
    });
    let manner = Manner::of(request.uri().path(), request.headers());
    let traceparent = propagation::outgoing_traceparent(&span, request.headers());
    let id = request
        .headers()
        .get("x-request-id")
        .and_then(|id| RequestId::accept(id.to_str().ok()?));
    let metrics = node.engine.metrics().clone();
    let active = metrics.http_began(request.method());
    let mut ended = Ended {
        metrics,
        method: request.method().clone(),
        route,
        version: request.version(),
        status: 499,
        began: Moment::now(),
        span: span.clone(),
    };
    let mut response = next.run(request).instrument(span).await;
    ended.status = response.status().as_u16();
    if !response.headers().contains_key("x-request-id") {
        let id = id.unwrap_or_else(RequestId::generate);
        set(response.headers_mut(), "x-request-id", id.as_str());
    }
    let id = response.headers().get("x-request-id").cloned();
    if let Some(id) = id.filter(|_| manner == Manner::Anthropic) {
        response.headers_mut().insert("request-id", id);
    }
    set(
        response.headers_mut(),
        "x-llm-router-node",
        node.id.as_str(),
    );
    revision::describe(&node, response.headers_mut());
    if let Some(traceparent) = traceparent {
        set(response.headers_mut(), "traceparent", &traceparent);
    }
    response.map(|inner| {
        Body::new(Watched {
            inner,
            _ended: ended,
            _active: active,
        })
    })
}

/// Asked every few seconds by what watches the node: told only where that one keeps a trace of it.
fn is_for_probes(route: &str) -> bool {
    matches!(route, "/health" | "/ready" | "/metrics")
}

/// Told when the answer's last byte is out, or when nobody wants it any more.
struct Ended {
    metrics: Metrics,
    method: Method,
    route: Option<MatchedPath>,
    version: Version,
    status: u16,
    began: Moment,
    span: Span,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.metrics.http_ended(&HttpCall {
            method: &self.method,
            route: self.route.as_ref().map_or("", MatchedPath::as_str),
            version: self.version,
            status: self.status,
            duration: Moment::now().since(self.began),
        });
        spans::http_ended(&self.span, self.status);
    }
}

struct Watched<A> {
    inner: Body,
    _ended: Ended,
    _active: A,
}

impl<A: Unpin> http_body::Body for Watched<A> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
