//! The HTTP door: OpenAI's paths and Anthropic's, `/generate`, admin, health and metrics.

mod admin;
mod auth;
mod body;
mod chat;
mod completions;
mod embeddings;
mod errors;
mod events;
mod generate;
mod guard;
mod health;
mod keys;
mod messages;
mod models;
mod responses;
mod revision;
pub mod server;
mod sse;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{delete, get, post, put};
use http::{HeaderMap, Uri};

use crate::app::Node;
use crate::error::{Error, Kind};

pub use errors::render as render_error;

/// Every path of the door. All paths of the API work with and without `/v1`.
pub fn routes(node: Arc<Node>) -> Router {
    let (api, admin) = (api(Arc::clone(&node)), admin());
    Router::new()
        .merge(api.clone())
        .nest("/v1", api)
        .nest("/admin/v1", admin)
        .route("/health", get(health::live))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(async |uri: Uri, headers: HeaderMap| {
            let error = Error::new(Kind::NoSuchPath, "no such path");
            errors::render_for(uri.path(), &headers, &error)
        })
        .method_not_allowed_fallback(async |uri: Uri, headers: HeaderMap| {
            let error = Error::new(Kind::MethodNotAllowed, "method not allowed on this path");
            errors::render_for(uri.path(), &headers, &error)
        })
        .layer(DefaultBodyLimit::disable()) // body.rs holds the one limit
        .layer(middleware::from_fn_with_state(
            Arc::clone(&node),
            auth::check,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&node),
            guard::check,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&node),
            watch::watch,
        ))
        .with_state(node)
}

/// What applications ask for.
fn api(node: Arc<Node>) -> Router<Arc<Node>> {
    Router::new()
        .route("/chat/completions", post(chat::completions))
        .route("/messages", post(messages::create))
        .route("/messages/count_tokens", post(messages::count_tokens))
        .route("/models", get(models::list))
        .route("/models/{*id}", get(models::retrieve))
        .route("/embeddings", post(embeddings::embeddings))
        .route("/completions", post(completions::completions))
        .route("/responses", post(responses::create))
        .route(
            "/responses/{id}",
            get(responses::kept).delete(responses::kept),
        )
        .route("/generate", post(generate::generate))
        .route_layer(middleware::from_fn_with_state(node, revision::catch_up))
}

/// What operators ask for.
fn admin() -> Router<Arc<Node>> {
    Router::new()
        .route(
            "/config",
            get(admin::config::show).put(admin::config::apply),
        )
        .route("/config/history", get(admin::config::history))
        .route("/config/rollback", post(admin::config::rollback))
        .route("/config/diff", get(admin::config::diff))
        .route("/cluster", get(admin::cluster::show))
        .route("/cluster/promote", post(admin::cluster::promote))
        .route("/cluster/remove", post(admin::cluster::remove))
        .route(
            "/cluster/transfer-leader",
            post(admin::cluster::transfer_leader),
        )
        .route("/cluster/snapshot", post(admin::cluster::snapshot))
        .route("/models", get(admin::models::list))
        .route("/models/{name}/breaker", put(admin::models::breaker))
        .route("/routes", get(admin::models::routes))
        .route("/stats", get(admin::models::stats))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", delete(keys::revoke))
        .route("/keys/{id}/rotate", post(keys::rotate))
        .route("/explain", post(admin::models::explain))
        .route("/cache", get(admin::cache::stats))
        .route("/cache/lookup", post(admin::cache::lookup))
        .route("/cache/purge", post(admin::cache::purge))
        .route("/cache/cells", post(admin::cache::cells))
        .route("/cache/veto", post(admin::cache::veto))
        .route("/cache/entries/{id}", delete(admin::cache::remove))
}
