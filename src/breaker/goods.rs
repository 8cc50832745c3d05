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
    /// When the last was counted, in milliseconds and one more; 0 for never. Outlives the taking.
    last: AtomicU64,
}

impl Goods {
    /// Counts one good answer.
    pub(super) fn note(&self, now: Moment) {
        let second = now.as_duration().as_secs();
        let millis = u64::try_from(now.as_duration().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis.saturating_add(1), Ordering::Relaxed);
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
        self.buckets
            .iter()
            .filter_map(|bucket| counted(bucket.swap(0, Ordering::Relaxed)))
    }

    /// Shows all counts and leaves them.
    pub(super) fn peek(&self) -> impl Iterator<Item = (Moment, u32)> {
        self.buckets
            .iter()
            .filter_map(|bucket| counted(bucket.load(Ordering::Relaxed)))
    }

    /// When the last was counted.
    pub(super) fn last(&self) -> Option<Moment> {
        let millis = self.last.load(Ordering::Relaxed);
        millis.checked_sub(1).map(Moment::from_millis)
    }

    /// Nothing was ever counted.
    pub(super) fn forget(&self) {
        self.take().for_each(drop);
        self.last.store(0, Ordering::Relaxed);
    }

    fn bucket(&self, second: u64) -> &AtomicU64 {
        let index = usize::try_from(second % SECONDS as u64).unwrap_or_default();
        &self.buckets[index]
    }
}

fn counted(held: u64) -> Option<(Moment, u32)> {
    let count = u32::try_from(held & COUNT_MASK).unwrap_or(u32::MAX);
    let at = Moment::from_millis((held >> COUNT_BITS).saturating_mul(1000));
    (count > 0).then_some((at, count))
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
        assert_eq!(goods.peek().count(), 2, "looking takes nothing");
        assert_eq!(goods.last(), Some(Moment::from_millis(16_100)));
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
