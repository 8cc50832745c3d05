//! A span around every call of a service, in the caller's trace.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;
use tracing::{Instrument as _, Span};

use crate::api::credential;
use crate::telemetry::{propagation, spans};
use crate::tenancy::Keys;

/// What `AdminService` answers. Paths are the caller's to choose, and names of spans are not.
const METHODS: [&str; 18] = [
    "llm_router.v1.AdminService/ApplyConfig",
    "llm_router.v1.AdminService/CreateKey",
    "llm_router.v1.AdminService/DiffConfig",
    "llm_router.v1.AdminService/GetCache",
    "llm_router.v1.AdminService/GetCluster",
    "llm_router.v1.AdminService/GetConfig",
    "llm_router.v1.AdminService/GetConfigHistory",
    "llm_router.v1.AdminService/ListKeys",
    "llm_router.v1.AdminService/PromoteNode",
    "llm_router.v1.AdminService/PurgeCache",
    "llm_router.v1.AdminService/RemoveNode",
    "llm_router.v1.AdminService/RevokeKey",
    "llm_router.v1.AdminService/RollbackConfig",
    "llm_router.v1.AdminService/RotateKey",
    "llm_router.v1.AdminService/SetBreakerMode",
    "llm_router.v1.AdminService/TakeSnapshot",
    "llm_router.v1.AdminService/TransferLeader",
    "llm_router.v1.AdminService/VetoCache",
];
/// What is none of them, as the conventions ask.
const OTHER: &str = "_OTHER";

/// A call's span. Dropped before it has ended, its caller has left.
#[derive(Debug)]
pub(super) struct Told {
    span: Span,
    ended: bool,
}

impl Told {
    pub(super) const fn new(span: Span) -> Self {
        Told { span, ended: false }
    }

    /// To be current while the call is worked on.
    pub(super) const fn span(&self) -> &Span {
        &self.span
    }

    /// The call has ended.
    pub(super) fn end(mut self, code: Code) {
        self.ended = true;
        spans::grpc_ended(&self.span, code);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if !self.ended {
            spans::grpc_given_up(&self.span);
        }
    }
}

/// Tells of the admin service's calls. Around whatever else stands in front of it, so that refusals are
/// told too; for calls that answer with one message, whose span ends with their head.
#[derive(Clone, Debug)]
pub(super) struct Traced<S> {
    service: S,
    keys: Keys,
}

impl<S> Traced<S> {
    /// `keys` say whose wish to have a trace told counts.
    pub(super) fn new(service: S, keys: &Keys) -> Self {
        Traced {
            service,
            keys: keys.clone(),
        }
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
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let told = Told::new(spans::grpc_server(method(request.uri().path())));
        propagation::set_parent(told.span(), request.headers(), || {
            credential::caller(&self.keys, request.headers()).is_ok()
        });
        let answer = told.span().in_scope(|| self.service.call(request));
        let answer = answer.instrument(told.span().clone());
        Box::pin(async move {
            let answer = answer.await;
            told.end(match &answer {
                // an answer without a message has its status where others have their head
                Ok(answer) => Status::from_header_map(answer.headers())
                    .map_or(Code::Ok, |status| status.code()),
                Err(_) => Code::Unknown,
            });
            answer
        })
    }
}

/// The method that a path names.
fn method(path: &str) -> &'static str {
    let named = |method: &&str| path.strip_prefix('/') == Some(*method);
    METHODS.into_iter().find(named).unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use llm_router_proto::FILE_DESCRIPTOR_SET;
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::{METHODS, OTHER, method};

    #[test]
    fn every_admin_method_has_its_name_and_nothing_else_has_one() {
        let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
        let services = files.file.iter().flat_map(|file| &file.service);
        let admin = services
            .filter(|service| service.name.as_deref() == Some("AdminService"))
            .flat_map(|service| &service.method);
        let mut names: Vec<String> = admin
            .filter_map(|method| method.name.as_ref())
            .map(|name| format!("llm_router.v1.AdminService/{name}"))
            .collect();
        names.sort();
        assert_eq!(names, METHODS);
        for name in METHODS {
            assert_eq!(method(&format!("/{name}")), name);
        }
        for path in [
            "",
            "/",
            "/llm_router.v1.AdminService/",
            "/llm_router.v1.AdminService/Made/Up",
            "//llm_router.v1.AdminService/GetCache",
        ] {
            assert_eq!(method(path), OTHER, "{path}");
        }
    }
}
