//! What the cache learns of its own mistakes.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};

use super::Metrics;
use crate::types::report::CacheRoute;
use crate::types::{ModelName, RouteName};

type Read = Arc<dyn Fn() -> (Vec<CacheRoute>, u64) + Send + Sync>;
type Pick = fn(&CacheRoute) -> f64;

/// Name, unit, description and value of each gauge by route.
const GAUGES: [([&str; 3], Pick); 4] = [
    (
        [
            "llm_router.cache.false_hit.rate",
            "1",
            "Share of wrong answers among the semantic hits of a route that were checked lately.",
        ],
        |route| route.false_hit_rate,
    ),
    (
        [
            "llm_router.cache.false_hit.upper_bound",
            "1",
            "Upper bound of a route's share of wrong answers among semantic hits, with 95 % confidence.",
        ],
        |route| route.false_hit_upper,
    ),
    (
        [
            "llm_router.cache.false_hit.checked",
            "{hit}",
            "Semantic hits of a route that its false-hit rate was made of.",
        ],
        |route| f64::from(route.judged),
    ),
    (
        [
            "llm_router.cache.tier.state",
            "{state}",
            "A route's semantic tier: 0 normal, 1 strict, 2 on probation, 3 exact answers only.",
        ],
        |route| f64::from(u32::try_from(route.tier_level).unwrap_or(u32::MAX)),
    ),
];

impl Metrics {
    /// From now on, collections tell what the cache has learnt: its routes and how many pairs are
    /// vetoed. `read` must not wait.
    pub fn watch_cache(&self, read: impl Fn() -> (Vec<CacheRoute>, u64) + Send + Sync + 'static) {
        let meter = self.inner.provider.meter("llm-router");
        let read: Read = Arc::new(read);
        for (words, pick) in GAUGES {
            observe(&meter, &read, words, pick);
        }
        meter
            .u64_observable_gauge("llm_router.cache.vetoes")
            .with_unit("{pair}")
            .with_description("Pairs of question and entry that never hit again.")
            .with_callback(move |gauge| gauge.observe(read().1, &[]))
            .build();
    }

    /// A semantic hit was chosen to be checked: `agree`, `disagree`, `unsure`, or why it was not:
    /// `dropped`, `saturated`, `failed`.
    pub fn shadow_called(&self, route: Option<&RouteName>, outcome: &'static str) {
        let labels = self.inner.gauges.labels.load();
        self.inner.instruments.shadow_calls.add(
            1,
            &[
                KeyValue::new("outcome", outcome),
                KeyValue::new("route", labels.route_or_none(route)),
            ],
        );
    }

    /// What a check cost, in US dollars.
    pub(in crate::telemetry) fn shadow_cost(&self, model: &ModelName, usd: f64) {
        if usd > 0.0 {
            let model = self.inner.gauges.labels.load().model(model);
            let labels = [KeyValue::new("model", model)];
            self.inner.instruments.shadow_cost.add(usd, &labels);
        }
    }
}

fn observe(meter: &Meter, read: &Read, [name, unit, text]: [&'static str; 3], pick: Pick) {
    let read = Arc::clone(read);
    meter
        .f64_observable_gauge(name)
        .with_unit(unit)
        .with_description(text)
        .with_callback(move |gauge| {
            for route in read().0 {
                let value = pick(&route);
                gauge.observe(value, &[KeyValue::new("route", route.route)]);
            }
        })
        .build();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_false_hit_rate_of_every_route_is_published() {
        let metrics = Metrics::detached();
        metrics.configure(&[], &["faq".into()]);
        let route = CacheRoute {
            route: "faq".to_owned(),
            tier: "exact_only",
            tier_level: 3,
            pause_left_s: Some(60),
            judged: 40,
            wrong: 10,
            false_hit_rate: 0.25,
            false_hit_lower: 0.125,
            false_hit_upper: 0.375,
        };
        metrics.watch_cache(move || (vec![route.clone()], 7));
        metrics.shadow_called(Some(&"faq".into()), "disagree");
        metrics.shadow_called(Some(&"gone".into()), "dropped");
        let text = metrics.render().unwrap();
        for line in [
            "llm_router_cache_false_hit_rate_ratio{route=\"faq\"} 0.25",
            "llm_router_cache_false_hit_upper_bound_ratio{route=\"faq\"} 0.375",
            "llm_router_cache_false_hit_checked{route=\"faq\"} 40",
            "llm_router_cache_tier_state{route=\"faq\"} 3",
            "llm_router_cache_vetoes 7",
            "llm_router_cache_shadow_calls_total{outcome=\"disagree\",route=\"faq\"} 1",
            "llm_router_cache_shadow_calls_total{outcome=\"dropped\",route=\"_other\"} 1",
        ] {
            assert!(text.contains(line), "{line}:\n{text}");
        }
    }
}
