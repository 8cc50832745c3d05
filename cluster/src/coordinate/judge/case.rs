//! One breaker, everything known of it, and where it should go.

use std::time::Duration;

use super::course::Course;
use super::pace::{self, Strain};
use super::rules;
use super::tally::Seen;
use crate::command::BreakerStep;
use crate::identity::MemberId;
use crate::policy::BreakerPolicy;
use crate::state::{BreakerRecord, Cause, Mode, Phase};

/// A probe's lease beyond the time to the first tokens.
const LEASE_MS: u64 = 10_000;
/// A lease has time for the first tokens of all probes up to this, and beyond it for one: a holder
/// that dies keeps the upstream from everybody for as long.
const MANY_MS: u64 = 60_000;
/// What the leader waits beyond a lease, for clocks that run at different speeds.
const LEASE_SLACK: Duration = Duration::from_millis(500);
/// The shortest rest of one that is needed and has opened more than once.
const SHORTEST: Duration = Duration::from_secs(1);
/// So long closed forgets one opening.
const DECAY: Duration = Duration::from_secs(60);

/// A transition that the rules ask for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) step: BreakerStep,
    /// A health check's word asks for it, before the cool-down is over.
    pub(super) by_health: bool,
    /// An opening that must leave its groups another healthy upstream.
    pub(super) capped: bool,
}

impl From<BreakerStep> for Wanted {
    fn from(step: BreakerStep) -> Self {
        Wanted {
            step,
            by_health: false,
            capped: false,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) record: &'a BreakerRecord,
    pub(super) numbers: &'a BreakerPolicy,
    /// What the nodes have seen under the record's epoch.
    pub(super) seen: &'a [Seen],
    /// Who may hold the lease.
    pub(super) live: &'a [MemberId],
    /// Too few others stand in for it.
    pub(super) needed: bool,
    /// What its holder does is not known yet.
    pub(super) holder_unheard: bool,
    pub(super) course: &'a Course,
    pub(super) lot: u64,
    pub(super) now: Duration,
}

impl Case<'_> {
    /// The transition to make, if any. An operator's word stands until an operator takes it back.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        match (self.record.mode, self.record.phase) {
            (Mode::ForceOpen | Mode::ForceClosed, _) => None,
            (Mode::Auto, Phase::Closed) => self.opening().or_else(|| self.decay()),
            (Mode::Auto, Phase::Open) => self.probing(),
            (Mode::Auto, Phase::HalfOpen) => self.probed().or_else(|| self.handed_over()),
        }
    }

    fn opening(&self) -> Option<Wanted> {
        let opening = rules::opening(self.seen, self.numbers.failure_threshold)?;
        let step = BreakerStep::Open {
            cause: opening.cause,
            cooldown_ms: self.cooldown_ms(),
        };
        Some(Wanted {
            capped: !opening.dead,
            ..step.into()
        })
    }

    fn decay(&self) -> Option<Wanted> {
        let due = self.record.opens > 0 && self.course.age(self.now) >= DECAY;
        due.then(|| BreakerStep::Decay.into())
    }

    /// The cool-down is over, or a health check says that the upstream is back.
    fn probing(&self) -> Option<Wanted> {
        let over = self.course.age(self.now) >= self.rest();
        let by_health =
            !over && self.course.trusts_health() && self.seen.iter().any(|node| node.healthy);
        if !over && !by_health {
            return None;
        }
        let lent = self.lent(self.numbers.success_threshold)?;
        Some(Wanted {
            by_health,
            ..lent.into()
        })
    }

    /// How long it is left alone: as agreed, and where it is needed no longer than configured, unless
    /// the upstream still asks for it.
    fn rest(&self) -> Duration {
        let agreed = Duration::from_millis(self.record.cooldown_ms);
        let longer = agreed > self.numbers.longest_first();
        if !longer || !self.needed || self.course.is_asked_to_wait(self.now) {
            return agreed;
        }
        let first = pace::cooldown(self.numbers.recovery_ms, Strain::NONE, self.lot);
        Duration::from_millis(first).max(SHORTEST)
    }

    /// What the holder tells.
    fn holder(&self) -> Option<&Seen> {
        let holder = self.record.holder?;
        self.seen.iter().find(|node| node.member == holder)
    }

    /// What the holder says of its probes.
    fn probed(&self) -> Option<Wanted> {
        let probe = self.holder()?.probe?;
        if probe.failed {
            let step = BreakerStep::Reopen {
                cause: Cause::ProbeFailed,
                cooldown_ms: self.cooldown_ms(),
            };
            return Some(step.into());
        }
        (probe.good >= self.record.need_ok).then(|| BreakerStep::Close.into())
    }

    /// The lease ran out, or its holder makes nothing of it.
    ///
    /// Never while an attempt of the holder may run, so that there are no two probes: an answer
    /// that flows on may take one more lease. A holder that is silent may still probe, so its
    /// lease is waited for too. What was proved already need not be proved again: an upstream
    /// whose answers are long closes after some leases.
    fn handed_over(&self) -> Option<Wanted> {
        let holder = self.holder();
        let busy = holder.is_some_and(|told| told.busy);
        let declines = holder.is_some_and(|told| told.declines);
        let lease = Duration::from_millis(self.record.lease_ms);
        let longest = if busy { lease.saturating_mul(2) } else { lease };
        let over = self.course.age(self.now) >= longest.saturating_add(LEASE_SLACK);
        if over && !self.holder_unheard || declines && !busy {
            let good = holder.and_then(|told| told.probe).map_or(0, |it| it.good);
            return self
                .lent(self.record.need_ok.saturating_sub(good))
                .map(Into::into);
        }
        None
    }

    /// Lends the next in turn the right to probe until so many probes were good.
    fn lent(&self, need_ok: u32) -> Option<BreakerStep> {
        let need_ok = need_ok.max(1);
        let first_token = self.numbers.first_token_ms;
        let all = first_token.saturating_mul(need_ok.into());
        let time = all.min(MANY_MS).max(first_token);
        Some(BreakerStep::HalfOpen {
            holder: self.course.next_holder(self.record.epoch, self.live)?,
            lease_ms: LEASE_MS.saturating_add(time),
            need_ok,
        })
    }

    fn cooldown_ms(&self) -> u64 {
        let asked = self.seen.iter().map(|node| node.retry_after).max();
        let strain = Strain {
            opens: self.record.opens.min(self.course.opened_lately(self.now)),
            flapping: self.course.is_flapping(self.now),
            retry_after: asked.unwrap_or(0),
        };
        pace::cooldown(self.numbers.recovery_ms, strain, self.lot)
    }
}
