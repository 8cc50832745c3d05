//! `GET /v1/models` and `/v1/models/{id}`: what clients may ask for.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::errors;
use crate::app::Node;
use crate::error::{Error, Kind};
use crate::inference::Named;

/// Lists `auto`, models, routes, aliases and the node's own embedder.
pub(super) async fn list(State(node): State<Arc<Node>>) -> Response {
    let data: Vec<Value> = node
        .engine
        .model_names()
        .iter()
        .map(|name| entry(&node, name))
        .collect();
    errors::json_response(200, json!({"object": "list", "data": data}).to_string())
}

/// One of them; ids may hold `/`, plain or as `%2F`, and `:`.
pub(super) async fn retrieve(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Response {
    if node.engine.model_names().contains(&id) {
        return errors::json_response(200, entry(&node, &id).to_string());
    }
    let name: String = id.chars().take(128).collect();
    let unknown = Error::new(Kind::UnknownModel, format!("model `{name}` does not exist"));
    errors::render(&unknown.with_param("model"))
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
