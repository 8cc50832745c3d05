//! How a model has been doing: moving averages of its times, and the last few of them. Pure.

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

/// Times that are remembered of each kind.
const REMEMBERED: usize = 256;
/// Fewer times than this say nothing about a percentile.
const ENOUGH: usize = 20;

/// The last times until the first word of a stream, and until the end of a whole answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits {
    streams: Ring,
    wholes: Ring,
}

#[derive(Clone, Debug, Default)]
struct Ring {
    times: Vec<Duration>,
    next: usize,
}

impl Waits {
    /// Takes in one; that of an attempt given up is the least it would have been.
    pub(crate) fn note(&mut self, stream: bool, time: Duration) {
        let ring = if stream {
            &mut self.streams
        } else {
            &mut self.wholes
        };
        match ring.times.get_mut(ring.next) {
            Some(oldest) => *oldest = time,
            None => ring.times.push(time),
        }
        ring.next = (ring.next + 1) % REMEMBERED;
    }

    /// The time that `percentile` percent of the answers needed at most; `None` while too few are
    /// known.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among a few hundred"
    )]
    pub(crate) fn percentile(&self, stream: bool, percentile: f64) -> Option<Duration> {
        let ring = if stream { &self.streams } else { &self.wholes };
        if ring.times.len() < ENOUGH {
            return None;
        }
        let mut times = ring.times.clone();
        let rank = (percentile.clamp(0.0, 100.0) / 100.0 * times.len() as f64).ceil() as usize;
        let at = rank.clamp(1, times.len()) - 1;
        Some(*times.select_nth_unstable(at).1)
    }
}

fn blend(average: &mut Option<f64>, seen: Duration) {
    let seen = seen.as_secs_f64();
    *average = Some(average.map_or(seen, |old| old + ALPHA * (seen - old)));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Profile, Waits};

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
    fn a_percentile_needs_twenty_times_and_follows_the_latest() {
        let mut waits = Waits::default();
        let millis = Duration::from_millis;
        (1..20).for_each(|time| waits.note(true, millis(time)));
        assert_eq!(waits.percentile(true, 95.0), None);
        waits.note(true, millis(20));
        assert_eq!(waits.percentile(true, 95.0), Some(millis(19)));
        assert_eq!(waits.percentile(true, 50.0), Some(millis(10)));
        assert_eq!(
            waits.percentile(false, 50.0),
            None,
            "wholes are another kind"
        );
        (0..300).for_each(|_| waits.note(true, millis(500)));
        assert_eq!(waits.percentile(true, 50.0), Some(millis(500)));
        assert!(waits.streams.times.len() <= super::REMEMBERED);
    }

    #[test]
    fn failures_leave_the_averages_alone() {
        let mut profile = Profile::default();
        profile.failed();
        assert_eq!((profile.latency, profile.failures), (None, 1));
    }
}
