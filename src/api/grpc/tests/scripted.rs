//! A node that answers from a script, and a door in front of it on a free port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::super::health::Health;
use super::super::server::{Door, ServeError, routes};
use super::super::use_case::UseCase;
use crate::dialect::openai::build::Head;
use crate::error::{Error, Kind};
use crate::inference::{
    CacheStatus, EmbedReply, Named, Reply, ReplyBody, ReplyMeta, ReplyStream, StreamEnd,
};
use crate::tenancy::Keys;
use crate::types::report::{BreakerStatus, Explanation, ModelStatus, Stats};
use crate::types::{
    ChatRequest, Chunk, EmbedRequest, Embeddings, Finish, Inputs, ModelName, RequestId, Usage,
};

type Answer = BoxFuture<'static, Result<Reply, Error>>;

/// A node that answers every request as its script says.
#[derive(Clone)]
pub(super) struct Scripted {
    script: Arc<dyn Fn(ChatRequest) -> Answer + Send + Sync>,
}

impl Scripted {
    pub(super) fn new<F>(script: impl Fn(ChatRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Reply, Error>> + Send + 'static,
    {
        Scripted {
            script: Arc::new(move |request| script(request).boxed()),
        }
    }

    /// Answers whole requests with `text`.
    pub(super) fn saying(text: &'static str) -> Self {
        Scripted::new(move |request| async move {
            let head = Head::new("gpu-fast");
            let whole = head.completion(
                text,
                &serde_json::Value::Null,
                Finish::Stop,
                Usage::new(3, 2),
            );
            Ok(Reply {
                meta: meta(&request),
                body: ReplyBody::Complete(whole),
            })
        })
    }

    /// Streams these chunks, or errors, one every `pause`.
    pub(super) fn streaming(
        pause: Duration,
        chunks: impl Fn() -> Vec<Result<Chunk, Error>> + Send + Sync + 'static,
    ) -> Self {
        Scripted::new(move |request| {
            let chunks = chunks();
            async move {
                let chunks = stream::iter(chunks).then(move |chunk| async move {
                    tokio::time::sleep(pause).await;
                    chunk
                });
                let end = Arc::new(Mutex::new(StreamEnd {
                    cost_usd: Some(0.25),
                    estimated: true,
                    ..StreamEnd::default()
                }));
                let body = ReplyBody::Stream(ReplyStream::new(chunks.boxed(), end));
                Ok(Reply {
                    meta: meta(&request),
                    body,
                })
            }
        })
    }
}

pub(super) fn meta(request: &ChatRequest) -> ReplyMeta {
    meta_of(request.id.clone())
}

fn meta_of(id: RequestId) -> ReplyMeta {
    ReplyMeta {
        id,
        revision: llm_router_cluster::Revision(4),
        route: Some("cheap".into()),
        model: "gpu-fast".into(),
        attempts: 1,
        dropped: Vec::new(),
        cache: CacheStatus::Semantic,
        similarity: Some(0.9375),
        entry: None,
        age: None,
        explained: None,
        elapsed: Duration::from_millis(3),
        estimated: false,
        cost_usd: None,
    }
}

impl UseCase for Scripted {
    fn chat(&self, request: ChatRequest) -> impl Future<Output = Result<Reply, Error>> + Send {
        (self.script)(request)
    }

    async fn embed(&self, request: EmbedRequest) -> Result<EmbedReply, Error> {
        let Inputs::Texts(texts) = &*request.inputs else {
            return Err(Error::new(Kind::InvalidRequest, "takes no token ids").with_param("input"));
        };
        // a text's vector is its length
        #[expect(clippy::cast_precision_loss, reason = "texts are short")]
        let vectors = texts.iter().map(|text| vec![text.len() as f32]).collect();
        let meta = meta_of(request.id);
        let usage = Some(Usage::new(4, 0));
        let model = "up".to_owned();
        Ok(EmbedReply {
            meta,
            made: Embeddings {
                model,
                vectors,
                usage,
            },
        })
    }

    fn explain(&self, request: &ChatRequest) -> Result<Explanation, Error> {
        Err(Error::new(
            Kind::UnknownModel,
            format!("no model `{}`", request.model),
        ))
    }

    fn models(&self) -> Vec<(ModelName, ModelStatus)> {
        let status = ModelStatus {
            provider: "ollama".to_owned(),
            model: "llama3:8b".to_owned(),
            queue_depth: 4,
            in_flight: 2,
            circuit_breaker: BreakerStatus {
                state: "half_open",
                mode: "auto",
                failure_count: 5,
                epoch: 9,
            },
            successes: 1,
            failures: 1,
            avg_latency_ms: 1.5,
            avg_first_token_ms: 0.5,
            health: "up",
            context_window: Some(8192),
            price: None,
        };
        vec![("gpu-fast".into(), status)]
    }

    fn model_names(&self) -> Vec<String> {
        ["auto", "gpu-fast", "local/tiny"].map(str::to_owned).into()
    }

    fn named(&self, name: &str) -> Named {
        let model = |provider: &str, upstream: &str| Named::Model {
            provider: provider.to_owned(),
            upstream: upstream.to_owned(),
        };
        match name {
            "gpu-fast" => model("ollama", "llama3:8b"),
            "local/tiny" => model("local", "tiny"),
            _ => Named::Auto,
        }
    }

    fn stats(&self) -> Stats {
        Stats {
            total_requests: 7,
            ..Stats::default()
        }
    }
}

/// A door that listens; it stops when dropped.
pub(super) struct Open {
    pub(super) addr: SocketAddr,
    pub(super) health: Health,
    pub(super) shutdown: CancellationToken,
    serving: JoinSet<Result<(), ServeError>>,
}

impl Open {
    pub(super) async fn before(node: Scripted) -> Self {
        Open::with_grace(node, Duration::from_secs(5)).await
    }

    pub(super) async fn with_grace(node: Scripted, grace: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (health, shutdown) = (Health::serving().await, CancellationToken::new());
        let routes = routes(&node, &Keys::none(), &health, &shutdown).unwrap();
        let door = Door {
            routes,
            node: "n1".to_owned(),
            agreed: None,
            health: health.clone(),
        };
        let mut serving = JoinSet::new();
        serving.spawn(door.serve(listener, shutdown.clone(), grace));
        Open {
            addr,
            health,
            shutdown,
            serving,
        }
    }

    pub(super) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.addr)).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// Shuts the door; the time it took to stop.
    pub(super) async fn shut(mut self) -> Duration {
        let began = tokio::time::Instant::now();
        self.shutdown.cancel();
        self.serving.join_next().await.unwrap().unwrap().unwrap();
        began.elapsed()
    }
}
