//! The way to ask for traces: plain HTTP, JSON or text.
//!
//! ```text
//! GET /traces            the latest, newest first
//! GET /traces/ID         its spans
//! GET /traces/ID/tree    the same drawn
//! GET /health            figures about the collector
//! ```

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;

use super::store::Store;
use super::tree::Tree;
use crate::listen;

/// Longest list of traces.
const MOST_LISTED: usize = 100;

type Answer = Response<Full<Bytes>>;

/// Serves for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, store: Arc<Store>) {
    listen::serve(listener, move |request| {
        let answer = answer(&store, &request);
        async move { Ok::<_, Infallible>(answer) }
    })
    .await;
}

fn answer<B>(store: &Store, request: &Request<B>) -> Answer {
    if request.method() != Method::GET {
        return problem(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here");
    }
    let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
    match path.as_slice() {
        ["health"] => json(&store.figures()),
        ["traces"] => json(&store.latest(MOST_LISTED)),
        ["traces", id] => match store.trace(&id.to_ascii_lowercase()) {
            Some(stored) => json(&stored),
            None => unknown(),
        },
        ["traces", id, "tree"] => match store.trace(&id.to_ascii_lowercase()) {
            Some(stored) => {
                let drawn = Tree::of(stored.spans).to_string();
                respond(StatusCode::OK, "text/plain; charset=utf-8", drawn)
            }
            None => unknown(),
        },
        _ => problem(
            StatusCode::NOT_FOUND,
            "there are /traces, /traces/ID, /traces/ID/tree",
        ),
    }
}

fn unknown() -> Answer {
    let words = "no span of this trace has come, or it made room for later ones";
    problem(StatusCode::NOT_FOUND, words)
}

fn problem(status: StatusCode, words: &str) -> Answer {
    let body = json!({ "error": words }).to_string();
    respond(status, "application/json", body)
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(body) => respond(StatusCode::OK, "application/json", body),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let kind = http::HeaderValue::from_static(kind);
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, kind);
    answer
}
