//! Settings that hold for all models and routes: breaker, cache and retry.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Least cosine of a semantic hit; guards come on top.
    #[garde(custom(rule::share))]
    pub similarity_threshold: f64,
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
    /// How the nearest stored question is searched for.
    pub index: IndexKind,
}

impl Default for CacheConfig {
    fn default() -> Self {
        CacheConfig {
            enabled: true,
            similarity_threshold: 0.92,
            ttl: Span::from_secs(24 * 3600),
            max_entries: 10_000,
            max_temperature: 0.3,
            absent_temperature: 0.0,
            max_error_rate: 0.01,
            max_answer: ByteSize::mebibytes(1),
            index: IndexKind::Auto,
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
}

impl CacheConfig {
    /// The settings for one rule.
    pub fn for_route(mut self, route: Option<&RouteCache>) -> Self {
        let Some(route) = route else { return self };
        self.enabled &= route.enabled.unwrap_or(true);
        self.similarity_threshold = route
            .similarity_threshold
            .unwrap_or(self.similarity_threshold);
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
