//! How fast a queue drains, learned only while somebody waits.
//!
//! What is dispatched without waiting says how much came, not how much could have gone; counting
//! it would make an idle queue look slow and refuse the next burst.

use std::time::Duration;

use crate::types::Moment;

/// Backlogged time after which an observation weighs half.
const HALF_LIFE_SECONDS: f64 = 10.0;

/// An observation older than this says nothing about now.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// Whoever waited less than this found a free place.
const NO_WAIT: Duration = Duration::from_millis(10);

/// Dispatched cost per second of backlog, as a moving average.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Throughput {
    work: f64,
    seconds: f64,
    /// Since when the time until the next dispatch counts; `None` while nobody waits.
    mark: Option<Moment>,
    observed: Option<Moment>,
}

impl Throughput {
    pub(super) fn backlog_began(&mut self, now: Moment) {
        self.mark = Some(now);
    }

    pub(super) fn backlog_ended(&mut self) {
        self.mark = None;
    }

    /// An item of this cost goes, having waited so long.
    pub(super) fn dispatched(&mut self, cost: u64, waited: Duration, now: Moment) {
        let Some(mark) = self.mark.replace(now) else {
            return;
        };
        if waited < NO_WAIT {
            return;
        }
        let passed = now.since(mark);
        if passed >= FORGET_AFTER {
            *self = Throughput {
                mark: Some(now),
                ..Throughput::default()
            };
            return;
        }
        let keep = (-passed.as_secs_f64() / HALF_LIFE_SECONDS).exp2();
        self.work = self.work * keep + as_float(cost);
        self.seconds = self.seconds * keep + passed.as_secs_f64();
        self.observed = Some(now);
    }

    /// How long so much cost takes to go; zero while nothing is known.
    pub(super) fn time_for(&self, cost: u64, now: Moment) -> Duration {
        let fresh = self.observed.is_some_and(|at| now.since(at) < FORGET_AFTER);
        if !fresh || self.seconds < NO_WAIT.as_secs_f64() || self.work <= 0.0 {
            return Duration::ZERO;
        }
        let seconds = as_float(cost) * self.seconds / self.work;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// Exact: costs stay far below 2^53.
fn as_float(cost: u64) -> f64 {
    cost as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn nothing_seen_predicts_no_wait() {
        assert_eq!(
            Throughput::default().time_for(1_000_000, at(0)),
            Duration::ZERO
        );
    }

    #[test]
    fn dispatches_without_waiting_teach_nothing() {
        let mut throughput = Throughput::default();
        for second in 0..100 {
            throughput.backlog_began(at(second * 1_000));
            throughput.dispatched(100, Duration::ZERO, at(second * 1_000));
            throughput.backlog_ended();
        }
        assert_eq!(throughput.time_for(1_000_000, at(100_000)), Duration::ZERO);
    }

    #[test]
    fn a_steady_backlog_is_measured() {
        let mut throughput = Throughput::default();
        throughput.backlog_began(at(0));
        for second in 1..=20 {
            throughput.dispatched(100, SECOND, at(second * 1_000));
        }
        let wait = throughput.time_for(1_000, at(20_000)).as_secs_f64();
        assert!((wait - 10.0).abs() < 0.01, "{wait}");
    }

    #[test]
    fn idle_time_between_backlogs_does_not_count() {
        let mut throughput = Throughput::default();
        for minute in 0..5 {
            let began = minute * 50_000;
            throughput.backlog_began(at(began));
            throughput.dispatched(100, SECOND, at(began + 1_000));
            throughput.backlog_ended();
        }
        let wait = throughput.time_for(100, at(201_000)).as_secs_f64();
        assert!((wait - 1.0).abs() < 0.01, "{wait}");
    }

    #[test]
    fn a_long_standstill_is_forgotten() {
        let mut throughput = Throughput::default();
        throughput.backlog_began(at(0));
        throughput.dispatched(100, SECOND, at(1_000));
        assert_eq!(throughput.time_for(100, at(62_000)), Duration::ZERO);
        throughput.dispatched(100, SECOND, at(90_000));
        assert_eq!(throughput.time_for(100, at(90_000)), Duration::ZERO);
    }
}
