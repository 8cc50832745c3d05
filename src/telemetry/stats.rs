//! The node's own counters behind `GET /admin/v1/stats`, named as the seeds named them.
//!
//! Everything counts from the node's start; rates over a window are the business of whoever
//! scrapes `/metrics`. Memory is bounded: two histograms of some thirty kilobytes and at most
//! [`MAX_MODELS`] names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::metrics::OTHER;
use super::record::RequestRecord;
use crate::inference::CacheStatus;
use crate::types::report::{Percentiles, Stats};
use crate::types::{Moment, Priority};

/// Most model names counted apart; answers of further ones are counted under `_other`.
pub const MAX_MODELS: usize = 1024;
/// Longest latency told apart, in microseconds: four hours, the longest a request may take.
const MAX_MICROS: u64 = 4 * 3600 * 1_000_000;

/// What has been counted since the node started.
pub struct Counters {
    started: Moment,
    successes: AtomicU64,
    failures: AtomicU64,
    exact_hits: AtomicU64,
    semantic_hits: AtomicU64,
    by_priority: [AtomicU64; Priority::ALL.len()],
    answers: Mutex<Answers>,
}

/// Kept under one lock, taken once per answered request.
struct Answers {
    micros: u64,
    latency: Latency,
    first_byte: Latency,
    by_model: BTreeMap<String, u64>,
}

/// A histogram of microseconds with two significant digits.
struct Latency(Option<Histogram<u64>>);

impl Latency {
    fn new() -> Self {
        // The bounds are constants that the library accepts; should it ever refuse them, stats go
        // without percentiles rather than the node without an answer.
        Latency(Histogram::new_with_bounds(1, MAX_MICROS, 2).ok())
    }

    fn record(&mut self, micros: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(micros.max(1));
        }
    }

    fn percentiles(&self) -> Percentiles {
        let Some(histogram) = self.0.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Percentiles::default();
        };
        let at = |quantile: f64| millis(histogram.value_at_quantile(quantile));
        Percentiles {
            p50: at(0.50),
            p90: at(0.90),
            p99: at(0.99),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and microseconds stay far below 2^53"
)]
fn float(count: u64) -> f64 {
    count as f64
}

fn millis(micros: u64) -> f64 {
    float(micros) / 1000.0
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Counters {
    /// Nothing counted yet; uptime counts from `now`.
    pub fn new(now: Moment) -> Self {
        Counters {
            started: now,
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            exact_hits: AtomicU64::new(0),
            semantic_hits: AtomicU64::new(0),
            by_priority: std::array::from_fn(|_| AtomicU64::new(0)),
            answers: Mutex::new(Answers {
                micros: 0,
                latency: Latency::new(),
                first_byte: Latency::new(),
                by_model: BTreeMap::new(),
            }),
        }
    }

    /// Counts one finished request. Latencies and models are those of answered requests; a hit is
    /// counted as a hit, not for the model that once answered.
    pub fn record(&self, record: &RequestRecord) {
        self.by_priority[record.priority.index()].fetch_add(1, Ordering::Relaxed);
        if record.outcome.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.successes.fetch_add(1, Ordering::Relaxed);
        match record.cache {
            CacheStatus::Exact => self.exact_hits.fetch_add(1, Ordering::Relaxed),
            CacheStatus::Semantic => self.semantic_hits.fetch_add(1, Ordering::Relaxed),
            CacheStatus::Miss | CacheStatus::Bypass => 0,
        };
        let total = micros(record.total);
        let mut answers = self.answers.lock();
        answers.micros = answers.micros.saturating_add(total);
        answers.latency.record(total);
        if let Some(first_byte) = record.first_byte {
            answers.first_byte.record(micros(first_byte));
        }
        if let Some(model) = record.model.as_ref().filter(|_| !record.is_hit()) {
            answers.count(model.as_str());
        }
    }

    /// What has been counted, at `now`. `in_flight` is left at zero and
    /// `cache_routes` empty: the recorder and the cache know them.
    pub fn snapshot(&self, now: Moment) -> Stats {
        let successes = self.successes.load(Ordering::Relaxed);
        let failures = self.failures.load(Ordering::Relaxed);
        let semantic_hits = self.semantic_hits.load(Ordering::Relaxed);
        let exact_hits = self.exact_hits.load(Ordering::Relaxed);
        let total_requests = successes + failures;
        let answers = self.answers.lock();
        Stats {
            total_requests,
            successes,
            failures,
            success_rate: ratio(successes, total_requests).unwrap_or(1.0),
            cache_hits: exact_hits + semantic_hits,
            semantic_hits,
            avg_latency_ms: ratio(answers.micros, successes).unwrap_or(0.0) / 1000.0,
            latency_ms: answers.latency.percentiles(),
            first_byte_ms: answers.first_byte.percentiles(),
            requests_by_model: answers.by_model.clone(),
            requests_by_priority: Priority::ALL
                .iter()
                .map(|level| {
                    let count = self.by_priority[level.index()].load(Ordering::Relaxed);
                    (level.as_str().to_owned(), count)
                })
                .collect(),
            in_flight: 0,
            uptime_seconds: now.since(self.started).as_secs(),
            cache_routes: Vec::new(),
        }
    }
}

impl Answers {
    fn count(&mut self, model: &str) {
        if let Some(count) = self.by_model.get_mut(model) {
            *count += 1;
            return;
        }
        let name = if self.by_model.len() < MAX_MODELS {
            model
        } else {
            OTHER
        };
        *self.by_model.entry(name.to_owned()).or_default() += 1;
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| float(part) / float(whole))
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters")
            .field("successes", &self.successes)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::types::{ModelName, RequestId};

    fn answered(model: &str, millis: u64) -> RequestRecord {
        RequestRecord {
            model: Some(ModelName::from(model)),
            outcome: Ok(()),
            status: 200,
            cache: CacheStatus::Miss,
            total: Duration::from_millis(millis),
            first_byte: Some(Duration::from_millis(millis / 2)),
            ..RequestRecord::new(RequestId::generate(), "http", "/v1/chat/completions")
        }
    }

    #[test]
    fn a_node_that_has_done_nothing_reports_success_and_no_latency() {
        let stats = Counters::new(Moment::ZERO).snapshot(Moment::from_millis(2500));
        assert_eq!(stats.total_requests, 0);
        assert!((stats.success_rate - 1.0).abs() < f64::EPSILON);
        assert!(stats.avg_latency_ms.abs() < f64::EPSILON);
        assert!(stats.latency_ms.p99.abs() < f64::EPSILON);
        assert_eq!(stats.uptime_seconds, 2);
        assert_eq!(stats.requests_by_priority.len(), 4);
    }

    #[test]
    fn a_failure_counts_without_touching_latency_or_models() {
        let counters = Counters::new(Moment::ZERO);
        counters.record(&answered("a", 100));
        let failed = RequestRecord {
            outcome: Err(Kind::UpstreamFailed),
            total: Duration::from_secs(60),
            ..answered("a", 0)
        };
        counters.record(&failed);
        let stats = counters.snapshot(Moment::ZERO);
        assert_eq!(
            (stats.total_requests, stats.successes, stats.failures),
            (2, 1, 1)
        );
        assert!((stats.success_rate - 0.5).abs() < f64::EPSILON);
        assert!((stats.avg_latency_ms - 100.0).abs() < 0.001);
        assert_eq!(stats.requests_by_model.get("a"), Some(&1));
    }

    #[test]
    fn hits_models_and_failures_add_up_to_the_total() {
        let counters = Counters::new(Moment::ZERO);
        for cache in [
            CacheStatus::Miss,
            CacheStatus::Exact,
            CacheStatus::Semantic,
            CacheStatus::Bypass,
        ] {
            counters.record(&RequestRecord {
                cache,
                ..answered("a", 10)
            });
        }
        counters.record(&RequestRecord {
            outcome: Err(Kind::Overloaded),
            priority: Priority::Low,
            ..answered("a", 10)
        });
        let stats = counters.snapshot(Moment::ZERO);
        assert_eq!((stats.cache_hits, stats.semantic_hits), (2, 1));
        let by_model: u64 = stats.requests_by_model.values().sum();
        assert_eq!(
            by_model + stats.cache_hits + stats.failures,
            stats.total_requests
        );
        let by_priority: u64 = stats.requests_by_priority.values().sum();
        assert_eq!(by_priority, stats.total_requests);
        assert_eq!(stats.requests_by_priority["low"], 1);
    }

    #[test]
    fn percentiles_are_within_one_percent() {
        let counters = Counters::new(Moment::ZERO);
        for millis in 1..=1000 {
            counters.record(&answered("a", millis));
        }
        let latency = counters.snapshot(Moment::ZERO).latency_ms;
        for (given, expected) in [
            (latency.p50, 500.0),
            (latency.p90, 900.0),
            (latency.p99, 990.0),
        ] {
            assert!(
                (given - expected).abs() <= expected * 0.011,
                "{given} is not {expected}"
            );
        }
    }

    #[test]
    fn a_request_longer_than_the_scale_is_counted_at_its_end() {
        let counters = Counters::new(Moment::ZERO);
        counters.record(&RequestRecord {
            total: Duration::MAX,
            ..answered("a", 0)
        });
        let latency = counters.snapshot(Moment::ZERO).latency_ms;
        assert!(latency.p99 >= 4.0 * 3_600_000.0 * 0.98, "{latency:?}");
    }

    #[test]
    fn model_names_are_bounded_and_the_rest_is_other() {
        let counters = Counters::new(Moment::ZERO);
        for index in 0..MAX_MODELS + 10 {
            counters.record(&answered(&format!("m{index}"), 1));
        }
        let by_model = counters.snapshot(Moment::ZERO).requests_by_model;
        assert_eq!(by_model.len(), MAX_MODELS + 1);
        assert_eq!(by_model[OTHER], 10);
    }
}
