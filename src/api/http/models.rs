//! `GET /v1/models` and `/v1/models/{id}`: what clients may ask for.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::errors;
use crate::app::Node;
use crate::error::{Error, Kind};

/// Lists `auto`, models, routes and aliases.
pub(super) async fn list(State(node): State<Arc<Node>>) -> Response {
    let data: Vec<Value> = node
        .engine
        .model_names()
        .iter()
        .map(|name| entry(&node, name))
        .collect();
    errors::json_response(200, json!({"object": "list", "data": data}).to_string())
}

/// One of them; ids may hold `/` and `:`.
pub(super) async fn retrieve(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Response {
    if node.engine.model_names().contains(&id) {
        return errors::json_response(200, entry(&node, &id).to_string());
    }
    let name: String = id.chars().take(128).collect();
    let unknown = Error::new(Kind::UnknownModel, format!("model `{name}` does not exist"));
    errors::render(&unknown.with_param("model"))
}

fn entry(node: &Node, name: &str) -> Value {
    json!({"id": name, "object": "model", "created": node.started_unix, "owned_by": "llm-router"})
}
