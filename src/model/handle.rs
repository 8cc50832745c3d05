//! A typed handle on one model: what requests and the fleet may ask of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use llm_router_cluster::state::TargetId;
use parking_lot::Mutex;

use super::actor::Message;
use super::profile::{Profile, Waits};
use super::wallet::Wallet;
use crate::breaker::{BreakerHandle, Settings};
use crate::bridge::{self, Bridge};
use crate::config::routing::{ModelConfig, ProviderKind};
use crate::dialect::openai::ChatBody;
use crate::inference::Deployment;
use crate::ledger::Facts;
use crate::mailbox::Mailbox;
use crate::provider::{CannotEmbed, Provider, Timeouts, is_private};
use crate::queue::{QueueHandle, QueueLimits};
use crate::routing::{Bar, Barred, View};
use crate::telemetry::Metrics;
use crate::types::report::{BreakerStatus, ModelStatus};
use crate::types::{EmbedRequest, ModelName, Moment, Priority};

/// What is said to who wants an answer of a model that gives none.
pub(crate) const VECTORS_ONLY: &str = "makes vectors only; ask /v1/embeddings";

/// Unhandled orders a model actor may have.
const MODEL_MAILBOX: usize = 64;

/// Whether and how a model continues an assistant message that is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefill {
    /// It does not: it answers anew.
    No,
    /// Word for word.
    AsSent,
    /// Word for word, but it refuses one that ends in white space.
    Trimmed,
}

/// Everything configured about one model.
#[derive(Clone)]
pub(crate) struct Spec {
    /// Its name.
    pub(crate) name: ModelName,
    /// Its settings.
    pub(crate) config: Arc<ModelConfig>,
    /// Its client.
    pub(crate) provider: Arc<dyn Provider>,
    /// Its breaker's settings.
    pub(crate) breaker: Settings,
    /// Changes when it becomes another upstream: then breaker, queue and profile start afresh.
    pub(crate) identity: blake3::Hash,
    /// The upstream, as every node knows it: what is agreed about it is agreed under this.
    pub(crate) target: TargetId,
    /// The upstream's host, for spans.
    pub(crate) server: Option<String>,
    /// What is known of what it costs and can do.
    pub(crate) facts: Facts,
    /// Its upstream may see our trace context.
    pub(crate) propagates_trace: bool,
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spec")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Spec {
    /// Everything configured, with what follows from it worked out once.
    pub(crate) fn new(deployment: Deployment, breaker: Settings) -> Self {
        let Deployment {
            name,
            config,
            provider,
            identity,
        } = deployment;
        let base_url = config.base_url.as_deref();
        let server = base_url
            .and_then(|url| reqwest::Url::parse(url).ok())
            .and_then(|url| url.host_str().map(str::to_owned));
        let at_home = base_url.map_or(stays_home(config.provider), is_private);
        let target = bridge::target(&name, &config);
        let breaker = Settings {
            first_token: config.timeouts.first_token.get(),
            ..breaker
        };
        let propagates_trace = config.propagate_trace.unwrap_or(at_home);
        let facts = Facts::of(&config);
        let config = Arc::new(config);
        Spec {
            name,
            config,
            provider,
            breaker,
            identity,
            target,
            server,
            facts,
            propagates_trace,
        }
    }

    /// Phase limits of an attempt.
    pub(crate) fn timeouts(&self) -> Timeouts {
        let given = &self.config.timeouts;
        Timeouts {
            connect: given.connect.get(),
            first_token: given.first_token.get(),
            idle: given.idle.get(),
            total: given.total.get(),
        }
    }

    /// Bounds of its queue.
    pub(crate) fn queue_limits(&self) -> QueueLimits {
        QueueLimits {
            max_depth: self.config.max_queue_depth,
            max_concurrency: self.config.max_concurrency,
        }
    }
}

/// What outlives any one actor of the model.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Admission.
    pub(crate) queue: QueueHandle,
    /// Protection.
    pub(crate) breaker: BreakerHandle,
    /// The model's own actor.
    pub(crate) mailbox: Mailbox<Message>,
    /// How it has been doing.
    pub(crate) profile: Mutex<Profile>,
    /// How long its last answers took to begin.
    pub(crate) waits: Mutex<Waits>,
    /// 0 unknown, 1 up, 2 down.
    pub(crate) health: AtomicU8,
    /// The node asks it something itself, or waits to.
    pub(super) pinging: AtomicBool,
    /// Budgets per minute.
    pub(crate) wallet: Wallet,
    /// Instruments.
    pub(crate) metrics: Metrics,
}

/// One model, as requests hold it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ModelHandle {
    pub(crate) spec: Arc<Spec>,
    pub(crate) shared: Arc<Shared>,
}

impl ModelHandle {
    /// A handle with nobody behind it yet.
    pub(crate) fn new(spec: Arc<Spec>, metrics: Metrics, bridge: Bridge) -> Self {
        let wallet = Wallet::new(spec.config.limits, bridge.clone());
        ModelHandle::with_wallet(spec, wallet, metrics, bridge)
    }

    /// As [`ModelHandle::new`], after another upstream under the same limits: what was spent of
    /// them stays spent.
    pub(crate) fn after(&self, spec: Arc<Spec>, metrics: Metrics, bridge: Bridge) -> Self {
        let wallet = self.shared.wallet.clone();
        wallet.reconfigure(spec.config.limits);
        ModelHandle::with_wallet(spec, wallet, metrics, bridge)
    }

    fn with_wallet(spec: Arc<Spec>, wallet: Wallet, metrics: Metrics, bridge: Bridge) -> Self {
        let target = spec.target.clone();
        let breaker = BreakerHandle::new(spec.breaker, bridge.clone(), target);
        let shared = Shared {
            queue: QueueHandle::new(spec.queue_limits(), bridge),
            breaker,
            mailbox: Mailbox::new(MODEL_MAILBOX),
            profile: Mutex::default(),
            waits: Mutex::default(),
            health: AtomicU8::new(0),
            pinging: AtomicBool::new(false),
            wallet,
            metrics,
        };
        ModelHandle {
            spec,
            shared: Arc::new(shared),
        }
    }

    /// The same model under changed settings.
    pub(crate) fn with_spec(&self, spec: Arc<Spec>) -> Self {
        ModelHandle {
            spec,
            shared: Arc::clone(&self.shared),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &ModelName {
        &self.spec.name
    }

    /// What routing needs to know right now. Reads published state; sends nothing.
    pub(crate) fn view(&self, now: Moment, priority: Priority, body: &ChatBody) -> View {
        let mut view = self.standing(now, priority);
        if !self.spec.provider.chats() {
            view.barred = Some(barred(VECTORS_ONLY.to_owned(), Bar::Unfit));
        }
        view.uncarried = self.spec.provider.uncarried(body);
        view
    }

    /// The same for a request for vectors.
    pub(crate) fn view_for_vectors(&self, now: Moment, request: &EmbedRequest) -> View {
        let mut view = self.standing(now, request.priority);
        let provider = &self.spec.provider;
        if !provider.embeds() {
            view.barred = Some(barred("makes no embeddings".to_owned(), Bar::Unfit));
            return view;
        }
        match provider.cannot_embed(&request.inputs, request.dimensions) {
            Some(CannotEmbed::These(why)) => view.barred = Some(barred(why, Bar::Unfit)),
            Some(CannotEmbed::Absent(why)) => view.barred = Some(barred(why, Bar::Broken)),
            None => {}
        }
        view
    }

    /// How it stands, whatever is asked of it.
    fn standing(&self, now: Moment, priority: Priority) -> View {
        let breaker = self.shared.breaker.view();
        let barred = match breaker.barred(now) {
            Some(bar) => Some(bar),
            None if self.shared.queue.is_full_for(priority) => Some(Barred {
                reason: "queue full".to_owned(),
                retry_after: Some(Duration::from_secs(1)),
                cause: Bar::Full,
            }),
            None => None,
        };
        View {
            barred,
            busy: self.shared.queue.depth() + self.shared.queue.in_flight(),
            first_token: self
                .shared
                .profile
                .lock()
                .first_token
                .map(Duration::from_secs_f64),
            uncarried: Vec::new(),
        }
    }

    /// Nobody would feel one more request: its breaker is closed, it asks for no patience, nobody
    /// waits, and less than half of its attempts are under way.
    pub(crate) fn has_room(&self, now: Moment) -> bool {
        let queue = &self.shared.queue;
        let most = u64::from(self.spec.config.max_concurrency);
        self.is_sound(now) && queue.depth() == 0 && queue.in_flight() * 2 < most
    }

    /// Its breaker lets everybody pass, not only a probe: it is closed, takes our credential, and the
    /// upstream asks for no patience.
    pub(crate) fn is_sound(&self, now: Moment) -> bool {
        self.shared.breaker.view().passes(now)
    }

    /// How long its breaker keeps everybody away from now on, with all that was reported until now.
    pub(crate) async fn kept_away(&self) -> Option<Duration> {
        let breaker = &self.shared.breaker;
        breaker.caught_up().await.ok()?;
        breaker.view().barred(Moment::now())?.retry_after
    }

    /// How it continues an assistant message that is begun.
    pub(crate) fn prefill(&self) -> Prefill {
        match Facts::of(&self.spec.config).abilities.prefill {
            false => Prefill::No,
            true if self.spec.config.provider == ProviderKind::Anthropic => Prefill::Trimmed,
            true => Prefill::AsSent,
        }
    }

    /// What operators see.
    pub(crate) fn status(&self, now: Moment) -> ModelStatus {
        let profile = *self.shared.profile.lock();
        let breaker = self.shared.breaker.view();
        let millis = |seconds: Option<f64>| seconds.unwrap_or(0.0) * 1000.0;
        ModelStatus {
            provider: self.spec.provider.kind().to_owned(),
            model: self.spec.config.model.clone(),
            queue_depth: self.shared.queue.depth(),
            in_flight: self.shared.queue.in_flight(),
            circuit_breaker: BreakerStatus {
                state: breaker.state(now),
                mode: breaker.mode(),
                failure_count: breaker.failure_count(),
                epoch: breaker.epoch(),
            },
            successes: profile.successes,
            failures: profile.failures,
            avg_latency_ms: millis(profile.latency),
            avg_first_token_ms: millis(profile.first_token),
            health: match self.shared.health.load(Ordering::Relaxed) {
                1 => "up",
                2 => "down",
                _ => "unknown",
            },
            context_window: self.spec.facts.context_window,
            price: self.spec.facts.tariff.map(|tariff| tariff.price),
        }
    }
}

/// Whether a provider without an address is on this machine rather than someone else's.
const fn stays_home(provider: ProviderKind) -> bool {
    match provider {
        ProviderKind::OpenAi | ProviderKind::Anthropic | ProviderKind::Gemini => false,
        ProviderKind::Ollama
        | ProviderKind::Local
        | ProviderKind::Demo
        | ProviderKind::Plugin
        | ProviderKind::Custom => true,
    }
}

/// A bar that waiting does not lift.
fn barred(reason: String, cause: Bar) -> Barred {
    Barred {
        reason,
        retry_after: None,
        cause,
    }
}
