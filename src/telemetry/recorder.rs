//! The one call that ends a request's story: metrics, stats, span and access log together.

use std::sync::Arc;

use tracing::Span;

use super::log::access_log;
use super::metrics::{InFlightGuard, Metrics};
use super::record::RequestRecord;
use super::spans;
use super::stats::Counters;
use crate::types::Moment;
use crate::types::report::Stats;

/// Counts a request as running until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    _guard: InFlightGuard,
}

/// Tells everyone about finished requests. Cheap to clone; all clones are the same recorder.
///
/// ```
/// use llm_router::telemetry::{Metrics, Recorder, RequestRecord};
/// use llm_router::types::RequestId;
///
/// let recorder = Recorder::new(Metrics::detached());
/// let running = recorder.enter();
/// let record = RequestRecord::new(RequestId::generate(), "library", "chat");
/// drop(running);
/// recorder.finish(&record, &tracing::Span::none());
/// assert_eq!(recorder.stats().total_requests, 1);
/// ```
#[derive(Clone, Debug)]
pub struct Recorder {
    metrics: Metrics,
    counters: Arc<Counters>,
}

impl Recorder {
    /// A recorder whose stats start now.
    pub fn new(metrics: Metrics) -> Self {
        Recorder {
            metrics,
            counters: Arc::new(Counters::new(Moment::now())),
        }
    }

    /// The instruments.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A request begins; hold the guard until it has ended.
    pub fn enter(&self) -> InFlight {
        InFlight {
            _guard: self.metrics.enter(),
        }
    }

    /// A request has ended. Call it exactly once a request, after its last byte; `span` is the
    /// request's span ([`spans::request`]) or [`Span::none`].
    pub fn finish(&self, record: &RequestRecord, span: &Span) {
        self.metrics.request_ended(record);
        self.counters.record(record);
        access_log(record, span);
        spans::request_ended(span, record);
    }

    /// A call that nobody asked for has ended: it is told apart from the callers' requests in
    /// metrics and log, and counts in none of their figures.
    pub fn shadow_ended(&self, record: &RequestRecord, span: &Span) {
        if let Some((model, cost)) = record.model.as_ref().zip(record.cost_usd) {
            self.metrics.shadow_cost(model, cost);
        }
        access_log(record, span);
        spans::request_ended(span, record);
    }

    /// A call whose answer nobody gets has ended: it is told apart as [`Recorder::shadow_ended`]
    /// does.
    pub fn mirror_ended(&self, record: &RequestRecord, span: &Span) {
        self.metrics.mirror_ended(record);
        access_log(record, span);
        spans::request_ended(span, record);
    }

    /// The node's counters since it started.
    pub fn stats(&self) -> Stats {
        let mut stats = self.counters.snapshot(Moment::now());
        stats.in_flight = self.metrics.in_flight();
        stats
    }
}
