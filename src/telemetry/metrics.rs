//! Every instrument of the node behind typed methods, and their rendering for Prometheus.
//!
//! Counting a request allocates nothing: label values are made when the configuration changes
//! ([`Metrics::configure`]), levels are atomics that are read at collection.

pub mod labels;
mod peers;

mod cache;
pub(super) mod calls;
mod cluster;
mod gauges;
mod instruments;
mod recovery;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{Instrument, MeterProviderBuilder, SdkMeterProvider, Stream};
use prometheus::{Registry, TextEncoder};

use self::calls::Names;
use self::gauges::{Build, Gauges};
use self::instruments::Instruments;
use crate::error::{Error, Kind};
use crate::telemetry::record::RequestRecord;
use crate::types::{ModelName, Priority, RouteName};

pub use self::calls::{Active, AttemptOutcome, AttemptRecord, GrpcCall, HttpCall};
pub use self::cluster::ClusterLevels;
pub use self::labels::{ConfiguredModel, MAX_NAMES, NONE, OTHER, provider_name};

/// Most series of `llm_router.requests`, whose five labels multiply; beyond it the SDK counts
/// under `otel.metric.overflow`. Every other instrument has the SDK's limit of 2000.
const MAX_REQUEST_SERIES: usize = 10_000;

/// The node's instruments. Cheap to clone; all clones are the same instruments.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    instruments: Instruments,
    gauges: Arc<Gauges>,
    /// Routes of the HTTP door and methods of the gRPC door, as they are first seen.
    paths: Names,
    registry: Registry,
    /// Instruments stop counting when their provider is dropped.
    provider: SdkMeterProvider,
}

/// Counts a request as running until it is dropped.
#[derive(Debug)]
pub struct InFlightGuard {
    gauges: Arc<Gauges>,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.gauges.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Instruments of their own, exported nowhere but through [`Metrics::render`]: for the
    /// embedded library and for tests.
    pub fn detached() -> Self {
        let build = Build {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: String::new(),
        };
        // A registry without collectors takes its first one; were it refused, the instruments
        // would count and render nothing.
        Metrics::build(SdkMeterProvider::builder(), Registry::new(), build)
            .unwrap_or_else(|(metrics, _)| metrics)
    }

    /// Instruments on `builder`'s readers and on a Prometheus registry of their own.
    pub(super) fn attached(
        builder: MeterProviderBuilder,
        resource: Resource,
        [version, node]: [&str; 2],
    ) -> Result<Self, Error> {
        let build = Build {
            version: version.to_owned(),
            node: node.to_owned(),
        };
        Metrics::build(builder.with_resource(resource), Registry::new(), build).map_err(
            |(_, source)| {
                Error::new(Kind::Internal, "cannot set up the prometheus exporter")
                    .with_source(source)
            },
        )
    }

    fn build(
        builder: MeterProviderBuilder,
        registry: Registry,
        build: Build,
    ) -> Result<Self, (Self, opentelemetry_sdk::error::OTelSdkError)> {
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build();
        let (builder, refused) = match exporter {
            Ok(reader) => (builder.with_reader(reader), None),
            Err(error) => (builder, Some(error)),
        };
        let provider = builder.with_view(widen_requests).build();
        let meter = provider.meter("llm-router");
        let gauges = Arc::new(Gauges::default());
        gauges.observe(&meter, build);
        let instruments = Instruments::build(&meter);
        let inner = Inner {
            instruments,
            gauges,
            paths: Names::default(),
            registry,
            provider,
        };
        let metrics = Metrics {
            inner: Arc::new(inner),
        };
        match refused {
            None => Ok(metrics),
            Some(error) => Err((metrics, error)),
        }
    }

    pub(super) fn provider(&self) -> &SdkMeterProvider {
        &self.inner.provider
    }

    /// The configuration changed: these models and routes have labels of their own from now on,
    /// at most [`MAX_NAMES`] each; every other name is [`OTHER`]. Gauges of models that are gone
    /// end.
    pub fn configure(&self, models: &[ConfiguredModel], routes: &[RouteName]) {
        self.inner
            .gauges
            .labels
            .rcu(|labels| labels.next(models, routes));
    }

    /// Everything in Prometheus' text format, for `GET /metrics`.
    ///
    /// # Errors
    /// [`Kind::Internal`] when a metric cannot be written.
    pub fn render(&self) -> Result<String, Error> {
        TextEncoder::new()
            .encode_to_string(&self.inner.registry.gather())
            .map_err(|source| {
                Error::new(Kind::Internal, "cannot render the metrics").with_source(source)
            })
    }

    /// A request begins; it is in flight until the guard is dropped.
    pub fn enter(&self) -> InFlightGuard {
        self.inner.gauges.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlightGuard {
            gauges: Arc::clone(&self.inner.gauges),
        }
    }

    /// Requests running now.
    pub fn in_flight(&self) -> u64 {
        self.inner.gauges.in_flight.load(Ordering::Relaxed)
    }

    /// A request has ended; the recorder calls this.
    pub(super) fn request_ended(&self, record: &RequestRecord) {
        let labels = self.inner.gauges.labels.load();
        let model = labels.model_or_none(record.model.as_ref());
        self.inner.instruments.requests.add(
            1,
            &[
                KeyValue::new("cache", record.cache.as_str()),
                KeyValue::new("model", model.clone()),
                KeyValue::new("outcome", record.outcome_str()),
                KeyValue::new("priority", record.priority.as_str()),
                KeyValue::new("route", labels.route_or_none(record.route.as_ref())),
            ],
        );
        self.inner
            .instruments
            .overhead
            .record(record.overhead().as_secs_f64(), &[]);
        if let Some(cost) = record.cost_usd.filter(|cost| *cost > 0.0) {
            self.inner
                .instruments
                .cost
                .add(cost, &[KeyValue::new("model", model)]);
        }
    }

    /// A request was admitted to `model` after `wait`.
    pub fn queue_waited(&self, model: &ModelName, priority: Priority, wait: Duration) {
        let model = self.inner.gauges.labels.load().model(model);
        self.inner.instruments.queue_wait.record(
            wait.as_secs_f64(),
            &[
                KeyValue::new("model", model),
                KeyValue::new("priority", priority.as_str()),
            ],
        );
    }

    /// `model`'s queue refused a request: `full`, `expired`, …
    pub fn queue_refused(&self, model: &ModelName, reason: &'static str) {
        let model = self.inner.gauges.labels.load().model(model);
        self.inner.instruments.queue_refusals.add(
            1,
            &[
                KeyValue::new("model", model),
                KeyValue::new("reason", reason),
            ],
        );
    }

    /// This many requests wait for `model` now.
    pub fn queue_depth(&self, model: &ModelName, depth: u64) {
        if let Some(labels) = self.inner.gauges.labels.load().get(model) {
            labels.state.set_queue_depth(depth);
        }
    }

    /// An attempt on the same model begins after one that failed.
    pub fn retried(&self) {
        self.inner.instruments.retries.add(1, &[]);
    }

    /// A request moves on from one model to the next: `hard`, `gate`, `breaker_open`, …
    pub fn failed_over(&self, from: &ModelName, to: &ModelName, reason: &'static str) {
        let labels = self.inner.gauges.labels.load();
        self.inner.instruments.failovers.add(
            1,
            &[
                KeyValue::new("from", labels.model(from)),
                KeyValue::new("reason", reason),
                KeyValue::new("to", labels.model(to)),
            ],
        );
    }

    /// `model`'s breaker entered `state`: `closed`, `half_open` or `open`.
    pub fn breaker_changed(&self, model: &ModelName, state: &'static str) {
        self.breaker_state(model, state);
        let model = self.inner.gauges.labels.load().model(model);
        self.inner.instruments.breaker_transitions.add(
            1,
            &[KeyValue::new("model", model), KeyValue::new("to", state)],
        );
    }

    /// `model`'s breaker is in `state`, as it was found: no transition is counted.
    pub fn breaker_state(&self, model: &ModelName, state: &'static str) {
        if let Some(labels) = self.inner.gauges.labels.load().get(model) {
            labels.state.set_breaker(level_of(state));
        }
    }

    /// What is agreed about `model`'s breaker, as this node applied it.
    pub fn breaker_agreed(&self, model: &ModelName, epoch: u64, state: &'static str) {
        if let Some(labels) = self.inner.gauges.labels.load().get(model) {
            labels.state.set_agreed(epoch, level_of(state));
        }
    }

    /// This node's part of a limit of `model`: `concurrency`, `requests` or `tokens`.
    pub fn limit_share(&self, model: &ModelName, limit: &'static str, amount: Option<u64>) {
        if let Some(labels) = self.inner.gauges.labels.load().get(model) {
            labels.state.set_share(limit, amount);
        }
    }

    /// A budget of `model` was used up: `requests` or `tokens`.
    pub fn limit_refused(&self, model: &ModelName, limit: &'static str) {
        let model = self.inner.gauges.labels.load().model(model);
        self.inner.instruments.limit_refusals.add(
            1,
            &[KeyValue::new("limit", limit), KeyValue::new("model", model)],
        );
    }

    /// Nodes and models where the way between them is at fault, all of them; names that are not
    /// configured are left out.
    pub fn path_suspects(&self, suspects: Vec<[String; 2]>) {
        if **self.inner.gauges.path_suspects.load() != suspects {
            self.inner.gauges.path_suspects.store(Arc::new(suspects));
        }
    }

    /// `model`'s last health check said up or down; `None` when there is none to speak of.
    pub fn backend_health(&self, model: &ModelName, up: Option<bool>) {
        if let Some(labels) = self.inner.gauges.labels.load().get(model) {
            labels.state.set_health(up);
        }
    }

    /// The cache was asked: tier `exact` or `semantic`; result `hit`, `miss`, `refused`, …
    pub fn cache_looked_up(&self, tier: &'static str, result: &'static str) {
        self.inner.instruments.cache_lookups.add(
            1,
            &[KeyValue::new("result", result), KeyValue::new("tier", tier)],
        );
    }

    /// Cosine of the best candidate a semantic lookup judged.
    pub fn similarity(&self, cosine: f32) {
        self.inner
            .instruments
            .similarity
            .record(f64::from(cosine), &[]);
    }

    /// The cache holds this many entries now.
    pub fn cache_entries(&self, entries: u64) {
        self.inner
            .gauges
            .cache_entries
            .store(entries, Ordering::Relaxed);
    }

    /// A supervisor restarted an actor of this kind.
    pub fn actor_restarted(&self, kind: &'static str) {
        self.inner
            .instruments
            .actor_restarts
            .add(1, &[KeyValue::new("kind", kind)]);
    }

    /// The routing configuration changed, or was refused.
    pub fn config_reloaded(&self, accepted: bool) {
        let result = if accepted { "ok" } else { "refused" };
        self.inner
            .instruments
            .config_reloads
            .add(1, &[KeyValue::new("result", result)]);
    }
}

/// A breaker's state as gauges say it.
const fn level_of(state: &str) -> u8 {
    match state.as_bytes() {
        b"closed" => 0,
        b"half_open" => 1,
        _ => 2,
    }
}

fn widen_requests(instrument: &Instrument) -> Option<Stream> {
    if instrument.name() != "llm_router.requests" {
        return None;
    }
    Stream::builder()
        .with_cardinality_limit(MAX_REQUEST_SERIES)
        .build()
        .ok()
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

#[cfg(test)]
mod tests;
