//! A span around every call of a service, in the caller's trace.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;
use tracing::Instrument as _;

use crate::telemetry::{propagation, spans};

/// Tells of a service's calls. Around whatever else stands in front of it, so that refusals are told
/// too; for calls that answer with one message, whose span ends with their head.
#[derive(Clone, Debug)]
pub(super) struct Traced<S>(S);

impl<S> Traced<S> {
    pub(super) const fn new(service: S) -> Self {
        Traced(service)
    }
}

impl<S: NamedService> NamedService for Traced<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, In, Out> Service<Request<In>> for Traced<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
{
    type Response = Response<Out>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let span = spans::grpc_server(request.uri().path().trim_start_matches('/'));
        propagation::set_parent(&span, request.headers());
        let answer = span.in_scope(|| self.0.call(request));
        let answer = answer.instrument(span.clone());
        Box::pin(async move {
            let answer = answer.await;
            // an answer without a message has its status where others have their head
            let status = answer.as_ref().ok();
            let status = status.and_then(|answer| Status::from_header_map(answer.headers()));
            spans::grpc_ended(&span, status.map_or(Code::Ok, |status| status.code()));
            answer
        })
    }
}
