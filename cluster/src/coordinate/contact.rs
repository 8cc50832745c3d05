//! Whether this node keeps up with its leader. Pure.
//!
//! To hear the leader is not enough: what is agreed comes another way than its words, and may not
//! come at all. A node keeps up while it has applied whatever the leader named as committed a
//! patience ago or earlier. One that was out of contact first applies all that was committed when
//! it heard of the leader again.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Directives of which it is remembered what they named, the oldest: more than come in a patience.
/// What later ones name is taken up once the earlier is applied.
const MAX_NAMED: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Contact {
    patience: Duration,
    heard: Option<Instant>,
    /// Committed when contact began.
    first: u64,
    /// What was named since and is not applied yet, the earliest first.
    named: VecDeque<(Instant, u64)>,
}

impl Contact {
    pub(super) const fn new(patience: Duration) -> Self {
        Contact {
            patience,
            heard: None,
            first: 0,
            named: VecDeque::new(),
        }
    }

    /// The leader has named what is committed, while so much was applied here.
    pub(super) fn hear(&mut self, committed: u64, applied: u64, now: Instant) {
        if !self.is_fresh(now) {
            self.first = committed;
            self.named.clear();
        }
        self.heard = Some(now);
        self.named.retain(|(_, index)| *index > applied);
        let latest = self.named.back().map_or(applied, |(_, index)| *index);
        if committed > latest && self.named.len() < MAX_NAMED {
            self.named.push_back((now, committed));
        }
    }

    /// The leader was heard of lately, and this node has what it has.
    pub(super) fn holds(&self, applied: u64, now: Instant) -> bool {
        let mut missing = self.named.iter().filter(|(_, index)| *index > applied);
        let late = missing.next().is_some_and(|(at, _)| self.is_over(*at, now));
        self.is_fresh(now) && applied >= self.first && !late
    }

    fn is_fresh(&self, now: Instant) -> bool {
        self.heard.is_some_and(|at| !self.is_over(at, now))
    }

    fn is_over(&self, since: Instant, now: Instant) -> bool {
        now.saturating_duration_since(since) >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Contact;

    const PATIENCE: Duration = Duration::from_millis(800);

    /// A contact that is told at these milliseconds what is committed and what is applied.
    fn told(words: &[(u64, u64, u64)]) -> (Contact, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        let at = move |millis| start + Duration::from_millis(millis);
        let mut contact = Contact::new(PATIENCE);
        for (millis, committed, applied) in words {
            contact.hear(*committed, *applied, at(*millis));
        }
        (contact, at)
    }

    #[test]
    fn a_node_that_hears_its_leader_but_gets_no_log_loses_contact() {
        let (mut contact, at) = told(&[(0, 5, 5), (200, 6, 5)]);
        assert!(contact.holds(5, at(999)), "a little behind is no matter");
        for millis in [400, 600, 800, 1_000] {
            contact.hear(6, 5, at(millis));
        }
        assert!(!contact.holds(5, at(1_000)));
        assert!(contact.holds(6, at(1_000)), "it has caught up");
    }

    #[test]
    fn a_node_that_lags_a_moment_behind_all_the_time_keeps_up() {
        let (mut contact, at) = told(&[]);
        for tick in 0..200 {
            contact.hear(tick + 1, tick, at(tick * 200));
            assert!(tick == 0 || contact.holds(tick, at(tick * 200)), "{tick}");
        }
    }

    #[test]
    fn after_a_silence_all_that_is_committed_is_applied_first() {
        let (mut contact, at) = told(&[(0, 5, 5)]);
        assert!(!contact.holds(5, at(800)), "silence");
        contact.hear(9, 5, at(2_000));
        assert!(!contact.holds(8, at(2_000)));
        assert!(contact.holds(9, at(2_000)));
    }

    #[test]
    fn what_was_never_heard_of_does_not_hold() {
        let (contact, at) = told(&[]);
        assert!(!contact.holds(0, at(0)));
    }
}
