//! The routing part: models, routes, breaker, cache and retry. Changes live, without a restart.

mod abilities;
mod judge;
mod resilience;
mod settings;

use std::collections::BTreeMap;

use garde::Validate;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::rule;
use super::duration::Span;
use super::seal::{DOTS, Sealed};
use crate::types::{ModelName, Priority, RouteName};

pub use abilities::{Abilities, Capabilities};
pub use judge::{JudgeConfig, JudgeModel};
pub use resilience::{HedgeConfig, Resilience, ShadowConfig, StreamRecovery};
pub use settings::{
    BackoffConfig, BreakerConfig, CacheConfig, CacheScope, Eviction, IndexKind, PartitionMode,
    RetryConfig, RouteCache, SingleFlight,
};

/// Everything the nodes of a cluster agree on about routing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingConfig {
    /// Deployments by name, in order of preference where nothing else decides.
    pub models: IndexMap<ModelName, ModelConfig>,
    /// Rules; the first that matches decides. Without a match, all models in order.
    pub routes: Vec<RouteConfig>,
    /// When a model is left alone.
    pub circuit_breaker: BreakerConfig,
    /// When an answer is reused.
    pub cache: CacheConfig,
    /// When a try is repeated.
    pub retry: RetryConfig,
    /// How entries of the cache are divided among the nodes.
    #[serde(skip_serializing_if = "PlacementConfig::is_default")]
    pub placement: PlacementConfig,
}

/// How entries of the cache are divided among the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct PlacementConfig {
    /// A node's part by its name, 1 where nothing is said: one with 2 keeps twice as much as one with
    /// 1, one with 0 keeps nothing.
    #[garde(length(max = 1024), custom(rule::weights))]
    pub weights: BTreeMap<String, u32>,
}

impl PlacementConfig {
    pub(super) fn is_default(&self) -> bool {
        *self == PlacementConfig::default()
    }
}

/// Which dialect an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// OpenAI Chat Completions, or anything compatible at `base_url`.
    OpenAi,
    /// Anthropic Messages, or anything compatible at `base_url`.
    Anthropic,
    /// Ollama's native `/api/chat`.
    Ollama,
    /// Google's Gemini, natively.
    Gemini,
    /// Built in, no network: `echo`, `lorem`, `tools`, `parallel`, `thinking`, `flaky`.
    Demo,
    /// The node's own embedder, no network: makes vectors and answers nothing else.
    Local,
    /// A process of the operator's own that serves `llm_router.plugin.v1.BackendService` at
    /// `base_url`.
    Plugin,
    /// The embedding application's own; no file can name it.
    #[serde(skip)]
    Custom,
}

/// One deployment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ModelConfig {
    /// The upstream's dialect.
    pub provider: ProviderKind,
    /// The upstream's name for the model.
    #[garde(length(min = 1, max = 256))]
    pub model: String,
    /// Where the upstream is; each provider has a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The credential, best as a reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Secret>,
    /// Requests that may wait; one more is refused.
    #[serde(default = "default_queue_depth")]
    #[garde(range(max = 1_000_000))]
    pub max_queue_depth: u32,
    /// Attempts that may run at once, in the whole cluster.
    #[serde(default = "default_concurrency")]
    #[garde(range(min = 1, max = 100_000))]
    pub max_concurrency: u32,
    /// What the upstream may be sent per minute; limits of the whole cluster.
    #[serde(default, skip_serializing_if = "RateLimits::is_empty")]
    #[garde(dive)]
    pub limits: RateLimits,
    /// Price in US dollars, where the shipped table is to be overruled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub price: Option<Price>,
    /// Provider-specific options: fields added to a request for `openai`, and how to ask there
    /// (`api_version`, `auth: api-key`, `stream_usage: false`, `strict`, `responses`); Ollama's
    /// `options`; Gemini's `generationConfig` and `safetySettings`; the demo provider's settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[garde(length(max = 64))]
    pub options: BTreeMap<String, serde_json::Value>,
    /// Phase limits.
    #[serde(default)]
    #[garde(dive)]
    pub timeouts: TimeoutsConfig,
    /// Tokens the model can take, prompt and answer together, where the shipped table is to be
    /// overruled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(range(min = 1))]
    pub context_window: Option<u64>,
    /// What the model can do, where the shipped table is to be overruled.
    #[serde(default, skip_serializing_if = "Capabilities::is_empty")]
    pub capabilities: Capabilities,
    /// Active health checks, off unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub health: Option<HealthConfig>,
    /// Send `traceparent` upstream; on for loopback and private addresses when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagate_trace: Option<bool>,
}

impl ModelConfig {
    /// A model with everything else at its default.
    pub fn new(provider: ProviderKind, model: impl Into<String>) -> Self {
        ModelConfig {
            provider,
            model: model.into(),
            base_url: None,
            api_key: None,
            max_queue_depth: default_queue_depth(),
            max_concurrency: default_concurrency(),
            limits: RateLimits::default(),
            price: None,
            options: BTreeMap::new(),
            timeouts: TimeoutsConfig::default(),
            context_window: None,
            capabilities: Capabilities::default(),
            health: None,
            propagate_trace: None,
        }
    }
}

fn default_queue_depth() -> u32 {
    100
}
fn default_concurrency() -> u32 {
    64
}

/// What may be sent in any sixty seconds; unlimited where not said.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate,
)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RateLimits {
    /// Requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(range(min = 1, max = MAX_RATE))]
    pub rpm: Option<u64>,
    /// Tokens, prompt and answer together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(range(min = 1, max = MAX_RATE))]
    pub tpm: Option<u64>,
}

/// More per minute than any upstream takes; sums of it over a minute cannot overflow.
const MAX_RATE: u64 = 1_000_000_000_000;

impl RateLimits {
    /// Nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == RateLimits::default()
    }
}

/// US dollars per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Price {
    /// Prompt tokens.
    #[garde(range(min = 0.0, max = 1_000_000.0))]
    pub input_per_mtok: f64,
    /// Answer tokens.
    #[garde(range(min = 0.0, max = 1_000_000.0))]
    pub output_per_mtok: f64,
    /// Prompt tokens read from the provider's own prompt cache; the prompt's price when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(min = 0.0, max = 1_000_000.0)))]
    pub cached_input_per_mtok: Option<f64>,
    /// Prompt tokens written to the provider's own prompt cache; the prompt's price when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(range(min = 0.0, max = 1_000_000.0)))]
    pub cache_write_per_mtok: Option<f64>,
}

/// Phase limits of an attempt.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct TimeoutsConfig {
    /// TCP and TLS.
    #[garde(custom(rule::span))]
    pub connect: Span,
    /// Until the first real delta.
    #[garde(custom(rule::span))]
    pub first_token: Span,
    /// Between two pieces of a stream.
    #[garde(custom(rule::span))]
    pub idle: Span,
    /// The whole attempt.
    #[garde(custom(rule::span))]
    pub total: Span,
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        let given = crate::provider::Timeouts::default();
        TimeoutsConfig {
            connect: given.connect.into(),
            first_token: given.first_token.into(),
            idle: given.idle.into(),
            total: given.total.into(),
        }
    }
}

/// Active health checks: GET requests, never completions.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct HealthConfig {
    /// Path below the upstream's origin; each provider has a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How often.
    #[serde(default = "default_health_interval")]
    #[garde(custom(rule::span))]
    pub interval: Span,
}

fn default_health_interval() -> Span {
    Span::from_secs(10)
}

/// A credential: a reference, or (with a warning) a literal.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum Secret {
    /// `{ env: NAME }`
    Env {
        /// Name of the environment variable.
        env: String,
    },
    /// `{ file: PATH }`
    File {
        /// File whose content, trimmed, is the secret.
        file: String,
    },
    /// A literal as the nodes agree on it: readable for them alone, shown nowhere.
    #[schemars(skip)]
    Sealed(#[serde(serialize_with = "redact")] Sealed),
    /// The secret itself; shown nowhere.
    Literal(#[serde(serialize_with = "redact")] String),
}

fn redact<T, S: serde::Serializer>(_: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(DOTS)
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Secret::Env { env } => write!(f, "Secret(env {env})"),
            Secret::File { file } => write!(f, "Secret(file {file})"),
            Secret::Sealed(_) | Secret::Literal(_) => write!(f, "Secret({DOTS})"),
        }
    }
}

/// One rule.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RouteConfig {
    /// The rule's name; clients may ask for it as a model.
    pub name: RouteName,
    /// When the rule holds; empty matches everything.
    #[serde(default, rename = "match")]
    pub matches: MatchConfig,
    /// Models to use.
    #[garde(length(min = 1, max = 100))]
    pub targets: Vec<Target>,
    /// Models to use when no target answers, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(length(max = 100))]
    pub fallback: Vec<ModelName>,
    /// How targets are ordered.
    #[serde(default)]
    pub strategy: Strategy,
    /// Overrides of the cache for requests of this rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub cache: Option<RouteCache>,
    /// What happens to parameters that a model's upstream has no place for.
    #[serde(default, skip_serializing_if = "OnUnsupported::is_default")]
    pub on_unsupported: OnUnsupported,
    /// What becomes of a stream whose upstream dies after its first word.
    #[serde(default, skip_serializing_if = "StreamRecovery::is_default")]
    pub stream_recovery: StreamRecovery,
    /// A second attempt beside a first one that dawdles; none unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub hedge: Option<HedgeConfig>,
    /// A model that is asked what the callers ask, and whose answers nobody gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub shadow: Option<ShadowConfig>,
}

/// What happens to parameters that an upstream has no place for. What would make the answer wrong
/// is never dropped: such a model is not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnsupported {
    /// They are left out, and named in `x-llm-router-dropped-params`.
    #[default]
    Drop,
    /// The model is not asked.
    Error,
}

impl OnUnsupported {
    fn is_default(&self) -> bool {
        *self == OnUnsupported::default()
    }
}

/// A target: a name, or a name with a weight.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Target {
    /// Weight 1.
    Name(ModelName),
    /// With a weight, for `strategy: weighted`.
    Weighted(WeightedTarget),
}

/// `{ model: a, weight: 3 }`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct WeightedTarget {
    /// The model.
    pub model: ModelName,
    /// Its share, 1 to 1000.
    #[serde(default = "default_weight")]
    #[garde(range(min = 1, max = 1000))]
    pub weight: u32,
}

fn default_weight() -> u32 {
    1
}

impl Target {
    /// The model.
    pub fn model(&self) -> &ModelName {
        match self {
            Target::Name(model) => model,
            Target::Weighted(target) => &target.model,
        }
    }

    /// Its share.
    pub fn weight(&self) -> u32 {
        match self {
            Target::Name(_) => 1,
            Target::Weighted(target) => target.weight,
        }
    }
}

/// How targets are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// As written.
    #[default]
    Ordered,
    /// Randomly by weight.
    Weighted,
    /// Fewest waiting and running first.
    LeastBusy,
    /// Lowest moving average until the first delta first; unmeasured ones get tried.
    LowestLatency,
    /// Lowest estimated price first; unpriced counts as free.
    LowestCost,
}

impl Strategy {
    /// The name as written in config.
    pub const fn as_str(self) -> &'static str {
        match self {
            Strategy::Ordered => "ordered",
            Strategy::Weighted => "weighted",
            Strategy::LeastBusy => "least_busy",
            Strategy::LowestLatency => "lowest_latency",
            Strategy::LowestCost => "lowest_cost",
        }
    }
}

/// One value or several; several mean any.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Any of these.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values.
    pub fn as_slice(&self) -> &[T] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

/// When a rule holds: every key given must hold, lists mean any.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MatchConfig {
    /// Admission level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<OneOrMany<Priority>>,
    /// The name the client asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<OneOrMany<String>>,
    /// Tenant or the body's `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<OneOrMany<String>>,
    /// Tags that must all be present with these values (a list means any of its values).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, OneOrMany<String>>,
    /// Fewest estimated prompt tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_prompt_tokens: Option<u64>,
    /// Most estimated prompt tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_prompt_tokens: Option<u64>,
    /// Any of these occurs in the messages, case ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<OneOrMany<String>>,
    /// Any of these regular expressions matches the messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<OneOrMany<String>>,
}
