//! Revisions in headers: what every answer was given under, and what a caller has seen already.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, Request};

use super::chat::set;
use super::errors;
use crate::api::options::min_revision;
use crate::app::agreed::READ_PATIENCE;
use crate::app::{Node, partition};

/// The config an answer was given under.
pub(super) const REVISION: &str = "x-llm-router-revision";

/// Says under which agreed config an answer was given (a request that was routed has said so
/// itself), and whether a newer one may exist that this node cannot hear of; then also what the
/// node does meanwhile.
pub(super) fn describe(node: &Node, headers: &mut HeaderMap) {
    if !headers.contains_key(REVISION) {
        set(headers, REVISION, &node.revision().to_string());
    }
    if node.is_isolated() {
        set(headers, "x-llm-router-partition", "isolated");
        set(headers, "x-llm-router-partition-mode", partition::HEADER);
    }
}

/// Lets a request pass once the config its caller has seen is in service here.
pub(super) async fn catch_up(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    // taken out first: a request's body must not be held over a wait
    let wanted = min_revision(request.headers());
    let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
    let caught_up = async {
        match (wanted?, node.agreed()) {
            (Some(wanted), Ok(agreed)) => agreed.in_service(wanted, READ_PATIENCE).await,
            (Some(_), Err(alone)) => Err(alone),
            (None, _) => Ok(()),
        }
    };
    if let Err(error) = caught_up.await {
        return errors::render_for(&path, &headers, &error);
    }
    next.run(request).await
}
