//! The numbers a breaker goes by.

use std::time::Duration;

/// When to open, how long to stay so, and when to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Consecutive hard failures that open it; 0 counts as 1.
    pub failure_threshold: u32,
    /// How long it stays open before the first probe; up to a tenth is added as jitter.
    pub recovery_timeout: Duration,
    /// Consecutive good probes that close it; 0 counts as 1.
    pub success_threshold: u32,
    /// Answered calls of the last 10 s below which their rate of failure says nothing.
    pub rate_min_calls: u32,
    /// Percentage of them failing that opens it, 1 to 100.
    pub rate_percent: u32,
    /// How long a probe may keep the only place before it counts as lost. Longer than any attempt.
    pub probe_lease: Duration,
    /// How long the first token may take: a leased probe should have that much time.
    pub first_token: Duration,
}

/// With fewer calls than this a rate is chance.
const RATE_MIN_CALLS: u32 = 10;

impl Default for Settings {
    /// 5 failures, 60 s, 3 probes; half of at least 10 calls; a lease of 10 minutes.
    fn default() -> Self {
        Settings {
            failure_threshold: 5,
            recovery_timeout: Duration::from_secs(60),
            success_threshold: 3,
            rate_min_calls: RATE_MIN_CALLS,
            rate_percent: 50,
            probe_lease: Duration::from_secs(600),
            first_token: Duration::ZERO,
        }
    }
}

impl Settings {
    /// The three numbers operators set; the rest follows. Whoever allows more failures in a row
    /// than ten calls hold means it: the rate then waits for twice as many calls, so it never opens
    /// on fewer failures than the threshold.
    pub fn new(failure_threshold: u32, recovery_timeout: Duration, success_threshold: u32) -> Self {
        Settings {
            failure_threshold,
            recovery_timeout,
            success_threshold,
            rate_min_calls: failure_threshold.saturating_mul(2).max(RATE_MIN_CALLS),
            ..Settings::default()
        }
    }
}
