//! Slow start: how many attempts may run after a breaker has closed. Pure.
//!
//! From a tenth to all of them over ten seconds, from a moment on that differs from node to node.
//! One at a time is always let through, so a small model is back at once.

use std::time::Duration;

use crate::types::Moment;

/// How long until all may run.
const LENGTH: Duration = Duration::from_secs(10);
/// Percentage that may run when it begins.
const FIRST_PERCENT: u128 = 10;

/// How many of `limit` may run at `now`, when it began, or begins, at `begins`.
pub(super) fn allowed(limit: u32, begins: Moment, now: Moment) -> u32 {
    if now < begins {
        return limit.min(1);
    }
    let passed = now.since(begins).min(LENGTH).as_millis();
    let percent_millis = FIRST_PERCENT * LENGTH.as_millis() + (100 - FIRST_PERCENT) * passed;
    let part = u128::from(limit) * percent_millis / (100 * LENGTH.as_millis());
    u32::try_from(part).unwrap_or(limit).max(1).min(limit)
}

/// All may run.
pub(super) fn is_over(begins: Moment, now: Moment) -> bool {
    now >= begins + LENGTH
}

/// When more than at `now` may run; nothing once all may.
pub(super) fn grows_at(limit: u32, begins: Moment, now: Moment) -> Option<Moment> {
    let next = allowed(limit, begins, now).checked_add(1)?;
    if next > limit || is_over(begins, now) {
        return None;
    }
    // the first millisecond at which the part is at least `next`
    let whole = 100 * LENGTH.as_millis();
    let needed = (u128::from(next) * whole).div_ceil(u128::from(limit));
    let beyond = needed.saturating_sub(FIRST_PERCENT * LENGTH.as_millis());
    let passed = beyond.div_ceil(100 - FIRST_PERCENT);
    let passed = u64::try_from(passed).unwrap_or(u64::MAX);
    Some(begins + Duration::from_millis(passed))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Moment, allowed, grows_at, is_over};

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn a_tenth_at_first_half_in_between_and_all_after_ten_seconds() {
        let begins = at(500);
        let steps = [
            (0, 1),
            (499, 1),
            (500, 10),
            (5_500, 55),
            (10_499, 99),
            (10_500, 100),
        ];
        for (millis, expected) in steps {
            assert_eq!(allowed(100, begins, at(millis)), expected, "{millis}");
        }
        assert!(is_over(begins, at(10_500)) && !is_over(begins, at(10_499)));
        assert_eq!(
            allowed(0, begins, at(9_000)),
            0,
            "a node without a part has none"
        );
    }

    proptest! {
        #[test]
        fn the_next_step_is_told_to_the_millisecond(
            limit in 1u32..3_000,
            begins in 0u64..1_000,
            now in 0u64..12_000,
        ) {
            let (begins, now) = (at(begins), at(now));
            let before = allowed(limit, begins, now);
            match grows_at(limit, begins, now) {
                None => prop_assert_eq!(before, limit),
                Some(next) => {
                    prop_assert!(next > now);
                    prop_assert!(allowed(limit, begins, next) > before);
                    let just_before = next - at(1).since(Moment::ZERO);
                    prop_assert_eq!(allowed(limit, begins, just_before.max(now)), before);
                }
            }
        }
    }
}
