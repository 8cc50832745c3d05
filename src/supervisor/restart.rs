//! When a failed child is started again: 5 restarts in 30 s, then its supervisor gives up. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::types::Moment;

/// Restarts within [`WINDOW`] before a supervisor gives up.
const MAX_RESTARTS: usize = 5;
/// The window they are counted in.
const WINDOW: Duration = Duration::from_secs(30);
/// The first pause.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// What to do about a failed child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Start it again after this long.
    After(Duration),
    /// Fail too, and let the next level decide.
    Escalate,
}

/// The restarts of one supervisor's children.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restarts {
    recent: VecDeque<Moment>,
}

impl Restarts {
    /// Judges one failure. `jitter` lies in [0, 1) and shortens the pause by up to half.
    pub(crate) fn judge(&mut self, now: Moment, jitter: f64) -> Verdict {
        while self
            .recent
            .front()
            .is_some_and(|at| now.since(*at) > WINDOW)
        {
            self.recent.pop_front();
        }
        if self.recent.len() >= MAX_RESTARTS {
            return Verdict::Escalate;
        }
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.recent.len());
        self.recent.push_back(now);
        Verdict::After(
            doubled
                .min(MAX_PAUSE)
                .mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Restarts, Verdict};
    use crate::types::Moment;

    #[test]
    fn the_sixth_failure_in_half_a_minute_escalates() {
        let mut restarts = Restarts::default();
        for second in 0..5 {
            let at = Moment::from_millis(second * 1000);
            assert!(matches!(restarts.judge(at, 0.5), Verdict::After(_)));
        }
        assert_eq!(
            restarts.judge(Moment::from_millis(6000), 0.5),
            Verdict::Escalate
        );
    }

    #[test]
    fn a_rare_failure_never_escalates_and_pauses_shortly() {
        let mut restarts = Restarts::default();
        for minute in 0..100 {
            let at = Moment::from_millis(minute * 60_000);
            assert_eq!(
                restarts.judge(at, 0.0),
                Verdict::After(Duration::from_millis(100))
            );
        }
    }
}
