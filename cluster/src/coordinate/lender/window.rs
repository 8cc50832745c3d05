//! What was spent of one rate in the last minute.

use std::collections::VecDeque;
use std::time::Duration;

/// Buckets of a second. One more than sixty: the oldest second is only partly within the minute,
/// and counts in full.
const SECONDS: u64 = 61;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// Second and amount, the oldest first.
    buckets: VecDeque<(u64, u64)>,
    sum: u64,
}

impl Window {
    /// Something was spent, at the latest at this time.
    pub(super) fn add(&mut self, at: Duration, amount: u64) {
        if amount == 0 {
            return;
        }
        let second = at.as_secs();
        self.sum = self.sum.saturating_add(amount);
        let place = self.buckets.partition_point(|(other, _)| *other < second);
        match self.buckets.get_mut(place) {
            Some((other, sum)) if *other == second => *sum = sum.saturating_add(amount),
            Some(_) | None => self.buckets.insert(place, (second, amount)),
        }
    }

    /// What was spent in the minute before `now`.
    pub(super) fn sum(&mut self, now: Duration) -> u64 {
        let first = (now.as_secs() + 1).saturating_sub(SECONDS);
        while let Some((second, amount)) = self.buckets.front()
            && *second < first
        {
            self.sum = self.sum.saturating_sub(*amount);
            self.buckets.pop_front();
        }
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Window;

    #[test]
    fn what_was_spent_counts_for_a_whole_minute() {
        let at = Duration::from_millis;
        let mut window = Window::default();
        window.add(at(5_900), 3);
        window.add(at(5_000), 2);
        window.add(at(1_000), 7);
        assert_eq!(window.sum(at(61_999)), 12);
        assert_eq!(window.sum(at(65_900)), 5);
        assert_eq!(window.sum(at(66_000)), 0);
    }
}
