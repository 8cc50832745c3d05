//! How a model has been doing: moving averages of its times. Pure.

use std::time::Duration;

/// Weight of the newest observation.
const ALPHA: f64 = 0.2;

/// No answer is slow that begins sooner than this.
const SLOW_AFTER: Duration = Duration::from_secs(20);
/// Nor one that begins within so many times the average.
const SLOW_TIMES: f64 = 5.0;

/// Moving averages, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Profile {
    /// Until the first real delta.
    pub(crate) first_token: Option<f64>,
    /// Until the end of the answer.
    pub(crate) latency: Option<f64>,
    /// Attempts answered.
    pub(crate) successes: u64,
    /// Attempts failed.
    pub(crate) failures: u64,
}

impl Profile {
    /// An answer that begins after this long is slow for this model.
    pub(crate) fn is_slow(&self, first_token: Duration) -> bool {
        let usual = self.first_token.unwrap_or(0.0) * SLOW_TIMES;
        first_token > SLOW_AFTER && first_token.as_secs_f64() > usual
    }

    /// Takes in an answered attempt.
    pub(crate) fn answered(&mut self, first_token: Duration, latency: Duration) {
        self.successes += 1;
        blend(&mut self.first_token, first_token);
        blend(&mut self.latency, latency);
    }

    /// Takes in a failed attempt; its time says nothing about how fast answers come.
    pub(crate) fn failed(&mut self) {
        self.failures += 1;
    }
}

fn blend(average: &mut Option<f64>, seen: Duration) {
    let seen = seen.as_secs_f64();
    *average = Some(average.map_or(seen, |old| old + ALPHA * (seen - old)));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Profile;

    #[test]
    fn an_average_follows_a_change_without_jumping() {
        let mut profile = Profile::default();
        let second = Duration::from_secs(1);
        profile.answered(second, second);
        profile.answered(second * 2, second * 2);
        let latency = profile.latency.unwrap();
        assert!(latency > 1.0 && latency < 1.5);
        for _ in 0..50 {
            profile.answered(second * 2, second * 2);
        }
        assert!((profile.latency.unwrap() - 2.0).abs() < 0.01);
    }

    #[test]
    fn slow_is_what_is_slow_for_the_model_and_never_under_twenty_seconds() {
        let seconds = Duration::from_secs;
        let mut profile = Profile::default();
        assert!(profile.is_slow(seconds(21)) && !profile.is_slow(seconds(20)));
        profile.answered(seconds(10), seconds(10));
        assert!(!profile.is_slow(seconds(49)) && profile.is_slow(seconds(51)));
    }

    #[test]
    fn failures_leave_the_averages_alone() {
        let mut profile = Profile::default();
        profile.failed();
        assert_eq!((profile.latency, profile.failures), (None, 1));
    }
}
