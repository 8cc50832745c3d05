//! `/admin/v1/config`: what is agreed on, what was, what differs, and changing it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::Request;
use llm_router_cluster::Revision;
use serde::Deserialize;
use serde_json::json;

use super::{Freshness, decode, freshness, order, query, respond, seen};
use crate::app::Node;
use crate::app::agreed::ConfigShown;
use crate::error::{Error, Kind};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadQuery {
    #[serde(default)]
    consistency: Freshness,
    min_revision: Option<u64>,
}

/// `{"revision", "config"}`; secrets are references or dots.
pub(in crate::api::http) async fn show(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    let asked = query(&request).and_then(|asked: ReadQuery| {
        let min_revision = seen(asked.min_revision, request.headers())?;
        Ok((asked.consistency, min_revision))
    });
    let shown = async {
        let (freshness, min_revision) = asked?;
        let Ok(agreed) = node.agreed() else {
            let (revision, config) = node.engine.config();
            return Ok(ConfigShown { revision, config });
        };
        agreed.config(freshness.into(), min_revision).await
    };
    respond(shown.await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyQuery {
    expected_revision: Option<u64>,
    note: Option<String>,
}

/// Another config, YAML or JSON; `{"revision"}` once it is agreed on.
pub(in crate::api::http) async fn apply(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    let applied = async {
        let ApplyQuery {
            expected_revision,
            note,
        } = query(&request)?;
        let (bytes, author) = order(request, "apply").await?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Error::new(Kind::InvalidRequest, "the config is not UTF-8"))?;
        let expected = expected_revision.map(Revision);
        let (agreed, note) = (node.agreed()?, note.as_deref());
        let revision = agreed.apply(text, expected, note, author).await?;
        Ok(json!({"revision": revision}))
    };
    respond(applied.await)
}

/// `{"revision", "history": [{"revision", "at_ms", "by", "note"}]}`, the newest first; nothing
/// acknowledged before is missing, unless `?consistency=local` asks this node alone.
pub(in crate::api::http) async fn history(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    let asked = freshness(&request);
    let history = async {
        let kept = node.agreed()?.history(asked?).await?;
        let newest = kept.first().map_or(Revision(0), |newest| newest.revision);
        Ok(json!({"revision": newest, "history": kept}))
    };
    respond(history.await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackOrder {
    revision: u64,
    #[serde(default)]
    expected_revision: Option<u64>,
}

/// `{"revision", "expected_revision"?}`: an earlier config again, as a new revision.
pub(in crate::api::http) async fn rollback(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    let made = async {
        let (bytes, author) = order(request, "rollback").await?;
        let RollbackOrder {
            revision,
            expected_revision,
        } = decode(&bytes)?;
        let (to, expected) = (Revision(revision), expected_revision.map(Revision));
        let revision = node.agreed()?.rollback(to, expected, author).await?;
        Ok(json!({"revision": revision}))
    };
    respond(made.await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiffQuery {
    from: Option<u64>,
    to: Option<u64>,
    #[serde(default)]
    consistency: Freshness,
}

/// `{"changes": [{"path", "old"?, "new"?}]}` between two revisions; the one in force where one is
/// not said.
pub(in crate::api::http) async fn diff(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    let asked = query(&request);
    let found = async {
        let DiffQuery {
            from,
            to,
            consistency,
        } = asked?;
        let agreed = node.agreed()?;
        let revisions = (from.map(Revision), to.map(Revision));
        let changes = agreed.diff(revisions, consistency.into()).await?;
        Ok(json!({"from": from, "to": to, "changes": changes}))
    };
    respond(found.await)
}
