//! Builds what tells the outside about this node, installs it, and flushes it at the end.
//!
//! [`Telemetry::init`] is for a process; [`Telemetry::prepare`] and [`Telemetry::subscriber`] are
//! its two halves, for tests and embedders that have a subscriber of their own.

use std::fmt;
use std::io::IsTerminal;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::content;
use super::export::{self, Complaints};
use super::lines::Lines;
use super::metrics::Metrics;
use super::spans;
use crate::config::node::{CaptureContent, LogFormat, SamplingConfig};
use crate::error::{Error, Kind};
use crate::types::Moment;

/// Longest [`Telemetry::shutdown`] waits for the collector.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A layer of the node's subscriber.
pub type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// What is told, and to whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// OTLP/gRPC collector, as `http://host:4317`; nothing is exported without one.
    pub otlp_endpoint: Option<String>,
    /// Which traces are told.
    pub sampling: SamplingConfig,
    /// Whether prompts and answers stand on spans.
    pub content: CaptureContent,
    /// Log format.
    pub log: LogFormat,
    /// What is logged, in the syntax of `RUST_LOG`: `info`, `llm_router=debug,warn`, …
    pub level: String,
    /// This node's name, `service.instance.id`.
    pub node: String,
    /// This program's version, `service.version`.
    pub service_version: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            otlp_endpoint: None,
            sampling: SamplingConfig::default(),
            content: CaptureContent::default(),
            log: LogFormat::default(),
            level: "info".to_owned(),
            node: String::new(),
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The providers of this process. Keep it until the end and call [`Telemetry::shutdown`].
pub struct Telemetry {
    settings: Settings,
    metrics: Metrics,
    export: Option<Export>,
    /// Started with the log, not before: tests and embedders have writers of their own.
    lines: OnceLock<Lines>,
}

/// What runs only when there is a collector.
struct Export {
    traces: SdkTracerProvider,
    complaints: Arc<Complaints>,
    /// Gone once exporting has stopped.
    runtime: Mutex<Option<Runtime>>,
}

impl Telemetry {
    /// Builds everything and makes it the process's own.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`] for a level or an endpoint that cannot be read,
    /// [`Kind::Internal`] when this process has a subscriber already.
    pub fn init(settings: Settings) -> Result<Self, Error> {
        let telemetry = Telemetry::prepare(settings)?;
        telemetry.install()?;
        Ok(telemetry)
    }

    /// Builds everything and changes nothing global.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`] for a level or an endpoint that cannot be read.
    pub fn prepare(settings: Settings) -> Result<Self, Error> {
        filter(&settings.level)?;
        let resource = Resource::builder()
            .with_service_name("llm-router")
            .with_attributes([
                KeyValue::new("service.instance.id", settings.node.clone()),
                KeyValue::new("service.version", settings.service_version.clone()),
            ])
            .build();
        let mut meters = SdkMeterProvider::builder();
        let mut export = None;
        if let Some(endpoint) = &settings.otlp_endpoint {
            let exporters = export::connect(
                endpoint,
                resource.clone(),
                &settings.sampling,
                settings.content,
            )?;
            meters = meters.with_reader(exporters.metrics);
            export = Some(Export {
                traces: exporters.traces,
                complaints: exporters.complaints,
                runtime: Mutex::new(Some(exporters.runtime)),
            });
        }
        let metrics = Metrics::attached(
            meters,
            resource,
            [&settings.service_version, &settings.node],
        )?;
        Ok(Telemetry {
            settings,
            metrics,
            export,
            lines: OnceLock::new(),
        })
    }

    /// Makes the log, the spans and the propagator this process's own; logs go to standard error.
    ///
    /// # Errors
    /// [`Kind::Internal`] when this process has a subscriber already.
    pub fn install(&self) -> Result<(), Error> {
        let writer = BoxMakeWriter::new(self.lines.get_or_init(Lines::start).clone());
        let layers = self.layers(writer, std::io::stderr().is_terminal())?;
        tracing_subscriber::registry()
            .with(layers)
            .try_init()
            .map_err(|source| {
                Error::new(Kind::Internal, "a log subscriber is already installed")
                    .with_source(source)
            })?;
        global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(())
    }

    /// The layers of a subscriber: log lines to `writer`, spans to the collector when there is
    /// one. `ansi` colours text logs.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`] for a level that cannot be read.
    pub fn layers(&self, writer: BoxMakeWriter, ansi: bool) -> Result<Vec<BoxedLayer>, Error> {
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .with_target(true);
        let filter = filter(&self.settings.level)?;
        let lines: BoxedLayer = match self.settings.log {
            LogFormat::Text => lines.with_ansi(ansi).with_filter(filter).boxed(),
            LogFormat::Json => lines
                .with_ansi(false)
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_filter(filter)
                .boxed(),
        };
        let mut layers = vec![lines];
        if let Some(export) = &self.export {
            let told = Targets::new().with_target(spans::TARGET, LevelFilter::INFO);
            let told = match self.settings.content {
                CaptureContent::Off => told,
                CaptureContent::On => told.with_target(content::TARGET, LevelFilter::INFO),
            };
            let spans = tracing_opentelemetry::layer()
                .with_tracer(export.traces.tracer("llm-router"))
                .with_context_activation(false)
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_tracked_inactivity(false)
                .with_filter(told);
            layers.push(spans.boxed());
        }
        Ok(layers)
    }

    /// A subscriber without colours, for [`tracing::subscriber::with_default`].
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`] for a level that cannot be read.
    pub fn subscriber(
        &self,
        writer: BoxMakeWriter,
    ) -> Result<impl Subscriber + Into<Dispatch> + Send + Sync + use<>, Error> {
        Ok(tracing_subscriber::registry().with(self.layers(writer, false)?))
    }

    /// The node's instruments.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Spans are exported.
    pub fn exports(&self) -> bool {
        self.export.is_some()
    }

    /// Exports that came to nothing so far.
    #[cfg(test)]
    pub(super) fn export_failures(&self) -> u64 {
        let export = self.export.as_ref();
        export.map_or(0, |export| export.complaints.failures())
    }

    /// Sends what is still waiting and stops exporting. Blocks for at most [`SHUTDOWN_TIMEOUT`],
    /// whatever the collector does; returns whether everything was sent. A second call has
    /// nothing to do.
    pub fn shutdown(&self) -> bool {
        let sent = self.shut_down_export();
        if let Some(lines) = self.lines.get() {
            lines.flush();
        }
        sent
    }

    fn shut_down_export(&self) -> bool {
        let Some(export) = &self.export else {
            return true;
        };
        let Some(runtime) = export.runtime.lock().take() else {
            return true;
        };
        let failures = export.complaints.failures();
        let deadline = Moment::now() + SHUTDOWN_TIMEOUT;
        // Threads, because both providers wait for the collector in their own time.
        let (done, finished) = mpsc::channel();
        let traces = export.traces.clone();
        let told = done.clone();
        let flush_traces = move || {
            let _ = told.send(traces.shutdown_with_timeout(SHUTDOWN_TIMEOUT).is_ok());
        };
        let meters = self.metrics.provider().clone();
        let flush_metrics = move || {
            let _ = done.send(meters.shutdown().is_ok());
        };
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let started = [
            named("otlp-traces").spawn(flush_traces).is_ok(),
            named("otlp-metrics").spawn(flush_metrics).is_ok(),
        ];
        let mut sent = true;
        for started in started {
            let left = Moment::now().until(deadline);
            sent &= started && finished.recv_timeout(left).unwrap_or(false);
        }
        runtime.shutdown_background();
        sent && export.complaints.failures() == failures
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(lines) = self.lines.get() {
            lines.flush();
        }
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        // Dropping a runtime may not block inside another one.
        if let Some(runtime) = self.runtime.get_mut().take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What is logged. Spans for the collector are no log lines, and without a collector nobody is
/// interested in them, so they cost nothing; the exporter's own complaints would come too often
/// and are made by [`export`] instead.
fn filter(level: &str) -> Result<EnvFilter, Error> {
    let mut filter = EnvFilter::builder().parse(level).map_err(|source| {
        Error::new(Kind::InvalidConfig, "the log level cannot be read")
            .with_param("telemetry.level")
            .with_source(source)
    })?;
    for target in [spans::TARGET, content::TARGET, "opentelemetry"] {
        if level.contains(target) {
            continue;
        }
        if let Ok(directive) = format!("{target}=off").parse() {
            filter = filter.add_directive(directive);
        }
    }
    // at info it tells of every vote, and at warn twenty times a second of a peer that is away; the
    // cluster says itself who is not heard of
    if !level.contains("openraft")
        && let Ok(directive) = "openraft=error".parse()
    {
        filter = filter.add_directive(directive);
    }
    Ok(filter)
}

#[cfg(test)]
mod tests;
