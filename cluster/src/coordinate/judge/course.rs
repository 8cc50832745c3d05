//! One breaker's way through time, as this node watched it: when it moved, how often it opened,
//! who probed. None of it is agreed; every node keeps it, so that a new leader has it already.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::identity::MemberId;
use crate::state::{BreakerRecord, Mode, Phase};

use super::pace::{LONGEST, SPACING};
use super::tally::Seen;

/// As many openings within [`FLAPPING_TIME`] are flapping.
const FLAPPING_OPENS: u32 = 5;
/// See [`FLAPPING_OPENS`].
const FLAPPING_TIME: Duration = Duration::from_secs(600);

/// A proposal nobody heard of any more after twice the time it may take: whoever made it is gone.
const LOST: Duration = Duration::from_secs(10);

/// A transition that was proposed.
#[derive(Clone, Copy, Debug)]
struct Proposed {
    epoch: u64,
    at: Duration,
    opens: bool,
    by_health: bool,
    waiting: bool,
}

impl Proposed {
    fn is_waiting(&self, now: Duration) -> bool {
        self.waiting && now.saturating_sub(self.at) < LOST
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    epoch: u64,
    phase: Phase,
    /// When this node applied the last transition.
    since: Duration,
    openings: VecDeque<Duration>,
    /// Who probed since it opened.
    tried: BTreeSet<MemberId>,
    /// A health check's word began these probes.
    by_health: bool,
    /// The last probes that began so failed.
    misled: bool,
    proposed: Option<Proposed>,
    /// Until when the upstream asked to be left alone.
    asked_until: Duration,
    /// Since when no config has it.
    pub(super) unknown_since: Option<Duration>,
}

impl Course {
    /// Takes note of the record as it is now.
    pub(super) fn see(&mut self, record: &BreakerRecord, now: Duration) {
        if record.epoch == self.epoch {
            return;
        }
        match (self.phase, record.phase) {
            (Phase::Closed | Phase::HalfOpen, Phase::Open) if record.mode == Mode::Auto => {
                if self.openings.len() == FLAPPING_OPENS as usize {
                    self.openings.pop_front();
                }
                self.openings.push_back(now);
                self.misled |= self.by_health;
            }
            (_, Phase::Closed) => {
                self.misled = false;
                self.tried.clear();
            }
            (_, Phase::HalfOpen | Phase::Open) => {}
        }
        self.tried.extend(record.holder);
        if (self.phase, record.phase) != (Phase::HalfOpen, Phase::HalfOpen) {
            let own = self.proposed.filter(|mine| mine.epoch == self.epoch);
            let begun = own.is_some_and(|mine| mine.by_health);
            self.by_health = begun && record.phase == Phase::HalfOpen;
        }
        self.proposed = None;
        self.epoch = record.epoch;
        self.phase = record.phase;
        self.since = now;
    }

    /// How long it has been as it is.
    pub(super) const fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since)
    }

    /// A transition from `epoch` may be proposed: none waits, and the last was not just now.
    ///
    /// `at_once` for news that end a wait: it need not keep its distance from the transition
    /// before, only from another try of its own.
    pub(super) fn is_free(&self, epoch: u64, at_once: bool, now: Duration) -> bool {
        let proposed = self.proposed.filter(|proposed| proposed.epoch == epoch);
        let waits =
            proposed.is_some_and(|one| one.is_waiting(now) || now.saturating_sub(one.at) < SPACING);
        let fresh = self.epoch > 0 && self.age(now) < SPACING;
        !waits && (at_once || !fresh)
    }

    /// Notes what is proposed.
    pub(super) fn propose(&mut self, epoch: u64, opens: bool, by_health: bool, now: Duration) {
        self.proposed = Some(Proposed {
            epoch,
            at: now,
            opens,
            by_health,
            waiting: true,
        });
    }

    /// The proposal came to an end, whichever.
    pub(super) fn settle(&mut self) {
        if let Some(proposed) = &mut self.proposed {
            proposed.waiting = false;
        }
    }

    /// It is about to open.
    pub(super) fn is_opening(&self, now: Duration) -> bool {
        self.proposed
            .is_some_and(|proposed| proposed.opens && proposed.is_waiting(now))
    }

    /// Nothing worth keeping once its record is gone.
    pub(super) fn is_idle(&self, now: Duration) -> bool {
        let quiet = |proposed: &Proposed| {
            !proposed.is_waiting(now) && now.saturating_sub(proposed.at) >= SPACING
        };
        self.proposed.as_ref().is_none_or(quiet)
    }

    /// How often it has opened in the last ten minutes; five at most.
    pub(super) fn opened_lately(&self, now: Duration) -> u32 {
        let recent = self.openings.iter();
        let recent = recent.filter(|at| now.saturating_sub(**at) < FLAPPING_TIME);
        u32::try_from(recent.count()).unwrap_or(u32::MAX)
    }

    /// It opens again and again; one more opening counted.
    pub(super) fn is_flapping(&self, now: Duration) -> bool {
        self.opened_lately(now) + 1 >= FLAPPING_OPENS
    }

    /// Takes note of the patience that upstreams ask of nodes.
    pub(super) fn heed(&mut self, seen: &[Seen], now: Duration) {
        let asked = seen.iter().map(|node| node.retry_after).max().unwrap_or(0);
        let until = now.saturating_add(Duration::from_millis(asked.min(LONGEST)));
        self.asked_until = self.asked_until.max(until);
    }

    /// The upstream's time is not over yet.
    pub(super) fn is_asked_to_wait(&self, now: Duration) -> bool {
        now < self.asked_until
    }

    /// A health check's word is taken for it.
    pub(super) const fn trusts_health(&self) -> bool {
        !self.misled
    }

    /// Who probes next: by the epoch's turn, nobody twice before everybody had a go, so that one
    /// bad path cannot keep it open for ever.
    pub(super) fn next_holder(&self, epoch: u64, live: &[MemberId]) -> Option<MemberId> {
        let count = u64::try_from(live.len()).ok().filter(|count| *count > 0)?;
        let start = usize::try_from(epoch % count).ok()?;
        let turn = || live.iter().cycle().skip(start).take(live.len());
        let fresh = turn().find(|member| !self.tried.contains(member));
        fresh.or_else(|| turn().next()).copied()
    }

    /// Everybody had a go: it begins again.
    pub(super) fn forget_tried(&mut self, live: &[MemberId]) {
        if live.iter().all(|member| self.tried.contains(member)) {
            self.tried.clear();
        }
    }
}
