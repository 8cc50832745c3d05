//! Settings that hold for all models and routes: breaker, cache and retry.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judge::JudgeConfig;
use crate::config::check::rule;
use crate::config::duration::{ByteSize, Span};

/// When a model is left alone.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct BreakerConfig {
    /// Consecutive failures that open it.
    #[garde(range(min = 1, max = 1000))]
    pub failure_threshold: u32,
    /// How long it stays open before one probe.
    #[garde(custom(rule::span))]
    pub recovery_timeout: Span,
    /// Good probes that close it.
    #[garde(range(min = 1, max = 1000))]
    pub success_threshold: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        BreakerConfig {
            failure_threshold: 5,
            recovery_timeout: Span::from_secs(60),
            success_threshold: 3,
        }
    }
}

/// How the nearest stored question is searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IndexKind {
    /// Every stored vector is read up to 32,768 entries of a partition; beyond, sketches of all
    /// say which few are read. There at once, in step with inserts.
    #[default]
    Auto,
    /// Every stored vector is read: exact, at 30 µs per thousand entries once they leave the
    /// processor's caches.
    Flat,
    /// A graph from 8,192 entries of a partition on: 320 bytes more per entry and minutes of
    /// building per hundred thousand, in the background.
    Hnsw,
}

/// When an answer is reused.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CacheConfig {
    /// Off: neither read nor written.
    pub enabled: bool,
    /// Least cosine of a semantic hit on its words alone; guards come on top.
    #[garde(custom(rule::share))]
    pub similarity_threshold: f64,
    /// Least cosine of a semantic hit that the pair verifier approves; 1 leaves the verifier unasked.
    #[garde(custom(rule::share))]
    pub verified_threshold: f64,
    /// How long an answer may be reused.
    #[garde(custom(rule::span))]
    pub ttl: Span,
    /// Most entries; the least recently used goes first.
    #[garde(range(min = 1, max = 10_000_000))]
    pub max_entries: u64,
    /// Requests hotter than this are never cached.
    #[garde(range(min = 0.0, max = 2.0))]
    pub max_temperature: f64,
    /// What a request that states no temperature counts as.
    #[garde(range(min = 0.0, max = 2.0))]
    pub absent_temperature: f64,
    /// Wrong answers among served ones that the semantic tier may risk.
    #[garde(custom(rule::share))]
    pub max_error_rate: f64,
    /// Largest answer kept.
    #[garde(custom(rule::size))]
    pub max_answer: ByteSize,
    /// Requests that offer tools may be matched by meaning as well. Off: identical ones only.
    pub semantic_with_tools: bool,
    /// How long the answer to a question bound to the time it is asked ("today", "latest", prices,
    /// weather) may be reused, by identical requests alone; 0s: never.
    #[garde(custom(rule::span_or_none))]
    pub time_bound_ttl: Span,
    /// Who may be served an answer.
    pub scope: CacheScope,
    /// What goes when the cache is full.
    pub eviction: Eviction,
    /// Most entries of one tenant; 0: no other bound than `max_entries`.
    #[garde(range(max = 10_000_000))]
    pub max_entries_per_tenant: u64,
    /// Which requests wait for another one in flight instead of asking upstream.
    pub single_flight: SingleFlight,
    /// How the nearest stored question is searched for.
    pub index: IndexKind,
    /// Share of the semantic hits that are asked upstream once more, after the caller was answered,
    /// to find out whether the answer was right; 0 turns learning off.
    #[garde(range(min = 0.0, max = 1.0))]
    pub shadow_rate: f64,
    /// Who compares the two answers.
    #[garde(skip)]
    pub judge: JudgeConfig,
    /// Nodes that keep an entry for its meaning; one more keeps it for its key.
    #[garde(range(min = 1, max = 5))]
    pub copies: u8,
    /// Most nodes that are asked for an entry near a question.
    #[garde(range(min = 1, max = 5))]
    pub probes: u8,
    /// How long a question waits for its vector, or for a word on a doubtful pair, before the semantic
    /// tier is done without.
    #[garde(custom(rule::span))]
    pub embed_budget: Span,
    /// How long other nodes may take to say what they hold near a question.
    #[garde(custom(rule::span))]
    pub lookup_budget: Span,
    /// How long the owner of a request's key may take to say whether it is being answered already.
    #[garde(custom(rule::span))]
    pub attach_budget: Span,
    /// What a node serves from its cache while it is cut off from its cluster.
    pub partition_mode: PartitionMode,
}

/// What a node serves from its cache while it is cut off from its cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartitionMode {
    /// What it holds, although it may have been called off elsewhere meanwhile.
    #[default]
    Serve,
    /// Nothing, once its last contact with the leader is older than two seconds.
    Stop,
}

/// Who may be served an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheScope {
    /// The tenant it was made for.
    #[default]
    Tenant,
    /// Every tenant, once two of them were given agreeing answers to the same request; until then
    /// the tenant it was made for.
    Shared,
}

/// What goes when the cache is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Eviction {
    /// The least recently used.
    #[default]
    Lru,
    /// What saves least: hits times tokens saved, by bytes. New entries must earn their place.
    Cost,
}

/// Which requests wait for another one in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SingleFlight {
    /// Identical ones.
    #[default]
    Exact,
    /// Also those of the same meaning, judged as a stored question would be.
    Meaning,
}

impl Default for CacheConfig {
    fn default() -> Self {
        CacheConfig {
            enabled: true,
            similarity_threshold: 0.92,
            verified_threshold: 0.75,
            ttl: Span::from_secs(24 * 3600),
            max_entries: 10_000,
            max_temperature: 0.3,
            absent_temperature: 0.0,
            max_error_rate: 0.01,
            max_answer: ByteSize::mebibytes(1),
            semantic_with_tools: false,
            time_bound_ttl: Span::from_secs(5 * 60),
            scope: CacheScope::Tenant,
            eviction: Eviction::Lru,
            max_entries_per_tenant: 0,
            single_flight: SingleFlight::Exact,
            shadow_rate: 0.01,
            judge: JudgeConfig::default(),
            index: IndexKind::Auto,
            copies: 2,
            probes: 2,
            embed_budget: Span::from_millis(150),
            lookup_budget: Span::from_millis(20),
            attach_budget: Span::from_millis(500),
            partition_mode: PartitionMode::Serve,
        }
    }
}

/// A rule's overrides of [`CacheConfig`].
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RouteCache {
    /// Off for this rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Another threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(rule::share)))]
    pub similarity_threshold: Option<f64>,
    /// Another lifetime.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(rule::span)))]
    pub ttl: Option<Span>,
    /// Another limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(range(min = 0.0, max = 2.0))]
    pub max_temperature: Option<f64>,
    /// Match requests with tools by meaning, or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub semantic_with_tools: Option<bool>,
    /// Another lifetime for questions bound to their time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[garde(inner(custom(rule::span_or_none)))]
    pub time_bound_ttl: Option<Span>,
    /// Another scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<CacheScope>,
    /// Another single flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_flight: Option<SingleFlight>,
}

impl CacheConfig {
    /// The settings for one rule.
    pub fn for_route(mut self, route: Option<&RouteCache>) -> Self {
        let Some(route) = route else { return self };
        self.enabled &= route.enabled.unwrap_or(true);
        self.similarity_threshold = route
            .similarity_threshold
            .unwrap_or(self.similarity_threshold);
        self.semantic_with_tools = route
            .semantic_with_tools
            .unwrap_or(self.semantic_with_tools);
        self.time_bound_ttl = route.time_bound_ttl.unwrap_or(self.time_bound_ttl);
        self.scope = route.scope.unwrap_or(self.scope);
        self.single_flight = route.single_flight.unwrap_or(self.single_flight);
        self.ttl = route.ttl.unwrap_or(self.ttl);
        self.max_temperature = route.max_temperature.unwrap_or(self.max_temperature);
        self
    }
}

/// When a try is repeated on the same candidate.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RetryConfig {
    /// Tries on one candidate, the first included.
    #[garde(range(min = 1, max = 10))]
    pub max_attempts: u32,
    /// Waits between them.
    #[garde(dive)]
    pub backoff: BackoffConfig,
    /// Repeated tries as a share of all.
    #[garde(range(min = 0.0, max = 1.0))]
    pub budget: f64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        RetryConfig {
            max_attempts: 3,
            backoff: BackoffConfig::default(),
            budget: 0.2,
        }
    }
}

/// Exponential, with full jitter.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct BackoffConfig {
    /// The first wait is at most this.
    #[garde(custom(rule::span))]
    pub base: Span,
    /// No wait is longer.
    #[garde(custom(rule::span))]
    pub max: Span,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        BackoffConfig {
            base: Span::from_millis(100),
            max: Span::from_secs(2),
        }
    }
}
