//! Gives every call an id, and every reply the node's name and how it stands in its cluster,
//! whatever happens in between.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::Extensions;
use tower::{Layer, Service};

use crate::api::options::min_revision;
use crate::app::agreed::READ_PATIENCE;
use crate::app::{Agreed, partition};
use crate::error::{Error, Kind};
use crate::types::RequestId;

const REQUEST_ID: &str = "x-request-id";

/// Puts [`Identify`] around a service.
#[derive(Clone, Debug)]
pub(super) struct IdentifyLayer {
    node: Option<HeaderValue>,
    agreed: Option<Agreed>,
}

impl IdentifyLayer {
    /// For a node of this name; a name that is not visible ASCII is left out of replies.
    pub(super) fn new(node: &str, agreed: Option<Agreed>) -> Self {
        IdentifyLayer {
            node: HeaderValue::from_str(node).ok(),
            agreed,
        }
    }
}

impl<S> Layer<S> for IdentifyLayer {
    type Service = Identify<S>;
    fn layer(&self, inner: S) -> Identify<S> {
        Identify {
            inner,
            node: self.node.clone(),
            agreed: self.agreed.clone(),
        }
    }
}

/// Sets `x-request-id` on requests that lack an acceptable one, and on every reply.
#[derive(Clone, Debug)]
pub(super) struct Identify<S> {
    inner: S,
    node: Option<HeaderValue>,
    agreed: Option<Agreed>,
}

/// The id a request came with or was given.
pub(super) fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    given
        .and_then(RequestId::accept)
        .unwrap_or_else(RequestId::generate)
}

impl<S, In, Out> Service<Request<In>> for Identify<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
{
    type Response = Response<Out>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<In>) -> Self::Future {
        let id = HeaderValue::from_str(request_id(request.headers()).as_str()).ok();
        set(request.headers_mut(), REQUEST_ID, id.clone());
        let (node, agreed) = (self.node.clone(), self.agreed.clone());
        if let Some(agreed) = &agreed {
            request.extensions_mut().insert(agreed.clone());
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            set(response.headers_mut(), REQUEST_ID, id);
            set(response.headers_mut(), "x-llm-router-node", node);
            if let Some(agreed) = agreed {
                describe(&agreed, response.headers_mut());
            }
            Ok(response)
        })
    }
}

/// The revision in service here (a request that was routed has said under which), and whether
/// there may be a newer one elsewhere; then also what the node does meanwhile.
fn describe(agreed: &Agreed, headers: &mut HeaderMap) {
    headers
        .entry("x-llm-router-revision")
        .or_insert_with(|| HeaderValue::from(agreed.revision().0));
    if agreed.is_isolated() {
        let isolated = HeaderValue::from_static("isolated");
        headers.insert("x-llm-router-partition", isolated);
        let mode = HeaderValue::from_static(partition::HEADER);
        headers.insert("x-llm-router-partition-mode", mode);
    }
}

/// Returns once the config that the caller has seen is in service here.
///
/// # Errors
/// [`crate::Kind::Behind`] when it is not in time, [`crate::Kind::InvalidRequest`] for a revision
/// that is none.
pub(super) async fn catch_up(headers: &HeaderMap, extensions: &Extensions) -> Result<(), Error> {
    let wanted = min_revision(headers)?;
    match (wanted, extensions.get::<Agreed>()) {
        (Some(wanted), Some(agreed)) => agreed.in_service(wanted, READ_PATIENCE).await,
        (Some(_), None) => Err(Error::new(Kind::Unavailable, "this node is in no cluster")),
        (None, _) => Ok(()),
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(id: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap());
        headers
    }

    #[test]
    fn an_id_with_odd_characters_is_replaced() {
        assert_ne!(request_id(&headers("a b")).as_str(), "a b");
        assert!(request_id(&HeaderMap::new()).as_str().starts_with("req_"));
    }

    #[test]
    fn a_clients_own_id_is_kept() {
        assert_eq!(request_id(&headers("job-7")).as_str(), "job-7");
    }
}
