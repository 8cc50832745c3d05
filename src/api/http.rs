//! The HTTP door: OpenAI's paths, `/generate`, admin, health and metrics.

mod admin;
mod auth;
mod body;
mod chat;
mod errors;
mod generate;
mod guard;
mod health;
mod keys;
mod models;
pub mod server;
mod sse;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{delete, get, post, put};

use crate::app::Node;
use crate::error::{Error, Kind};

pub use errors::render as render_error;

/// Every path of the door. All paths of the API work with and without `/v1`.
pub fn routes(node: Arc<Node>) -> Router {
    let api = Router::new()
        .route("/chat/completions", post(chat::completions))
        .route("/models", get(models::list))
        .route("/models/{*id}", get(models::retrieve));
    let admin = Router::new()
        .route("/config", get(admin::config))
        .route("/models", get(admin::models))
        .route("/models/{name}/breaker", put(admin::breaker))
        .route("/routes", get(admin::routes))
        .route("/stats", get(admin::stats))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", delete(keys::revoke))
        .route("/keys/{id}/rotate", post(keys::rotate))
        .route("/explain", post(admin::explain))
        .route("/cache", get(admin::cache_stats))
        .route("/cache/lookup", post(admin::cache_lookup))
        .route("/cache/purge", post(admin::cache_purge));
    Router::new()
        .merge(api.clone())
        .nest("/v1", api)
        .route("/generate", post(generate::generate))
        .route("/v1/generate", post(generate::generate))
        .nest("/admin/v1", admin)
        .route("/health", get(health::live))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(async || errors::render(&Error::new(Kind::NoSuchPath, "no such path")))
        .method_not_allowed_fallback(async || {
            errors::render(&Error::new(
                Kind::MethodNotAllowed,
                "method not allowed on this path",
            ))
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
