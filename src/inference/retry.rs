//! When a try is repeated on the same candidate: the backoff and the budget. Pure.

use std::time::Duration;

use crate::config::routing::BackoffConfig;
use crate::types::Moment;

/// Repeats that are always allowed to be saved up, so that a quiet node can retry at all.
const RESERVE: f64 = 3.0;
/// Reserve regained per second.
const REGAIN_PER_SECOND: f64 = 1.0;
/// Most repeats saved up from traffic.
const MAX_SAVED: f64 = 100.0;

/// Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", 2015).
///
/// `failed` is how many tries have failed, at least 1; `jitter` lies in [0, 1).
pub(crate) fn backoff(config: &BackoffConfig, failed: u32, jitter: f64) -> Duration {
    let doubled = config
        .base
        .get()
        .saturating_mul(1 << failed.saturating_sub(1).min(16));
    doubled
        .min(config.max.get())
        .mul_f64(jitter.clamp(0.0, 1.0))
}

/// Limits repeats to a share of first tries (after Finagle's retry budget), plus a small reserve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryBudget {
    saved: f64,
    reserve: f64,
    regained: Moment,
}

impl RetryBudget {
    pub(crate) fn new(now: Moment) -> Self {
        RetryBudget {
            saved: 0.0,
            reserve: RESERVE,
            regained: now,
        }
    }

    /// A first try was made: `ratio` of a repeat is saved.
    pub(crate) fn first_try(&mut self, ratio: f64) {
        self.saved = (self.saved + ratio).min(MAX_SAVED);
    }

    /// Takes one repeat, if there is one.
    pub(crate) fn take(&mut self, now: Moment) -> bool {
        let passed = now.since(self.regained).as_secs_f64();
        self.reserve = (self.reserve + passed * REGAIN_PER_SECOND).min(RESERVE);
        self.regained = now;
        if self.saved >= 1.0 {
            self.saved -= 1.0;
            return true;
        }
        let left = self.reserve >= 1.0;
        if left {
            self.reserve -= 1.0;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{RetryBudget, backoff};
    use crate::config::routing::BackoffConfig;
    use crate::types::Moment;

    #[test]
    fn a_total_outage_costs_a_fifth_more_tries_and_no_more() {
        let mut budget = RetryBudget::new(Moment::ZERO);
        let repeats = (0..1000)
            .filter(|_| {
                budget.first_try(0.2);
                budget.take(Moment::ZERO)
            })
            .count();
        assert!((200..=203).contains(&repeats), "{repeats}");
    }

    #[test]
    fn a_quiet_node_can_still_retry_and_regains_its_reserve() {
        let mut budget = RetryBudget::new(Moment::ZERO);
        for _ in 0..3 {
            assert!(budget.take(Moment::ZERO));
        }
        assert!(!budget.take(Moment::ZERO));
        assert!(budget.take(Moment::from_millis(1100)));
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_configured(failed in 1u32..200, jitter in 0.0f64..1.0) {
            let config = BackoffConfig::default();
            let wait = backoff(&config, failed, jitter);
            prop_assert!(wait <= config.max.get());
            let cap = config.base.get().saturating_mul(1 << failed.saturating_sub(1).min(16));
            prop_assert!(wait <= cap.max(Duration::ZERO));
        }
    }
}
