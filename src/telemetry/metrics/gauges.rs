//! What is read when metrics are collected, and costs nothing in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::labels::{Labels, ModelLabels};

/// The levels of the node, kept current by whoever changes them.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    pub(super) labels: ArcSwap<Labels>,
    pub(super) in_flight: AtomicU64,
    pub(super) cache_entries: AtomicU64,
    /// Nodes and models where the way between them is at fault.
    pub(super) path_suspects: ArcSwap<Vec<[String; 2]>>,
}

/// Who this process is, for `llm_router.build.info`.
#[derive(Clone, Debug)]
pub(super) struct Build {
    pub(super) version: String,
    pub(super) node: String,
}

impl Gauges {
    pub(super) fn observe(self: &Arc<Self>, meter: &Meter, build: Build) {
        self.observe_models(meter);
        self.observe_node(meter);
        self.observe_cluster(meter);
        let info = [
            KeyValue::new("version", build.version),
            KeyValue::new("node", build.node),
        ];
        meter
            .u64_observable_gauge("llm_router.build.info")
            .with_unit("{build}")
            .with_description("Always 1; the labels say what runs here.")
            .with_callback(move |gauge| gauge.observe(1, &info))
            .build();
        meter
            .u64_observable_gauge("process.resident_memory")
            .with_unit("By")
            .with_description("Resident memory of this process.")
            .with_callback(|gauge| {
                if let Some(bytes) = resident_bytes() {
                    gauge.observe(bytes, &[]);
                }
            })
            .build();
    }

    fn observe_node(self: &Arc<Self>, meter: &Meter) {
        let gauges = Arc::clone(self);
        meter
            .u64_observable_gauge("llm_router.requests.in_flight")
            .with_unit("{request}")
            .with_description("Requests running now.")
            .with_callback(move |gauge| {
                gauge.observe(gauges.in_flight.load(Ordering::Relaxed), &[]);
            })
            .build();
        let gauges = Arc::clone(self);
        meter
            .u64_observable_gauge("llm_router.cache.entries")
            .with_unit("{entry}")
            .with_description("Entries the cache of this node holds.")
            .with_callback(move |gauge| {
                gauge.observe(gauges.cache_entries.load(Ordering::Relaxed), &[]);
            })
            .build();
    }

    fn observe_cluster(self: &Arc<Self>, meter: &Meter) {
        let gauges = Arc::clone(self);
        meter
            .u64_observable_gauge("llm_router.node.path_suspect")
            .with_unit("{path}")
            .with_description(
                "1 where a node fails at a model's upstream that others reach: the fault is between them.",
            )
            .with_callback(move |gauge| {
                for [node, model] in gauges.path_suspects.load().iter() {
                    let labels = [
                        KeyValue::new("node", node.clone()),
                        KeyValue::new("model", model.clone()),
                    ];
                    gauge.observe(1, &labels);
                }
            })
            .build();
        let gauges = Arc::clone(self);
        meter
            .u64_observable_gauge("llm_router.limit.share")
            .with_unit("{unit}")
            .with_description(
                "This node's part of a model's cluster-wide limit: attempts at once; requests or tokens a minute on its own word, or lent since it started.",
            )
            .with_callback(move |gauge| {
                for model in gauges.labels.load().models() {
                    for (limit, share) in model.state.shares() {
                        let labels = [
                            KeyValue::new("limit", limit),
                            KeyValue::new("model", model.name.clone()),
                        ];
                        gauge.observe(share, &labels);
                    }
                }
            })
            .build();
    }

    fn observe_models(self: &Arc<Self>, meter: &Meter) {
        self.observe_model(
            meter,
            [
                "llm_router.queue.depth",
                "{request}",
                "Requests waiting for admission to a model.",
            ],
            |model| Some(model.state.queue_depth()),
        );
        self.observe_model(
            meter,
            [
                "llm_router.breaker.state",
                "{state}",
                "A model's breaker: 0 closed, 1 half-open, 2 open.",
            ],
            |model| Some(model.state.breaker()),
        );
        self.observe_model(
            meter,
            [
                "llm_router.breaker.agreed_state",
                "{state}",
                "What the nodes agreed on for a model's breaker: 0 closed, 1 half-open, 2 open.",
            ],
            |model| model.state.agreed_state(),
        );
        self.observe_model(
            meter,
            [
                "llm_router.breaker.epoch",
                "{transition}",
                "Epoch of a model's agreed breaker, as applied on this node.",
            ],
            |model| model.state.agreed_epoch(),
        );
        self.observe_model(
            meter,
            [
                "llm_router.backend.health",
                "{state}",
                "The last health check of a model's upstream: 1 up, 0 down, absent before the first.",
            ],
            |model| model.state.health(),
        );
    }

    fn observe_model(
        self: &Arc<Self>,
        meter: &Meter,
        [name, unit, text]: [&'static str; 3],
        value: fn(&ModelLabels) -> Option<u64>,
    ) {
        let gauges = Arc::clone(self);
        meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_description(text)
            .with_callback(move |gauge| {
                for model in gauges.labels.load().models() {
                    if let Some(value) = value(model) {
                        gauge.observe(value, &[KeyValue::new("model", model.name.clone())]);
                    }
                }
            })
            .build();
    }
}

/// Linux says it in kilobytes, whatever the page size; elsewhere it is not known.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}
