//! An upstream that answers what it is told to, in order, and remembers what it was asked. For
//! tests of providers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Response, Uri};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinSet;

use super::{Call, EmbedCall, Timeouts};
use crate::dialect::openai::ChatBody;
use crate::types::{Inputs, Moment};

/// One request as it arrived.
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

/// Status, content type, body.
type Reply = (u16, &'static str, String);

#[derive(Default)]
struct Shared {
    replies: VecDeque<Reply>,
    asked: Vec<Asked>,
}

/// The upstream; gone when dropped.
pub(super) struct StandIn {
    pub(super) url: String,
    shared: Arc<Mutex<Shared>>,
    _tasks: JoinSet<()>,
}

impl StandIn {
    /// Answers with `replies`, one after another; then with 500.
    pub(super) async fn answering(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(Shared {
            replies: replies.into_iter().collect(),
            asked: Vec::new(),
        }));
        let seen = Arc::clone(&shared);
        let router = Router::new().fallback(
            move |uri: Uri, headers: HeaderMap, body: Bytes| async move {
                let mut shared = seen.lock();
                shared.asked.push(Asked {
                    path: uri.to_string(),
                    headers,
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                });
                let spent = (500, "text/plain", "nothing left to say".to_owned());
                let (status, kind, body) = shared.replies.pop_front().unwrap_or(spent);
                Response::builder()
                    .status(status)
                    .header("content-type", kind)
                    .body(Body::from(body))
                    .unwrap()
            },
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        StandIn {
            url,
            shared,
            _tasks: tasks,
        }
    }

    /// Answers once, with JSON.
    pub(super) async fn saying(json: &str) -> Self {
        StandIn::answering([(200, "application/json", json.to_owned())]).await
    }

    /// The requests so far; forgotten with this.
    pub(super) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.lock().asked)
    }
}

/// One attempt with this body.
pub(super) fn call(body: &Value, stream: bool) -> Call {
    Call {
        body: Arc::new(ChatBody::parse(body.to_string().as_bytes()).unwrap()),
        model: "".into(),
        stream,
        deadline: Moment::now() + Duration::from_secs(10),
        timeouts: Timeouts::default(),
        traceparent: None,
    }
}

/// One attempt at vectors.
pub(super) fn vectors_of(inputs: Inputs) -> EmbedCall {
    EmbedCall {
        inputs: Arc::new(inputs),
        model: "".into(),
        dimensions: None,
        user: None,
        deadline: Moment::now() + Duration::from_secs(10),
        timeouts: Timeouts::default(),
        traceparent: None,
    }
}

/// These texts.
pub(super) fn texts(texts: &[&str]) -> Inputs {
    Inputs::Texts(texts.iter().map(|text| (*text).to_owned()).collect())
}
