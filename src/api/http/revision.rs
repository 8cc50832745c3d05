//! Revisions in headers: what every answer was given under, and what a caller has seen already.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, Request};
use llm_router_cluster::Revision;

use super::chat::set;
use super::errors;
use crate::app::Node;
use crate::app::agreed::READ_PATIENCE;
use crate::error::{Error, Kind};

const MIN_REVISION: &str = "x-llm-router-min-revision";

/// Says under which agreed config an answer was given, and whether a newer one may exist that this
/// node cannot hear of.
pub(super) fn describe(node: &Node, headers: &mut HeaderMap) {
    set(
        headers,
        "x-llm-router-revision",
        &node.revision().to_string(),
    );
    if node.is_isolated() {
        set(headers, "x-llm-router-partition", "isolated");
    }
}

/// The revision a caller has seen.
///
/// # Errors
/// [`Kind::InvalidRequest`] naming the header.
pub(super) fn min_revision(headers: &HeaderMap) -> Result<Option<Revision>, Error> {
    let Some(given) = headers.get(MIN_REVISION) else {
        return Ok(None);
    };
    let number = given
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let revision = number.map(Revision).ok_or_else(|| {
        let message = format!("header {MIN_REVISION} must be a revision's number");
        Error::new(Kind::InvalidRequest, message).with_param(MIN_REVISION)
    })?;
    Ok(Some(revision))
}

/// Lets a request pass once the config its caller has seen is in service here.
pub(super) async fn catch_up(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    // taken out first: a request's body must not be held over a wait
    let wanted = min_revision(request.headers());
    let caught_up = async {
        match (wanted?, node.agreed()) {
            (Some(wanted), Ok(agreed)) => agreed.in_service(wanted, READ_PATIENCE).await,
            (Some(_), Err(alone)) => Err(alone),
            (None, _) => Ok(()),
        }
    };
    if let Err(error) = caught_up.await {
        return errors::render(&error);
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use llm_router_cluster::Revision;

    use super::{MIN_REVISION, min_revision};

    #[test]
    fn a_revision_that_is_none_is_refused_and_none_is_fine() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(MIN_REVISION, HeaderValue::from_static(value));
            min_revision(&headers)
        };
        for bad in ["", "x", "-1", "1.5", "99999999999999999999"] {
            assert!(with(bad).is_err(), "{bad}");
        }
        assert_eq!(with(" 7 ").unwrap(), Some(Revision(7)));
        assert_eq!(min_revision(&HeaderMap::new()).unwrap(), None);
    }
}
