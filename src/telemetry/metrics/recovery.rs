//! What is done about upstreams that fail or dawdle, and what is asked beside them.

use opentelemetry::KeyValue;

use super::Metrics;
use crate::telemetry::record::RequestRecord;
use crate::types::{ModelName, RouteName};

impl Metrics {
    /// A stream that `from` left unfinished is carried on by `to`: `prefill` or `regenerate`.
    pub fn stream_recovered(&self, from: &ModelName, to: &ModelName, how: &'static str) {
        let labels = self.inner.gauges.labels.load();
        self.inner.instruments.streams_recovered.add(
            1,
            &[
                KeyValue::new("from", labels.model(from)),
                KeyValue::new("how", how),
                KeyValue::new("to", labels.model(to)),
            ],
        );
    }

    /// A second attempt was due at `model`: `won`, `lost`, `failed`, or not made: `budget`.
    pub fn hedged(&self, model: &ModelName, outcome: &'static str) {
        let model = self.inner.gauges.labels.load().model(model);
        self.inner.instruments.hedges.add(
            1,
            &[
                KeyValue::new("model", model),
                KeyValue::new("outcome", outcome),
            ],
        );
    }

    /// A request was chosen to be asked of another model too: `ok`, `failed`, or why it was not:
    /// `dropped`, `saturated`, `unfit`.
    pub fn mirrored(&self, model: &ModelName, route: Option<&RouteName>, outcome: &'static str) {
        let labels = self.inner.gauges.labels.load();
        self.inner.instruments.mirror_calls.add(
            1,
            &[
                KeyValue::new("model", labels.model(model)),
                KeyValue::new("outcome", outcome),
                KeyValue::new("route", labels.route_or_none(route)),
            ],
        );
    }

    /// What an answer nobody gets cost and how long it took.
    pub(in crate::telemetry) fn mirror_ended(&self, record: &RequestRecord) {
        let Some(model) = &record.model else { return };
        let labels = [KeyValue::new(
            "model",
            self.inner.gauges.labels.load().model(model),
        )];
        let instruments = &self.inner.instruments;
        if record.outcome.is_ok() {
            let seconds = record.total.as_secs_f64();
            instruments.mirror_duration.record(seconds, &labels);
        }
        if let Some(cost) = record.cost_usd.filter(|cost| *cost > 0.0) {
            instruments.mirror_cost.add(cost, &labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::{ConfiguredModel, Metrics};

    #[test]
    fn recoveries_hedges_and_mirrors_are_counted_under_configured_names() {
        let metrics = Metrics::detached();
        let model = |name: &str| ConfiguredModel {
            name: name.into(),
            provider: "demo".to_owned(),
            upstream: "echo".to_owned(),
        };
        metrics.configure(&[model("a"), model("b")], &["r".into()]);
        metrics.stream_recovered(&"a".into(), &"b".into(), "prefill");
        metrics.hedged(&"b".into(), "won");
        metrics.mirrored(&"gone".into(), Some(&"r".into()), "ok");
        let text = metrics.render().unwrap();
        for line in [
            r#"llm_router_streams_recovered_total{from="a",how="prefill",to="b"} 1"#,
            r#"llm_router_hedges_total{model="b",outcome="won"} 1"#,
            r#"llm_router_mirror_calls_total{model="_other",outcome="ok",route="r"} 1"#,
        ] {
            assert!(text.contains(line), "{line}:\n{text}");
        }
    }
}
