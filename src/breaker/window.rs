//! Answered calls of the last ten seconds, in buckets of one second.

use crate::types::Moment;

const SECONDS: usize = 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    second: u64,
    good: u32,
    hard: u32,
    slow: u32,
}

/// How many calls were good, how many of those slow to begin, and how many failed hard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    pub(super) good: u32,
    pub(super) hard: u32,
    pub(super) slow: u32,
}

impl Calls {
    pub(super) fn answered(self) -> u64 {
        u64::from(self.hard) + u64::from(self.good)
    }
}

/// A ring of ten buckets; old ones are overwritten, never swept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    buckets: [Bucket; SECONDS],
}

impl Window {
    pub(super) fn good(&mut self, now: Moment) {
        self.good_many(now, 1);
    }

    /// Calls of one second at once. A second whose bucket has been used again is over.
    pub(super) fn good_many(&mut self, at: Moment, count: u32) {
        if self.bucket_second(at) <= at.as_duration().as_secs() {
            let bucket = self.bucket(at);
            bucket.good = bucket.good.saturating_add(count);
        }
    }

    fn bucket_second(&self, at: Moment) -> u64 {
        let index = usize::try_from(at.as_duration().as_secs() % SECONDS as u64);
        self.buckets[index.unwrap_or_default()].second
    }

    /// One of the good calls was slow.
    pub(super) fn slow(&mut self, now: Moment) {
        let bucket = self.bucket(now);
        bucket.slow = bucket.slow.saturating_add(1);
    }

    pub(super) fn hard(&mut self, now: Moment) {
        let bucket = self.bucket(now);
        bucket.hard = bucket.hard.saturating_add(1);
    }

    pub(super) fn calls(&self, now: Moment) -> Calls {
        self.by_age(now)
            .fold(Calls::default(), |sum, (_, calls)| Calls {
                good: sum.good.saturating_add(calls.good),
                hard: sum.hard.saturating_add(calls.hard),
                slow: sum.slow.saturating_add(calls.slow),
            })
    }

    /// Calls by age in seconds, those of the current one being 0.
    pub(super) fn by_age(&self, now: Moment) -> impl Iterator<Item = (usize, Calls)> {
        let second = now.as_duration().as_secs();
        self.buckets.iter().filter_map(move |bucket| {
            let age = usize::try_from(second.checked_sub(bucket.second)?).ok()?;
            let calls = Calls {
                good: bucket.good,
                hard: bucket.hard,
                slow: bucket.slow,
            };
            // a bucket never used stands at second 0 beside the one that is
            (age < SECONDS && calls != Calls::default()).then_some((age, calls))
        })
    }

    fn bucket(&mut self, now: Moment) -> &mut Bucket {
        let second = now.as_duration().as_secs();
        let index = usize::try_from(second % SECONDS as u64).unwrap_or_default();
        let bucket = &mut self.buckets[index];
        if bucket.second != second {
            *bucket = Bucket {
                second,
                ..Bucket::default()
            };
        }
        bucket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_forgotten_after_ten_seconds() {
        let mut window = Window::default();
        window.hard(Moment::from_millis(500));
        window.good(Moment::from_millis(9_900));
        let both = Calls {
            good: 1,
            hard: 1,
            slow: 0,
        };
        assert_eq!(window.calls(Moment::from_millis(9_999)), both);
        let later = Calls {
            good: 1,
            hard: 0,
            slow: 0,
        };
        assert_eq!(window.calls(Moment::from_millis(10_000)), later);
        assert_eq!(window.calls(Moment::from_millis(60_000)), Calls::default());
    }

    #[test]
    fn a_bucket_used_again_starts_empty() {
        let mut window = Window::default();
        for _ in 0..7 {
            window.hard(Moment::from_millis(3_000));
        }
        window.good(Moment::from_millis(13_000));
        assert_eq!(
            window.calls(Moment::from_millis(13_000)),
            Calls {
                good: 1,
                hard: 0,
                slow: 0
            }
        );
    }
}
