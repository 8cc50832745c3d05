//! Good answers, counted without waking the breaker.
//!
//! While a breaker is closed and nothing has failed, a good answer changes nothing but the count
//! its failure rate is measured against. So it is only counted here, per second, and the actor
//! takes the counts over before it judges the next thing that is not good.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::types::Moment;

/// Seconds kept; more than the machine's window.
const SECONDS: usize = 16;
/// A bucket holds the second in its upper and the count in its lower bits.
const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Counts of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Goods {
    buckets: [AtomicU64; SECONDS],
}

impl Goods {
    /// Counts one good answer.
    pub(super) fn note(&self, now: Moment) {
        let second = now.as_duration().as_secs();
        let one_more = |held: u64| {
            let fresh = held >> COUNT_BITS != second;
            let count = if fresh { 0 } else { held & COUNT_MASK };
            Some((second << COUNT_BITS) | (count + 1).min(COUNT_MASK))
        };
        let bucket = self.bucket(second);
        // the closure always returns a value, so this cannot fail
        let _ = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
    }

    /// Takes all counts: when, and how many.
    pub(super) fn take(&self) -> impl Iterator<Item = (Moment, u32)> {
        self.buckets.iter().filter_map(|bucket| {
            let held = bucket.swap(0, Ordering::Relaxed);
            let count = u32::try_from(held & COUNT_MASK).unwrap_or(u32::MAX);
            let at = Moment::from_millis((held >> COUNT_BITS).saturating_mul(1000));
            (count > 0).then_some((at, count))
        })
    }

    fn bucket(&self, second: u64) -> &AtomicU64 {
        let index = usize::try_from(second % SECONDS as u64).unwrap_or_default();
        &self.buckets[index]
    }
}

#[cfg(test)]
mod tests {
    use super::Goods;
    use crate::types::Moment;

    #[test]
    fn counts_are_taken_once_and_with_their_second() {
        let goods = Goods::default();
        for millis in [100, 900, 5_500, 16_100] {
            goods.note(Moment::from_millis(millis));
        }
        let mut taken: Vec<_> = goods.take().collect();
        taken.sort();
        let expected = [(5_000, 1), (16_000, 1)].map(|(at, n)| (Moment::from_millis(at), n));
        assert_eq!(
            taken, expected,
            "the counts of second 0 gave way to those of second 16"
        );
        assert_eq!(goods.take().count(), 0);
    }
}
