//! The way out to an OTLP/gRPC collector, and how little it may disturb the node.
//!
//! Exporting has a thread and a small runtime of its own. Spans wait in a bounded queue and are
//! dropped when it is full; a collector that is away is complained about once a minute.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_otlp::{WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, Temporality};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter,
};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint};

use super::sampling::Choice;
use crate::config::node::{CaptureContent, SamplingConfig};
use crate::error::{Error, Kind};
use crate::types::Moment;

/// Most spans waiting for export; further ones are dropped.
const MAX_QUEUED_SPANS: usize = 2048;
/// Most spans in one export.
const MAX_BATCH: usize = 512;
/// The same where prompts and answers stand on them: of such spans even the largest together are less
/// than the 4 MiB that collectors take unless told otherwise.
const MAX_BATCH_WITH_CONTENT: usize = 64;
/// Longest a finished span waits for company.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// Between two exports of all metrics.
const METRICS_INTERVAL: Duration = Duration::from_secs(15);
/// Longest to wait for a connection to the collector.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest one export may take, its retries included.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two log lines about a collector that does not answer.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// The exporters of one collector.
pub(super) struct Exporters {
    pub(super) traces: SdkTracerProvider,
    pub(super) metrics: PeriodicReader<Quiet<opentelemetry_otlp::MetricExporter>>,
    pub(super) runtime: Runtime,
    pub(super) complaints: Arc<Complaints>,
}

/// Connects lazily: a collector that is not there yet is no error.
pub(super) fn connect(
    endpoint: &str,
    resource: Resource,
    sampling: &SamplingConfig,
    content: CaptureContent,
) -> Result<Exporters, Error> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("otlp")
        .enable_all()
        .build()
        .map_err(|source| {
            Error::new(Kind::Internal, "cannot start the export thread").with_source(source)
        })?;
    let (channel, collector) = channel(endpoint, &runtime)?;
    let complaints = Arc::new(Complaints::new(collector));
    let built = |source: opentelemetry_otlp::ExporterBuildError| {
        Error::new(Kind::InvalidConfig, "cannot set up the otlp exporter").with_source(source)
    };
    let spans = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_channel(channel.clone())
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(built)?;
    let metrics = opentelemetry_otlp::MetricExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_timeout(EXPORT_TIMEOUT)
        .with_temporality(Temporality::Cumulative)
        .build()
        .map_err(built)?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(MAX_QUEUED_SPANS)
        .with_max_export_batch_size(match content {
            CaptureContent::Off => MAX_BATCH,
            CaptureContent::On => MAX_BATCH_WITH_CONTENT,
        })
        .with_scheduled_delay(BATCH_DELAY)
        .build();
    let spans = Quiet {
        inner: spans,
        complaints: Arc::clone(&complaints),
    };
    let processor = BatchSpanProcessor::builder(spans)
        .with_batch_config(batches)
        .build();
    let traces = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Choice::new(sampling))
        .with_span_processor(processor)
        .build();
    let metrics = PeriodicReader::builder(Quiet {
        inner: metrics,
        complaints: Arc::clone(&complaints),
    })
    .with_interval(METRICS_INTERVAL)
    .build();
    Ok(Exporters {
        traces,
        metrics,
        runtime,
        complaints,
    })
}

fn channel(endpoint: &str, runtime: &Runtime) -> Result<(Channel, String), Error> {
    let refuse = |problem: &str| {
        Error::new(
            Kind::InvalidConfig,
            format!("telemetry.otlp_endpoint {problem}"),
        )
        .with_param("telemetry.otlp_endpoint")
    };
    let endpoint = Endpoint::from_shared(endpoint.to_owned())
        .map_err(|source| refuse("is not a URL").with_source(source))?;
    let uri = endpoint.uri();
    if uri.scheme_str() != Some("http") {
        return Err(refuse(
            "must look like http://host:4317; for TLS, use a collector beside the node",
        ));
    }
    let collector = match (uri.host(), uri.port_u16()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return Err(refuse("names no host")),
    };
    let _context = runtime.enter();
    let channel = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(EXPORT_TIMEOUT)
        .connect_lazy();
    Ok((channel, collector))
}

/// Keeps count of failed exports and says so at most once a minute.
pub(super) struct Complaints {
    collector: String,
    failures: AtomicU64,
    /// When the next line may be written, in milliseconds of [`Moment`].
    next: AtomicU64,
}

impl Complaints {
    fn new(collector: String) -> Self {
        Complaints {
            collector,
            failures: AtomicU64::new(0),
            next: AtomicU64::new(0),
        }
    }

    /// Exports that failed so far.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn hear(&self, result: &OTelSdkResult) {
        let Err(error) = result else { return };
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if self.may_speak(Moment::now()) {
            tracing::warn!(
                target: "llm_router::telemetry",
                collector = self.collector,
                failures,
                %error,
                "cannot reach the collector, spans and metrics are dropped"
            );
        }
    }

    fn may_speak(&self, now: Moment) -> bool {
        let millis =
            |moment: Moment| u64::try_from(moment.as_duration().as_millis()).unwrap_or(u64::MAX);
        let next = self.next.load(Ordering::Relaxed);
        let after = millis(now + COMPLAINT_INTERVAL);
        millis(now) >= next
            && self
                .next
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// An exporter whose failures are complained about, rarely.
pub(super) struct Quiet<E> {
    inner: E,
    complaints: Arc<Complaints>,
}

impl<E> fmt::Debug for Quiet<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quiet")
            .field("collector", &self.complaints.collector)
            .finish()
    }
}

impl<E: SpanExporter> SpanExporter for Quiet<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.inner.export(batch).await;
        self.complaints.hear(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Quiet<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        self.complaints.hear(&result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}

#[cfg(test)]
mod tests;
