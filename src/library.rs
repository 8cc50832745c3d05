//! The engine in process, without any listener. As the README has it:
//!
//! ```no_run
//! # async fn example() -> Result<(), llm_router::Error> {
//! use llm_router::{Cache, Ollama, Priority, Request, Router};
//!
//! let router = Router::builder()
//!     .model("local", Ollama::new("qwen2.5:3b"))
//!     .route(Priority::Critical, ["local"])
//!     .cache(Cache::default())
//!     .build().await?;
//! let answer = router.generate(Request::prompt("What is the capital of France?")).await?;
//! println!("{}", answer.content);
//! # Ok(())
//! # }
//! ```
//!
//! ```
//! use llm_router::{Cache, Priority, Request, Router, provider::Demo};
//!
//! # async fn example() -> Result<(), llm_router::Error> {
//! let router = Router::builder()
//!     .model("local", Demo::new("echo"))
//!     .route(Priority::Critical, ["local"])
//!     .cache(Cache::default())
//!     .build().await?;
//! let request = Request::prompt("What is the capital of France?").priority(Priority::Normal);
//! let answer = router.generate(request).await?;
//! assert_eq!(answer.content, "What is the capital of France?");
//! assert_eq!(answer.model.as_str(), "local");
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```
//!
//! A provider of your own is a trait:
//!
//! ```
//! use async_trait::async_trait;
//! use llm_router::dialect::openai::build::Head;
//! use llm_router::provider::{Answer, Call, Failure, Provider};
//! use llm_router::types::{Finish, Usage};
//! use llm_router::{Request, Router};
//!
//! struct Shout;
//!
//! #[async_trait]
//! impl Provider for Shout {
//!     fn kind(&self) -> &'static str {
//!         "shout"
//!     }
//!     async fn generate(&self, call: Call) -> Result<Answer, Failure> {
//!         let asked = call.body.messages().last().map(|message| message.text());
//!         let text = asked.unwrap_or_default().to_uppercase();
//!         let head = Head::new("shout");
//!         let usage = Usage::new(1, 1);
//!         Ok(Answer::Whole(head.completion(&text, &serde_json::Value::Null, Finish::Stop, usage)))
//!     }
//!     async fn health(&self) -> Result<(), Failure> {
//!         Ok(())
//!     }
//! }
//!
//! # async fn example() -> Result<(), llm_router::Error> {
//! let router = Router::builder().model("shout", Shout).build().await?;
//! assert_eq!(router.generate(Request::prompt("hello")).await?.content, "HELLO");
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};

use llm_router_cluster::Revision;

use crate::bridge::Bridge;
use crate::cache::embed::Embedder;
use crate::cache::{AnswerCache, Settings};
use crate::config::routing::{
    BreakerConfig, CacheConfig, MatchConfig, ModelConfig, OnUnsupported, OneOrMany, ProviderKind,
    RetryConfig, RouteConfig, Strategy, StreamRecovery, Target,
};
use crate::config::{RoutingConfig, check};
use crate::dialect::json::raw;
use crate::dialect::openai::{ChatBody, embeddings};
use crate::error::{Error, Kind};
use crate::inference::{
    CacheStatus, Deployment, EmbedReply, Engine, Parts, Reply, ReplyBody, ReplyStream,
};
use crate::provider::Provider;
use crate::telemetry::Metrics;
use crate::types::report::{ModelStatus, Stats};
use crate::types::{
    ChatRequest, EmbedRequest, Finish, Inputs, ModelName, Moment, Priority, Request, RequestId,
    TenantId, Usage,
};

/// How long a request may take when it does not say.
const DEFAULT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(600);

/// The cache of an embedded router. The default keeps answers in memory and uses the exact tier;
/// give it the embedder's weights and it finds answers by meaning too.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    config: CacheConfig,
    dir: Option<PathBuf>,
    weights: Option<PathBuf>,
}

impl Cache {
    /// Keeps answers in this directory, over restarts.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Where the embedder's weights are (`llm-router model pull` fetches them).
    pub fn weights(mut self, dir: impl Into<PathBuf>) -> Self {
        self.weights = Some(dir.into());
        self
    }

    /// Changes thresholds, lifetimes and bounds.
    pub fn config(mut self, config: CacheConfig) -> Self {
        self.config = config;
        self
    }

    async fn open(self) -> Result<AnswerCache, Error> {
        let opened = tokio::task::spawn_blocking(move || {
            let embedder = match &self.weights {
                None => None,
                Some(dir) => {
                    let loaded = Embedder::load(dir, 0).map_err(|source| {
                        Error::new(Kind::InvalidConfig, "the embedder's weights cannot be used")
                            .with_source(source)
                    })?;
                    Some(Arc::new(loaded) as Arc<_>)
                }
            };
            AnswerCache::open(Settings {
                dir: self.dir,
                embedder,
                config: self.config,
                secret: None,
            })
            .map_err(|source| {
                Error::new(Kind::Internal, "the cache cannot be opened").with_source(source)
            })
        });
        opened.await.map_err(|source| {
            Error::new(Kind::Internal, "opening the cache failed").with_source(source)
        })?
    }
}

/// Builds a [`Router`].
#[derive(Default)]
pub struct Builder {
    config: RoutingConfig,
    providers: Vec<(ModelName, Arc<dyn Provider>)>,
    cache: Option<Cache>,
    metrics: Option<Metrics>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Adds a model under a name, with its provider and default limits.
    pub fn model(self, name: impl Into<ModelName>, provider: impl Provider) -> Self {
        let name = name.into();
        // a provider of the application's own may have no upstream name: ours will do
        let upstream = match provider.default_model() {
            "" => name.as_str().to_owned(),
            upstream => upstream.to_owned(),
        };
        self.model_with(
            name,
            provider,
            ModelConfig::new(ProviderKind::Custom, upstream),
        )
    }

    /// Adds a model with limits, price and timeouts of its own.
    pub fn model_with(
        mut self,
        name: impl Into<ModelName>,
        provider: impl Provider,
        config: ModelConfig,
    ) -> Self {
        let name = name.into();
        self.config.models.insert(name.clone(), config);
        self.providers.retain(|(known, _)| *known != name);
        self.providers.push((name, Arc::new(provider)));
        self
    }

    /// Adds a rule: requests that match go to these models, in order.
    pub fn route<T: Into<ModelName>>(
        self,
        matches: impl Into<MatchConfig>,
        targets: impl IntoIterator<Item = T>,
    ) -> Self {
        let name = format!("route-{}", self.config.routes.len() + 1);
        let targets = targets
            .into_iter()
            .map(|model| Target::Name(model.into()))
            .collect();
        self.route_with(RouteConfig {
            name: name.into(),
            matches: matches.into(),
            targets,
            fallback: Vec::new(),
            strategy: Strategy::default(),
            cache: None,
            on_unsupported: OnUnsupported::default(),
            stream_recovery: StreamRecovery::default(),
            hedge: None,
            shadow: None,
        })
    }

    /// Adds a rule with fallback, strategy and cache settings of its own.
    pub fn route_with(mut self, route: RouteConfig) -> Self {
        self.config.routes.push(route);
        self
    }

    /// Reuses answers.
    pub fn cache(mut self, cache: Cache) -> Self {
        self.config.cache = cache.config;
        self.cache = Some(cache);
        self
    }

    /// When a model is left alone.
    pub fn circuit_breaker(mut self, config: BreakerConfig) -> Self {
        self.config.circuit_breaker = config;
        self
    }

    /// When a try is repeated.
    pub fn retry(mut self, config: RetryConfig) -> Self {
        self.config.retry = config;
        self
    }

    /// Counts into the application's own instruments.
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Starts the engine.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`] with every problem, or what kept the cache from opening.
    pub async fn build(mut self) -> Result<Router, Error> {
        let problems: Vec<String> = check::routing(&self.config)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.path, finding.message))
            .collect();
        if !problems.is_empty() {
            return Err(Error::new(Kind::InvalidConfig, problems.join("; ")));
        }
        let cache = match self.cache.take() {
            Some(cache) => cache.open().await?,
            None => AnswerCache::disabled(),
        };
        let metrics = self.metrics.unwrap_or_else(Metrics::detached);
        let engine = Engine::start(Parts {
            cache,
            metrics,
            bridge: Bridge::alone(),
        })
        .await?;
        let models = &self.config.models;
        let deployments = self.providers.into_iter().filter_map(|(name, provider)| {
            let config = models.get(&name)?.clone();
            let identity = blake3::hash(name.as_str().as_bytes());
            Some(Deployment {
                name,
                config,
                provider,
                identity,
            })
        });
        let deployments = deployments.collect();
        engine
            .apply(Revision::default().next(), self.config, deployments)
            .await?;
        Ok(Router { engine })
    }
}

impl From<Priority> for MatchConfig {
    fn from(priority: Priority) -> Self {
        MatchConfig {
            priority: Some(OneOrMany::One(priority)),
            ..MatchConfig::default()
        }
    }
}

/// The engine in process. Cheap to clone; all clones are the same engine.
#[derive(Clone, Debug)]
pub struct Router {
    engine: Engine,
}

impl Router {
    /// Begins to put a router together.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Answers a request. Dropping the future aborts the upstream.
    ///
    /// # Errors
    /// Only when every candidate is exhausted, the time is over, or the request is at fault.
    pub async fn generate(&self, request: Request) -> Result<Answer, Error> {
        let Reply { meta, body } = self.engine.chat(assemble(request, false)?).await?;
        let ReplyBody::Complete(whole) = body else {
            return Err(Error::new(Kind::Internal, "a stream nobody asked for"));
        };
        Ok(Answer {
            content: whole.tap.text,
            finish: whole.tap.finish,
            usage: whole.tap.usage,
            model: meta.model,
            cache: meta.cache,
            similarity: meta.similarity,
            attempts: meta.attempts,
            cost_usd: meta.cost_usd,
        })
    }

    /// Answers a request piece by piece. Dropping the stream aborts the upstream.
    ///
    /// # Errors
    /// As [`Router::generate`]; an upstream cut off later is the stream's last item.
    pub async fn stream(&self, request: Request) -> Result<TextStream, Error> {
        let Reply { body, .. } = self.engine.chat(assemble(request, true)?).await?;
        match body {
            ReplyBody::Stream(stream) => Ok(TextStream { stream }),
            ReplyBody::Complete(_) => Err(Error::new(Kind::Internal, "asked for a stream")),
        }
    }

    /// Makes a vector of each text. `model` is a model or a route by name, or `auto`; the weights given
    /// to [`Cache::weights`] are a model of their own, `local/all-MiniLM-L6-v2`.
    ///
    /// # Errors
    /// As [`Router::generate`]; models that make no vectors are not asked.
    pub async fn embed<T: Into<String>>(
        &self,
        model: impl Into<String>,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Vectors, Error> {
        let inputs = Inputs::Texts(texts.into_iter().map(Into::into).collect());
        embeddings::check(&inputs)?;
        let EmbedReply { meta, made } = self
            .engine
            .embed(EmbedRequest {
                id: RequestId::generate(),
                tenant: TenantId::default(),
                priority: Priority::default(),
                model: model.into().into(),
                tags: Vec::new(),
                deadline: Moment::now() + DEFAULT_TIMEOUT,
                inputs: Arc::new(inputs),
                dimensions: None,
                user: None,
                left_out: Vec::new(),
            })
            .await?;
        Ok(Vectors {
            vectors: made.vectors,
            usage: made.usage,
            model: meta.model,
            attempts: meta.attempts,
            cost_usd: meta.cost_usd,
        })
    }

    /// Status of every model.
    pub fn models(&self) -> Vec<(ModelName, ModelStatus)> {
        self.engine.models()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The engine itself, for what this type does not show.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Stops the actors and writes what the cache still holds in memory.
    pub async fn stop(self) {
        self.engine.stop().await;
    }
}

fn assemble(request: Request, stream: bool) -> Result<ChatRequest, Error> {
    let mut body = ChatBody::from_messages(&request.model, &request.messages)?;
    if let Some(temperature) = request.temperature {
        body = body.with("temperature", raw(&temperature))?;
    }
    if let Some(tokens) = request.max_tokens {
        body = body.with("max_tokens", raw(&tokens))?;
    }
    if stream {
        body = body.with("stream", raw(&true))?;
    }
    let features = body.features();
    Ok(ChatRequest {
        id: RequestId::generate(),
        tenant: request.tenant,
        priority: request.priority,
        model: request.model.into(),
        tags: request.tags,
        cache: request.cache,
        min_similarity: request.min_similarity,
        deadline: Moment::now() + request.timeout.unwrap_or(DEFAULT_TIMEOUT),
        body: Arc::new(body),
        stream,
        include_usage: false,
        features,
    })
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The text.
    pub content: String,
    /// Why it ended.
    pub finish: Option<Finish>,
    /// Token counts.
    pub usage: Option<Usage>,
    /// The model that answered, or once answered for a hit.
    pub model: ModelName,
    /// The cache's part.
    pub cache: CacheStatus,
    /// Cosine of a semantic hit.
    pub similarity: Option<f32>,
    /// Tries made; 0 for a hit.
    pub attempts: u32,
    /// Cost in US dollars, where the model has a price.
    pub cost_usd: Option<f64>,
}

/// Vectors of texts.
#[derive(Clone, Debug)]
pub struct Vectors {
    /// One for each text, in order.
    pub vectors: Vec<Vec<f32>>,
    /// Token counts.
    pub usage: Option<Usage>,
    /// The model that made them.
    pub model: ModelName,
    /// Tries made.
    pub attempts: u32,
    /// Cost in US dollars, where the model has a price.
    pub cost_usd: Option<f64>,
}

/// The text of an answer, piece by piece.
#[derive(Debug)]
pub struct TextStream {
    stream: ReplyStream,
}

impl Stream for TextStream {
    type Item = Result<String, Error>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::task::ready!(self.stream.poll_next_unpin(cx)) {
                Some(Ok(chunk)) if chunk.tap.text.is_empty() => {}
                Some(Ok(chunk)) => return Poll::Ready(Some(Ok(chunk.tap.text))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}
