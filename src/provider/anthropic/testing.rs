//! A small upstream that answers everything alike and remembers what it was asked.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::response::Response;
use http::{HeaderMap, Uri, header};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The upstream; gone when dropped.
pub(crate) struct Fake {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: JoinSet<()>,
}

impl Fake {
    /// Answers so, and counts every request as 42 tokens.
    pub(crate) async fn answering(status: u16, body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let routes =
            Router::new().fallback(async move |uri: Uri, headers: HeaderMap, given: Bytes| {
                let path = uri.path().to_owned();
                let counts = path.ends_with("/count_tokens") && status == 200;
                noted.lock().push(Seen {
                    path,
                    headers,
                    body: given,
                });
                let shown = if counts {
                    r#"{"input_tokens":42}"#
                } else {
                    body
                };
                let kind = if shown.starts_with("event:") {
                    "text/event-stream"
                } else {
                    "application/json"
                };
                let response = Response::builder().status(status);
                let response = response.header(header::CONTENT_TYPE, kind);
                response.body(axum::body::Body::from(shown)).unwrap()
            });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            axum::serve(listener, routes).await.unwrap();
        });
        Fake {
            url,
            seen,
            _serving: serving,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}
