//! `GET /health`, `/ready` and `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;

use super::errors;
use crate::app::Node;
use crate::error::{Error, Kind};

/// The process is alive; beside it, for whoever watches: how the node stands in its cluster.
pub(super) async fn live(State(node): State<Arc<Node>>) -> Response {
    let mut body =
        json!({"status": "ok", "node": node.id.as_str(), "version": env!("CARGO_PKG_VERSION")});
    if let Ok(agreed) = node.agreed() {
        let status = agreed.handle().status();
        body["cluster"] = json!({
            "connected": status.connected,
            "applied": status.applied,
            "leader_contact_ms": status.leader_contact_ms,
        });
    }
    errors::json_response(200, body.to_string())
}

/// The doors and a config are live, and the node is not draining.
pub(super) async fn ready(State(node): State<Arc<Node>>) -> Response {
    if node.is_ready() {
        return errors::json_response(200, json!({"status": "ready"}).to_string());
    }
    errors::json_response(503, json!({"status": "not_ready"}).to_string())
}

/// Prometheus text.
pub(super) async fn metrics(State(node): State<Arc<Node>>) -> Response {
    let metrics = node.engine.metrics();
    metrics.cache_entries(node.engine.cache().stats().entries);
    match metrics.render() {
        Ok(text) => {
            let media = [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )];
            (StatusCode::OK, media, text).into_response()
        }
        Err(source) => errors::render(
            &Error::new(Kind::Internal, "metrics could not be rendered").with_source(source),
        ),
    }
}
