//! Label values, made once per configured name so that counting a request allocates nothing.
//!
//! A name that is not configured is `_other`: labels grow with the configuration, never with
//! traffic. Models that leave the configuration take their gauges with them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use opentelemetry::StringValue;

use crate::types::{ModelName, RouteName};

/// The label of every name that is not configured.
pub const OTHER: &str = "_other";
/// The label where there is no name at all: a request refused before it had a model.
pub const NONE: &str = "none";
/// Most models, and most routes, with a label of their own.
pub const MAX_NAMES: usize = 1024;

/// A model as its labels need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredModel {
    /// The deployment's name, the `model` label.
    pub name: ModelName,
    /// Provider kind: `openai`, `ollama`, …
    pub provider: String,
    /// The upstream's name for the model, `gen_ai.request.model`.
    pub upstream: String,
}

/// The conventions' word for a provider kind; ours where they have none.
pub fn provider_name(kind: &str) -> &str {
    match kind {
        "gemini" => "gcp.gemini",
        other => other,
    }
}

const UNKNOWN: u8 = u8::MAX;
const ABSENT: u64 = u64::MAX;

/// What is limited, as the `limit` label says it.
pub(super) const LIMITS: [&str; 3] = ["concurrency", "requests", "tokens"];

/// What is known of one model now; read when metrics are collected.
#[derive(Debug)]
pub(super) struct ModelState {
    queue_depth: AtomicU64,
    breaker: AtomicU8,
    health: AtomicU8,
    /// The agreed breaker's epoch and state; absent without a cluster.
    agreed_epoch: AtomicU64,
    agreed_state: AtomicU8,
    /// This node's part of the model's limits, in the order of [`LIMITS`].
    shares: [AtomicU64; LIMITS.len()],
}

impl Default for ModelState {
    fn default() -> Self {
        ModelState {
            queue_depth: AtomicU64::new(0),
            breaker: AtomicU8::new(0),
            health: AtomicU8::new(UNKNOWN),
            agreed_epoch: AtomicU64::new(ABSENT),
            agreed_state: AtomicU8::new(UNKNOWN),
            shares: [const { AtomicU64::new(ABSENT) }; LIMITS.len()],
        }
    }
}

impl ModelState {
    pub(super) fn queue_depth(&self) -> u64 {
        self.queue_depth.load(Ordering::Relaxed)
    }

    pub(super) fn set_queue_depth(&self, depth: u64) {
        self.queue_depth.store(depth, Ordering::Relaxed);
    }

    pub(super) fn breaker(&self) -> u64 {
        u64::from(self.breaker.load(Ordering::Relaxed))
    }

    pub(super) fn set_breaker(&self, state: u8) {
        self.breaker.store(state, Ordering::Relaxed);
    }

    /// 1 up, 0 down, nothing before the first check.
    pub(super) fn health(&self) -> Option<u64> {
        let health = self.health.load(Ordering::Relaxed);
        (health != UNKNOWN).then_some(u64::from(health))
    }

    pub(super) fn agreed_epoch(&self) -> Option<u64> {
        let epoch = self.agreed_epoch.load(Ordering::Relaxed);
        (epoch != ABSENT).then_some(epoch)
    }

    pub(super) fn agreed_state(&self) -> Option<u64> {
        let state = self.agreed_state.load(Ordering::Relaxed);
        (state != UNKNOWN).then_some(u64::from(state))
    }

    pub(super) fn set_agreed(&self, epoch: u64, state: u8) {
        self.agreed_epoch.store(epoch, Ordering::Relaxed);
        self.agreed_state.store(state, Ordering::Relaxed);
    }

    /// This node's parts of the limits, where it has one.
    pub(super) fn shares(&self) -> impl Iterator<Item = (&'static str, u64)> {
        LIMITS
            .into_iter()
            .zip(&self.shares)
            .filter_map(|(limit, share)| {
                let share = share.load(Ordering::Relaxed);
                (share != ABSENT).then_some((limit, share))
            })
    }

    pub(super) fn set_share(&self, limit: &str, amount: Option<u64>) {
        let at = LIMITS.iter().position(|known| *known == limit);
        if let Some(share) = at.and_then(|at| self.shares.get(at)) {
            share.store(amount.unwrap_or(ABSENT), Ordering::Relaxed);
        }
    }

    pub(super) fn set_health(&self, up: Option<bool>) {
        self.health
            .store(up.map_or(UNKNOWN, u8::from), Ordering::Relaxed);
    }
}

/// One model's labels and state.
#[derive(Debug)]
pub(super) struct ModelLabels {
    pub(super) name: StringValue,
    pub(super) provider: StringValue,
    pub(super) upstream: StringValue,
    pub(super) state: Arc<ModelState>,
}

/// The labels of one configuration.
#[derive(Debug, Default)]
pub(super) struct Labels {
    models: HashMap<Box<str>, ModelLabels>,
    routes: HashMap<Box<str>, StringValue>,
}

impl Labels {
    /// Labels of a new configuration; models that stay keep their state.
    pub(super) fn next(&self, models: &[ConfiguredModel], routes: &[RouteName]) -> Labels {
        let models = models
            .iter()
            .take(MAX_NAMES)
            .map(|model| {
                let kept = self.models.get(model.name.as_str());
                let labels = ModelLabels {
                    name: shared(model.name.as_str()),
                    provider: shared(provider_name(&model.provider)),
                    upstream: shared(&model.upstream),
                    state: kept
                        .map(|labels| Arc::clone(&labels.state))
                        .unwrap_or_default(),
                };
                (Box::from(model.name.as_str()), labels)
            })
            .collect();
        let routes = routes
            .iter()
            .take(MAX_NAMES)
            .map(|route| (Box::from(route.as_str()), shared(route.as_str())))
            .collect();
        Labels { models, routes }
    }

    pub(super) fn models(&self) -> impl Iterator<Item = &ModelLabels> {
        self.models.values()
    }

    pub(super) fn get(&self, model: &ModelName) -> Option<&ModelLabels> {
        self.models.get(model.as_str())
    }

    pub(super) fn model(&self, model: &ModelName) -> StringValue {
        self.get(model)
            .map_or(StringValue::from(OTHER), |labels| labels.name.clone())
    }

    pub(super) fn model_or_none(&self, model: Option<&ModelName>) -> StringValue {
        model.map_or(StringValue::from(NONE), |model| self.model(model))
    }

    pub(super) fn route_or_none(&self, route: Option<&RouteName>) -> StringValue {
        let Some(route) = route else {
            return StringValue::from(NONE);
        };
        self.routes
            .get(route.as_str())
            .cloned()
            .unwrap_or(StringValue::from(OTHER))
    }
}

fn shared(text: &str) -> StringValue {
    StringValue::from(Arc::<str>::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> ConfiguredModel {
        ConfiguredModel {
            name: name.into(),
            provider: "gemini".to_owned(),
            upstream: format!("{name}-upstream"),
        }
    }

    #[test]
    fn a_name_that_is_not_configured_is_other() {
        let labels = Labels::default().next(&[model("a")], &["r".into()]);
        assert_eq!(labels.model(&"a".into()).as_str(), "a");
        assert_eq!(labels.model(&"b".into()).as_str(), OTHER);
        assert_eq!(labels.route_or_none(Some(&"r".into())).as_str(), "r");
        assert_eq!(labels.route_or_none(Some(&"x".into())).as_str(), OTHER);
        assert_eq!(labels.route_or_none(None).as_str(), NONE);
    }

    #[test]
    fn a_model_that_stays_keeps_its_state() {
        let first = Labels::default().next(&[model("a"), model("b")], &[]);
        first
            .get(&"a".into())
            .expect("configured")
            .state
            .set_queue_depth(7);
        let second = first.next(&[model("a")], &[]);
        assert_eq!(
            second
                .get(&"a".into())
                .expect("configured")
                .state
                .queue_depth(),
            7
        );
        assert!(second.get(&"b".into()).is_none());
        assert_eq!(
            second
                .get(&"a".into())
                .expect("configured")
                .provider
                .as_str(),
            "gcp.gemini"
        );
    }

    #[test]
    fn names_are_bounded() {
        let models: Vec<_> = (0..MAX_NAMES + 5)
            .map(|index| model(&format!("m{index}")))
            .collect();
        assert_eq!(
            Labels::default().next(&models, &[]).models().count(),
            MAX_NAMES
        );
    }
}
