//! How often breakers move, and how long they stay open.

use std::time::Duration;

use crate::state::TargetId;

/// Between two transitions of one breaker.
pub(super) const SPACING: Duration = Duration::from_secs(1);
/// Transitions a second over all breakers; the log and the disks carry many times that.
const PER_SECOND: u64 = 20;
/// Transitions at once: every model of a provider that died.
const BURST: u64 = 50;
/// The longest cool-down that doubling comes to, unless the configured one is longer; also the
/// most an upstream may ask for.
pub(super) const LONGEST: u64 = 300_000;
/// The shortest cool-down of a breaker that opens again and again.
const FLAPPING: u64 = 60_000;

/// Transitions that may still be proposed now, in thousandths.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    left: u64,
    at: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            left: BURST * 1000,
            at: Duration::ZERO,
        }
    }
}

impl Pace {
    /// Takes one, if there is one. What can wait leaves half of the burst to what cannot.
    pub(super) fn take(&mut self, can_wait: bool, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let more = passed.saturating_mul(PER_SECOND);
        self.left = self.left.saturating_add(more).min(BURST * 1000);
        let kept = if can_wait { BURST * 500 } else { 0 };
        let taken = self.left >= kept + 1000;
        if taken {
            self.left -= 1000;
        }
        taken
    }
}

/// What makes a cool-down longer than the configured one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strain {
    /// Openings lately and not yet forgotten, without the one it is for.
    pub(super) opens: u32,
    /// It opened five times in ten minutes.
    pub(super) flapping: bool,
    /// What the upstream asked for, in milliseconds.
    pub(super) retry_after: u64,
}

impl Strain {
    /// It opened for the first time.
    pub(super) const NONE: Strain = Strain {
        opens: 0,
        flapping: false,
        retry_after: 0,
    };
}

/// The configured time, doubled by each opening, give or take a fifth so that breakers do not move
/// in step, and no shorter than the upstream asked for.
pub(super) fn cooldown(recovery_ms: u64, strain: Strain, lot: u64) -> u64 {
    let doubled = recovery_ms.saturating_mul(1_u64.checked_shl(strain.opens).unwrap_or(u64::MAX));
    let capped = doubled.min(LONGEST.max(recovery_ms));
    let permille = 800 + lot % 401;
    let spread = capped.saturating_mul(permille) / 1000;
    let pinned = if strain.flapping { FLAPPING } else { 0 };
    spread
        .max(pinned)
        .max(strain.retry_after.min(LONGEST))
        .max(1)
}

/// A number that looks drawn but is the same wherever the same is decided.
pub(super) fn lot(seed: u64, target: &TargetId, epoch: u64) -> u64 {
    let start = seed ^ epoch.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = target.0.bytes().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Pace, Strain, cooldown, lot};
    use crate::state::TargetId;

    const CALM: Strain = Strain::NONE;
    /// The lot that adds nothing.
    const EVEN: u64 = 200;

    #[test]
    fn a_cool_down_doubles_up_to_five_minutes_or_the_configured_time() {
        let after = |opens, recovery| cooldown(recovery, Strain { opens, ..CALM }, EVEN);
        assert_eq!(
            [0, 1, 2, 3].map(|n| after(n, 5_000)),
            [5_000, 10_000, 20_000, 40_000]
        );
        assert_eq!([7, 63, 64, u32::MAX].map(|n| after(n, 5_000)), [300_000; 4]);
        assert_eq!(after(9, 900_000), 900_000);
    }

    #[test]
    fn what_the_upstream_asks_for_counts_but_not_without_end() {
        let asked = |retry_after| {
            cooldown(
                5_000,
                Strain {
                    retry_after,
                    ..CALM
                },
                EVEN,
            )
        };
        assert_eq!(asked(30_000), 30_000);
        assert_eq!(asked(1_000), 5_000);
        assert_eq!(asked(u64::MAX), 300_000);
    }

    #[test]
    fn one_that_flaps_stays_open_for_a_minute() {
        let flapping = Strain {
            flapping: true,
            ..CALM
        };
        assert_eq!(cooldown(500, flapping, 0), 60_000);
    }

    #[test]
    fn jitter_is_a_fifth_and_differs_between_targets() {
        let targets = (0..100).map(|n| TargetId(format!("model-{n}")));
        let all = targets.map(|target| cooldown(10_000, CALM, lot(7, &target, 3)));
        let all = all.collect::<std::collections::BTreeSet<_>>();
        assert!(all.iter().all(|one| (8_000..=12_000).contains(one)));
        assert!(all.len() > 50);
    }

    #[test]
    fn fifty_at_once_then_twenty_a_second() {
        let mut pace = Pace::default();
        let taken = |pace: &mut Pace, at| (0..99).filter(|_| pace.take(false, at)).count();
        assert_eq!(taken(&mut pace, Duration::from_secs(9)), 50);
        assert_eq!(taken(&mut pace, Duration::from_secs(10)), 20);
        assert_eq!(taken(&mut pace, Duration::from_secs(10)), 0);
    }

    #[test]
    fn what_can_wait_leaves_half_to_what_cannot() {
        let mut pace = Pace::default();
        let now = Duration::from_secs(9);
        assert_eq!((0..99).filter(|_| pace.take(true, now)).count(), 25);
        assert_eq!((0..99).filter(|_| pace.take(false, now)).count(), 25);
        let later = Duration::from_secs(10);
        assert!(!pace.take(true, later));
        assert_eq!((0..99).filter(|_| pace.take(false, later)).count(), 20);
    }
}
