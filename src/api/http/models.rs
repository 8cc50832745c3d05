//! `GET /v1/models` and `/v1/models/{id}`: what clients may ask for.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use serde_json::{Value, json};

use super::errors;
use crate::app::Node;
use crate::dialect::anthropic::VERSION;
use crate::error::{Error, Kind};
use crate::inference::Named;

/// Lists `auto`, models, routes, aliases and the node's own embedder, in Anthropic's shape for who names a version of it.
pub(super) async fn list(State(node): State<Arc<Node>>, headers: HeaderMap) -> Response {
    if headers.contains_key(VERSION) {
        let names = node.engine.model_names();
        let data: Vec<Value> = names.iter().map(|name| anthropic(&node, name)).collect();
        let list = json!({"data": data, "has_more": false,
            "first_id": names.first(), "last_id": names.last()});
        return errors::json_response(200, list.to_string());
    }
    let data: Vec<Value> = node
        .engine
        .model_names()
        .iter()
        .map(|name| entry(&node, name))
        .collect();
    errors::json_response(200, json!({"object": "list", "data": data}).to_string())
}

/// One of them; ids may hold `/`, plain or as `%2F`, and `:`.
pub(super) async fn retrieve(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if node.engine.model_names().contains(&id) {
        let shown = match headers.contains_key(VERSION) {
            true => anthropic(&node, &id),
            false => entry(&node, &id),
        };
        return errors::json_response(200, shown.to_string());
    }
    let name: String = id.chars().take(128).collect();
    let unknown = Error::new(Kind::UnknownModel, format!("model `{name}` does not exist"));
    errors::render_for("/models", &headers, &unknown.with_param("model"))
}

/// OpenAI's four fields; what is ours stands apart, so that no client stumbles over it.
fn entry(node: &Node, name: &str) -> Value {
    let ours = match node.engine.named(name) {
        Named::Auto => json!({"kind": "auto"}),
        Named::Route => json!({"kind": "route"}),
        Named::Alias => json!({"kind": "alias"}),
        Named::Model { provider, upstream } => {
            json!({"kind": "model", "provider": provider, "model": upstream})
        }
    };
    json!({"id": name, "object": "model", "created": node.started_unix, "owned_by": "llm-router",
        "llm_router": ours})
}

fn anthropic(node: &Node, name: &str) -> Value {
    let seconds = i64::try_from(node.started_unix).unwrap_or_default();
    let created = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    json!({"type": "model", "id": name, "display_name": name, "created_at": created.to_string()})
}
