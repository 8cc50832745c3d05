//! The engine's public handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use llm_router_cluster::command::{BreakerChange, BreakerStep, Change};
use llm_router_cluster::state::{self, TargetId};
use llm_router_cluster::{Author, Revision};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::hedge::Hedges;
use super::leading::Runs;
use super::mirror::Mirrors;
use super::reply::Reply;
use super::retry::RetryBudget;
use super::shadow::Shadows;
use super::state::{Deployment, State};
use crate::breaker::Mode;
use crate::bridge::{self, Bridge, Link};
use crate::cache::AnswerCache;
use crate::config::RoutingConfig;
use crate::config::routing::ProviderKind;
use crate::error::{Error, Kind};
use crate::provider::{Local, Provider as _};
use crate::routing::{Facts, Plan, RoutingTable, Unroutable};
use crate::supervisor::Fleet;
use crate::telemetry::{ConfiguredModel, Metrics, Recorder};
use crate::types::report::{Explanation, ModelStatus, Stats};
use crate::types::{ChatRequest, ModelName, Moment, RequestId};

/// Longest an operator waits for the cluster to agree.
const AGREEMENT_PATIENCE: Duration = Duration::from_secs(5);

/// Which door a request came through, for metrics and the access log.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// `http`, `grpc` or `library`.
    pub door: &'static str,
    /// The use case's path.
    pub path: &'static str,
    /// When it arrived.
    pub arrived: Moment,
}

/// Whether a model's breaker decides by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerMode {
    /// By its own evidence.
    Auto,
    /// Lets nothing through.
    ForceOpen,
    /// Lets everything through.
    ForceClosed,
}

/// What a name that clients may ask for stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// Whatever the routes decide.
    Auto,
    /// One model, of this provider and under this name there.
    Model {
        /// The provider's kind.
        provider: String,
        /// The upstream's name for it.
        upstream: String,
    },
    /// A route.
    Route,
    /// A name that some rule asks for.
    Alias,
}

/// What an engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// The cache, or a disabled one.
    pub cache: AnswerCache,
    /// Instruments.
    pub metrics: Metrics,
    /// The way to the cluster.
    pub bridge: Bridge,
}

/// The node's engine. Cheap to clone; all clones are the same engine.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) state: ArcSwap<State>,
    pub(super) cache: AnswerCache,
    pub(super) recorder: Recorder,
    pub(super) budget: Mutex<RetryBudget>,
    pub(super) hedges: Hedges,
    pub(super) shadows: Shadows,
    pub(super) mirrors: Mirrors,
    pub(super) runs: Runs,
    fleet: Fleet,
    bridge: Bridge,
    applying: tokio::sync::Mutex<()>,
    dice: AtomicU64,
}

impl Inner {
    /// A number in [0, 1); cheap, and good enough for jitter and weights.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub(super) fn roll(&self) -> f64 {
        (self.seed() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A fresh seed (splitmix64 over a counter).
    pub(super) fn seed(&self) -> u64 {
        let mut z = self
            .dice
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Engine {
    /// An engine without models yet.
    ///
    /// # Errors
    /// [`Kind::Internal`] when the actors could not be started.
    pub async fn start(parts: Parts) -> Result<Self, Error> {
        let recorder = Recorder::new(parts.metrics);
        let fleet = Fleet::start(&recorder, parts.bridge.clone()).await?;
        recorder.metrics().watch_cache(parts.cache.watch_routes());
        recorder
            .metrics()
            .watch_cache_peers(parts.cache.watch_peers());
        let inner = Inner {
            state: ArcSwap::default(),
            cache: parts.cache,
            recorder,
            budget: Mutex::new(RetryBudget::new(Moment::now())),
            hedges: Hedges::default(),
            shadows: Shadows::default(),
            mirrors: Mirrors::default(),
            runs: Runs::default(),
            fleet,
            bridge: parts.bridge,
            applying: tokio::sync::Mutex::default(),
            dice: AtomicU64::new(rand::random()),
        };
        Ok(Engine {
            inner: Arc::new(inner),
        })
    }

    /// Puts a checked config in service under the revision it was agreed on with. Requests already
    /// running end under the old one.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`] when it does not compile; the old one stays.
    pub(crate) async fn apply(
        &self,
        revision: Revision,
        config: RoutingConfig,
        deployments: Vec<Deployment>,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.inner.applying.lock().await;
        let deployments = self.lend_embedder(deployments);
        let table = RoutingTable::compile(&config)
            .map_err(|bad| Error::new(Kind::InvalidConfig, bad.to_string()).with_source(bad))?;
        let metrics = self.inner.recorder.metrics();
        let own = self.inner.cache.embedder().map(Local::of);
        let own = own.map(|local| ConfiguredModel {
            name: local.public_name().into(),
            provider: local.kind().to_owned(),
            upstream: local.default_model().to_owned(),
        });
        let labels: Vec<ConfiguredModel> = deployments
            .iter()
            .map(|deployment| ConfiguredModel {
                name: deployment.name.clone(),
                provider: deployment.provider.kind().to_owned(),
                upstream: deployment.config.model.clone(),
            })
            .chain(own)
            .collect();
        let routes: Vec<_> = config
            .routes
            .iter()
            .map(|route| route.name.clone())
            .collect();
        metrics.configure(&labels, &routes);
        let models = self
            .inner
            .fleet
            .apply(deployments, &config.circuit_breaker)
            .await?;
        if let Some(cluster) = self.inner.bridge.link() {
            cluster.set_policy(bridge::policy(&config));
        }
        self.inner.cache.reconfigure(config.cache);
        self.inner
            .cache
            .weigh_nodes(config.placement.weights.clone());
        let state = State {
            revision,
            config: Arc::new(config),
            table,
            models,
        };
        self.inner.state.store(Arc::new(state));
        Ok(())
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Answers a request of the embedding application.
    ///
    /// # Errors
    /// As [`Engine::chat_from`].
    pub async fn chat(&self, request: ChatRequest) -> Result<Reply, Error> {
        let source = Source {
            door: "library",
            path: "generate",
            arrived: Moment::now(),
        };
        self.chat_from(source, request).await
    }

    /// Answers a request. Dropping the future, or the stream in the reply, aborts the upstream unless
    /// identical requests read the same answer.
    ///
    /// # Errors
    /// Only when every candidate is exhausted, the time is over, or the request is at fault.
    pub async fn chat_from(&self, source: Source, request: ChatRequest) -> Result<Reply, Error> {
        let account = Account::open(&self.inner, source, &request);
        Box::pin(self.inner.tell(request, account)).await
    }

    /// Records a request that a door refused before it became one.
    pub fn refused(&self, source: Source, id: Option<&RequestId>, error: &Error) {
        Account::refused(&self.inner, source, id, error);
    }

    /// Shows where a request would go, without sending it.
    ///
    /// # Errors
    /// [`Kind::UnknownModel`] when nothing answers to the name.
    pub fn explain(&self, request: &ChatRequest) -> Result<Explanation, Error> {
        let state = self.inner.state.load();
        let now = Moment::now();
        let view = |model: &ModelName| state.view(model, request, now);
        state
            .table
            .explain(&facts(request), view, self.inner.seed())
            .map_err(|unknown| self.inner.unroutable(unknown, &request.model))
    }

    /// The config a request would be answered under, and where it would go.
    pub(super) fn planned(&self, request: &ChatRequest) -> Result<(Arc<State>, Plan), Error> {
        let state = self.inner.state.load_full();
        let plan = self.inner.plan(&state, request)?;
        Ok((state, plan))
    }

    /// Status of every model, in configured order.
    pub fn models(&self) -> Vec<(ModelName, ModelStatus)> {
        let now = Moment::now();
        let state = self.inner.state.load();
        state
            .models
            .iter()
            .map(|(name, model)| (name.clone(), model.status(now)))
            .collect()
    }

    /// Names clients may ask for: `auto`, models, routes, aliases, and the node's own embedder where
    /// its weights are here.
    pub fn model_names(&self) -> Vec<String> {
        let mut names = self.inner.state.load().table.names();
        let own = self.inner.cache.embedder().map(Local::of);
        let own = own.map(|local| local.public_name());
        names.extend(own.filter(|own| !names.contains(own)));
        names
    }

    /// What a name that clients may ask for stands for.
    pub fn named(&self, name: &str) -> Named {
        let state = self.inner.state.load();
        if let Some(model) = state.models.get(name) {
            let status = model.status(Moment::now());
            return Named::Model {
                provider: status.provider,
                upstream: status.model,
            };
        }
        let own = self.inner.cache.embedder().map(Local::of);
        match own.filter(|local| local.public_name() == name) {
            Some(local) => Named::Model {
                provider: local.kind().to_owned(),
                upstream: local.default_model().to_owned(),
            },
            None if name == "auto" => Named::Auto,
            None if state
                .config
                .routes
                .iter()
                .any(|one| one.name.as_str() == name) =>
            {
                Named::Route
            }
            None => Named::Alias,
        }
    }

    /// Models that are the node's own embedder get it now: a config knows only its name.
    fn lend_embedder(&self, mut deployments: Vec<Deployment>) -> Vec<Deployment> {
        for deployment in &mut deployments {
            if deployment.config.provider == ProviderKind::Local {
                let local = Local::new(deployment.config.model.as_str());
                let embedder = self.inner.cache.embedder();
                deployment.provider = Arc::new(local.with(embedder));
            }
        }
        deployments
    }

    /// A model, for tests that look behind it.
    #[cfg(test)]
    pub(super) fn handle(&self, name: &str) -> crate::model::ModelHandle {
        self.inner.state.load().models[name].clone()
    }

    /// The node's counters.
    pub fn stats(&self) -> Stats {
        let mut stats = self.inner.recorder.stats();
        stats.cache_routes = self.inner.cache.learning().routes;
        stats
    }

    /// The cache.
    pub fn cache(&self) -> &AnswerCache {
        &self.inner.cache
    }

    /// The instruments.
    pub fn metrics(&self) -> &Metrics {
        self.inner.recorder.metrics()
    }

    /// The config in service and its revision.
    pub fn config(&self) -> (Revision, Arc<RoutingConfig>) {
        let state = self.inner.state.load();
        (state.revision, Arc::clone(&state.config))
    }

    /// Overrules a model's breaker until it is set to `auto` again: on every node of the cluster,
    /// over restarts; without a cluster on this engine. Returns once it holds here. A repeat under
    /// the same author's request is one order.
    ///
    /// # Errors
    /// [`Kind::UnknownModel`], [`Kind::Unavailable`] while the breaker restarts, otherwise the
    /// cluster's.
    pub async fn force_breaker(
        &self,
        model: &str,
        mode: BreakerMode,
        author: Author,
    ) -> Result<(), Error> {
        let state = self.inner.state.load_full();
        let Some(handle) = state.models.get(model) else {
            let name: String = model.chars().take(128).collect();
            return Err(Error::new(
                Kind::UnknownModel,
                format!("model `{name}` does not exist"),
            ));
        };
        let breaker = &handle.shared.breaker;
        let forced = match self.inner.bridge.link() {
            Some(cluster) => {
                overrule(cluster, breaker.target(), mode, author).await?;
                breaker.caught_up().await
            }
            None => {
                let mode = match mode {
                    BreakerMode::Auto => Mode::Auto,
                    BreakerMode::ForceOpen => Mode::ForceOpen,
                    BreakerMode::ForceClosed => Mode::ForceClosed,
                };
                breaker.force(mode).await
            }
        };
        forced.map_err(|_| Error::new(Kind::Unavailable, "the breaker is being restarted"))
    }

    /// Resolves when the actor tree has given up: the node should drain and end.
    pub async fn broken(&self) {
        self.inner.fleet.broken().await;
    }

    /// Stops the actors and writes what the cache still holds in memory.
    pub async fn stop(&self) {
        self.inner.shadows.stop().await;
        self.inner.mirrors.stop().await;
        self.inner.runs.stop().await;
        self.inner.fleet.stop().await;
        self.inner.cache.close().await;
    }
}

/// Agrees on an operator's word.
async fn overrule(
    cluster: &dyn Link,
    target: &TargetId,
    mode: BreakerMode,
    author: Author,
) -> Result<(), Error> {
    let mode = match mode {
        BreakerMode::Auto => state::Mode::Auto,
        BreakerMode::ForceOpen => state::Mode::ForceOpen,
        BreakerMode::ForceClosed => state::Mode::ForceClosed,
    };
    let change = Change::Breaker(BreakerChange {
        target: target.0.clone(),
        expect: 0, // an override holds whatever was agreed before
        to: BreakerStep::Override { mode },
    });
    cluster.propose(change, author, AGREEMENT_PATIENCE).await?;
    Ok(())
}

/// What the rules may look at.
pub(super) fn facts(request: &ChatRequest) -> Facts<'_> {
    Facts {
        model: &request.model,
        priority: request.priority,
        tenant: request.tenant.as_str(),
        tags: &request.tags,
        features: &request.features,
    }
}

pub(super) fn unroutable(unroutable: Unroutable) -> Error {
    match unroutable {
        Unroutable::Empty => Error::new(Kind::Unavailable, unroutable.to_string()),
        Unroutable::Unknown(_) | Unroutable::NoRule(_) => {
            Error::new(Kind::UnknownModel, unroutable.to_string()).with_param("model")
        }
    }
}

#[cfg(test)]
mod tests;
