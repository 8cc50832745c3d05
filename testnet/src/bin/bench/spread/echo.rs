//! An upstream that says the question back, so that whose answer it is can be told. On order its
//! answers are cut short, and no cache keeps them: look-ups leave no trace then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use llm_router_testnet::listen;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The upstream. Dropping it closes its port.
#[derive(Debug)]
pub(super) struct Echo {
    address: SocketAddr,
    short: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Echo {
    /// Listens on a free port.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let short = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let cut = Arc::clone(&short);
        tasks.spawn(listen::serve(listener, move |request| {
            answer(request, Arc::clone(&cut))
        }));
        Ok(Echo {
            address,
            short,
            _tasks: tasks,
        })
    }

    /// A routing configuration with this upstream; nothing has to give way for room.
    pub(super) fn routing(&self) -> String {
        format!(
            "models:\n  gpt: {{ provider: openai, model: echo, base_url: \"http://{}/v1\", \
             max_concurrency: 512, max_queue_depth: 512 }}\n\
             cache: {{ shadow_rate: 0, max_entries: 1000000 }}\n",
            self.address
        )
    }

    /// Whether caches keep answers from now on.
    pub(super) fn keep(&self, kept: bool) {
        self.short.store(!kept, Ordering::Relaxed);
    }
}

async fn answer(
    request: Request<Incoming>,
    short: Arc<AtomicBool>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let finish = match short.load(Ordering::Relaxed) {
        true => "length",
        false => "stop",
    };
    let said = json!({
        "id": "chatcmpl-echo", "object": "chat.completion", "created": 1_700_000_000, "model": "echo",
        "choices": [{
            "index": 0, "finish_reason": finish,
            "message": {"role": "assistant", "content": asked["messages"][0]["content"]},
        }],
        "usage": {"prompt_tokens": 12, "completion_tokens": 12, "total_tokens": 24},
    });
    let mut response = Response::new(Full::new(Bytes::from(said.to_string())));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/json"));
    Ok(response)
}
