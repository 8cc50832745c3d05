//! An upstream that answers piece by piece, as fast as the test lets it, and an engine over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::dialect::openai::ChatBody;
use crate::dialect::openai::build::Head;
use crate::inference::{Engine, testing};
use crate::provider::{Answer, Call, Class, Failure, Provider};
use crate::types::{CacheMode, ChatRequest, Chunk, Finish, Moment, Priority, RequestId, Usage};

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// Three words.
    Text,
    /// A tool call.
    Tools,
    /// One word, then nothing more.
    Cut,
}

/// The upstream. Every piece of a stream, and a whole answer, takes one leave to go on.
#[derive(Debug)]
pub(super) struct Upstream {
    script: Mutex<Script>,
    leave: Semaphore,
    fails: AtomicUsize,
    asked: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Upstream {
    pub(super) fn new(script: Script) -> Arc<Self> {
        Arc::new(Upstream {
            script: Mutex::new(script),
            leave: Semaphore::new(0),
            fails: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    /// Those asked from now on answer like this.
    pub(super) fn script(&self, script: Script) {
        *self.script.lock() = script;
    }

    pub(super) fn fail_first(&self, calls: usize) {
        self.fails.store(calls, Ordering::SeqCst);
    }

    pub(super) fn go_on(&self, pieces: usize) {
        self.leave.add_permits(pieces);
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// Most calls at once.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    async fn next_piece(&self) {
        self.leave.acquire().await.unwrap().forget();
    }
}

/// A call that runs until it is dropped.
struct Running(Arc<Upstream>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Over(Arc<Upstream>);

#[async_trait]
impl Provider for Over {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    async fn generate(&self, call: Call) -> Result<Answer, Failure> {
        let upstream = Arc::clone(&self.0);
        let running = upstream.running.fetch_add(1, Ordering::SeqCst) + 1;
        upstream.most.fetch_max(running, Ordering::SeqCst);
        let running = Running(Arc::clone(&upstream));
        let script = *upstream.script.lock();
        let asked = upstream.asked.fetch_add(1, Ordering::SeqCst);
        if asked < upstream.fails.load(Ordering::SeqCst) {
            upstream.next_piece().await;
            return Err(Failure::new(Class::Hard, "http 503"));
        }
        let head = Head::new("shown");
        if call.stream {
            let pieces = stream::iter(pieces(&head, script)).then(move |piece| {
                let upstream = Arc::clone(&running.0);
                async move {
                    upstream.next_piece().await;
                    piece
                }
            });
            return Ok(Answer::Stream(pieces.boxed()));
        }
        upstream.next_piece().await;
        let (text, calls) = match script {
            Script::Tools => ("", calls()),
            Script::Text | Script::Cut => (super::ALL, json!(null)),
        };
        let whole = head.completion(text, &calls, Finish::Stop, Usage::new(10, 10));
        Ok(Answer::Whole(whole))
    }

    async fn health(&self) -> Result<(), Failure> {
        Ok(())
    }
}

fn calls() -> serde_json::Value {
    json!([{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}])
}

fn pieces(head: &Head, script: Script) -> Vec<Result<Chunk, Failure>> {
    let cut = Failure::new(Class::Hard, "connection reset");
    let usage = head.usage(Usage::new(10, 10));
    match script {
        Script::Text => vec![
            Ok(head.role()),
            Ok(head.text("one ")),
            Ok(head.text("two ")),
            Ok(head.text("three")),
            Ok(head.finish(Finish::Stop)),
            Ok(usage),
        ],
        Script::Tools => vec![
            Ok(head.role()),
            Ok(head.tool_calls(&calls())),
            Ok(head.finish(Finish::ToolCalls)),
            Ok(usage),
        ],
        Script::Cut => vec![Ok(head.role()), Ok(head.text("one ")), Err(cut)],
    }
}

/// An engine with the one model `a`, a dollar for a thousand tokens, tried once.
pub(super) async fn engine(upstream: &Arc<Upstream>) -> Engine {
    engine_that(upstream, "auto").await
}

/// The same, with what it does about streams whose upstream dies.
pub(super) async fn engine_that(upstream: &Arc<Upstream>, recovery: &str) -> Engine {
    engine_trying(upstream, recovery, 1).await
}

/// The same, and how often the model may be tried.
pub(super) async fn engine_trying(upstream: &Arc<Upstream>, recovery: &str, most: u32) -> Engine {
    let config = json!({
        "models": {"a": {"provider": "demo", "model": "echo", "max_concurrency": 64,
                         "price": {"input_per_mtok": 1000.0, "output_per_mtok": 1000.0}}},
        "routes": [{"name": "all", "targets": ["a"], "stream_recovery": recovery}],
        "retry": {"max_attempts": most},
    });
    testing::engine(config, None, Arc::new(Over(Arc::clone(upstream)))).await
}

/// The one question everybody asks.
pub(super) fn asking(stream: bool) -> ChatRequest {
    let messages = [("user".to_owned(), "What comes after zero?".to_owned())];
    let body = ChatBody::from_messages("auto", &messages).unwrap();
    ChatRequest {
        id: RequestId::generate(),
        tenant: "t".into(),
        priority: Priority::Normal,
        model: "auto".into(),
        tags: Vec::new(),
        cache: CacheMode::On,
        min_similarity: None,
        deadline: Moment::now() + Duration::from_secs(20),
        features: body.features(),
        body: Arc::new(body),
        stream,
        include_usage: false,
    }
}

pub(super) async fn eventually(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("it holds within ten seconds");
}
