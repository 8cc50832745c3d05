//! What being one of several nodes adds: records are adopted, evidence is gathered.

use std::time::Duration;

use llm_router_cluster::policy::longest_first;
use llm_router_cluster::state;

use super::{JITTER, Machine, Phase};
use crate::breaker::admission::Ticket;
use crate::breaker::evidence::Ledger;
use crate::breaker::outcome::Outcome;
use crate::breaker::overlay::Overlay;
use crate::breaker::transition::{Cause, Mode, State, Transition};
use crate::bridge::Agreed;
use crate::types::Moment;

/// A node of a cluster suspects an upstream no longer than this by its own evidence, unless
/// operators set a longer recovery timeout.
const MAX_SUSPICION: Duration = Duration::from_secs(60);
/// Half the spread of that time: nodes that suspected together do not probe together.
const SUSPICION_JITTER: f64 = 0.2;
/// Doublings after which any recovery timeout is beyond the longest suspicion.
const MAX_DOUBLINGS: u32 = 16;
/// Percentage of answers that are slow which makes a node suspect an upstream.
const SLOW_PERCENT: u64 = 80;

impl Machine {
    /// Takes over what is agreed. `jitter` in `[0, 1)` spreads what an isolated node waits beyond
    /// the agreed cool-down.
    ///
    /// What was seen before is no evidence any more. The node's own suspicion gives way to an
    /// agreed opening, becomes part of it and ends with it; one that came after, while the node was
    /// alone, stays until its own time is over.
    pub(crate) fn adopt(
        &mut self,
        agreed: &Agreed,
        now: Moment,
        jitter: f64,
    ) -> Option<Transition> {
        let next = Overlay::read(agreed, self.settings.first_token, self.longest_first());
        let mode = mode(agreed.record.mode);
        if let Some(known) = self.overlay.filter(|_| mode == self.mode) {
            let closed = known.state == State::Closed && next.state == State::Closed;
            let forgotten = closed && next.epoch == known.epoch.saturating_add(1);
            if forgotten || known.reads(&next) {
                // only an earlier opening was forgotten, or nothing is new
                self.overlay = Some(Overlay {
                    era: known.era,
                    failed: known.failed,
                    ..next
                });
                self.ledger.epoch = next.epoch;
                return None;
            }
        }
        let (from, overruled) = (self.state(now), mode != self.mode);
        let phase = self.phase_after(agreed, next.state, now, jitter);
        self.mode = mode;
        self.overlay = Some(next);
        self.ledger = Ledger::new(next.epoch);
        if phase == Phase::Closed {
            self.suspicions = 0;
        }
        let cause = match next.state {
            _ if overruled => Cause::Forced(mode),
            State::Open => cause(agreed.record.cause),
            State::HalfOpen => Cause::Recovery,
            State::Closed => Cause::ProbesGood,
        };
        let entered = self.enter(phase, cause);
        let to = self.state(now);
        (overruled || from != to).then_some(Transition {
            from,
            to,
            ..entered
        })
    }

    /// Hears whether a leader with a quorum is in reach.
    pub(crate) fn contact(&mut self, connected: bool) {
        self.connected = connected;
    }

    /// There is a cluster.
    pub(crate) fn is_clustered(&self) -> bool {
        self.overlay.is_some()
    }

    /// What was seen under the agreed epoch.
    pub(crate) fn ledger(&self, now: Moment) -> Ledger {
        let suspect = match self.phase {
            Phase::Open { own, .. } | Phase::HalfOpen { own, .. } => own,
            Phase::Closed => false,
        };
        let mut ledger = self.ledger.clone();
        ledger.suspect = suspect;
        ledger.watched = self
            .overlay
            .is_some_and(|overlay| overlay.state != State::Closed);
        ledger.gated_until = Some(self.gated_until).filter(|until| *until > now);
        ledger
    }

    /// What an isolated node goes by once it may not go by the agreed record alone.
    fn phase_after(&self, agreed: &Agreed, next: State, now: Moment, jitter: f64) -> Phase {
        let record = &agreed.record;
        // longer patience is for those who know that others stand in
        let cooldown = match record.cooldown_ms {
            0 => self.settings.recovery_timeout,
            millis => Duration::from_millis(millis).min(self.longest_first()),
        };
        let spread = cooldown.mul_f64(jitter.clamp(0.0, 1.0));
        let waits = |lease: u64| Phase::Open {
            until: agreed.applied
                + Duration::from_millis(lease)
                    .saturating_add(cooldown)
                    .saturating_add(spread),
            health_misled: true, // no health check shortens what others rely on
            own: false,
        };
        match (next, self.phase) {
            (State::Open, _) => waits(0),
            (State::HalfOpen, _) => waits(record.lease_ms),
            (
                State::Closed,
                Phase::Open {
                    own: true, until, ..
                },
            ) if until > now => self.phase,
            (State::Closed, Phase::Open { .. } | Phase::HalfOpen { .. } | Phase::Closed) => {
                Phase::Closed
            }
        }
    }

    /// The longest cool-down of a first opening.
    fn longest_first(&self) -> Duration {
        longest_first(self.settings.recovery_timeout)
    }

    /// What is agreed decides, and not the machine.
    pub(super) fn is_governed(&self, now: Moment) -> bool {
        self.mode == Mode::Auto
            && self
                .overlay
                .is_some_and(|overlay| overlay.governs(self.connected, now))
    }

    /// Keeps an outcome as evidence, if it belongs to the agreed epoch.
    pub(super) fn testify(&mut self, outcome: Outcome, ticket: Ticket, now: Moment) {
        let Some(overlay) = self
            .overlay
            .as_mut()
            .filter(|overlay| overlay.era == ticket.era)
        else {
            return;
        };
        let leased = ticket.probe.is_some() && overlay.lease_until.is_some();
        overlay.failed |= leased && outcome == Outcome::Hard;
        self.ledger.record(outcome, leased, now);
    }

    /// A leased probe's answer has begun: that proves the upstream, and the rest of it may take
    /// longer than the lease. It is counted once.
    pub(crate) fn answers(&mut self, ticket: Ticket, now: Moment) {
        let current = |overlay: &Overlay| overlay.era == ticket.era;
        let leased = ticket.lease_until.is_some() && self.overlay.as_ref().is_some_and(current);
        let Some(probe) = self.probe.as_mut().filter(|probe| {
            leased && Some(probe.id) == ticket.probe && now < probe.lost_at && !probe.answers
        }) else {
            return;
        };
        probe.answers = true;
        self.ledger.record(Outcome::Ok, true, now);
    }

    /// The probe counts as good already.
    pub(super) fn counted(&self, ticket: Ticket) -> bool {
        self.probe
            .is_some_and(|probe| Some(probe.id) == ticket.probe && probe.answers)
    }

    /// How long the node's own opening lasts.
    pub(super) fn open_time(&self, jitter: f64) -> Duration {
        let recovery = self.settings.recovery_timeout;
        if !self.is_clustered() {
            return recovery.saturating_add(recovery.mul_f64(JITTER * jitter));
        }
        let doubled = recovery.saturating_mul(1 << self.suspicions.min(MAX_DOUBLINGS));
        doubled
            .min(MAX_SUSPICION.max(recovery))
            .mul_f64(1.0 - SUSPICION_JITTER + 2.0 * SUSPICION_JITTER * jitter)
    }

    /// A whole answer that was slow to begin.
    pub(super) fn dragged(&mut self, now: Moment, jitter: f64) -> Option<Transition> {
        let transition = self.succeeded(now);
        if !self.is_clustered() || self.phase != Phase::Closed || transition.is_some() {
            return transition;
        }
        self.window.slow(now);
        let calls = self.window.calls(now);
        let all = calls.answered();
        let enough = all >= u64::from(self.settings.rate_min_calls);
        let dragging = u64::from(calls.slow) * 100 >= all * SLOW_PERCENT;
        (enough && dragging).then(|| self.open((Cause::Slow, false), now, jitter))
    }
}

const fn mode(mode: state::Mode) -> Mode {
    match mode {
        state::Mode::Auto => Mode::Auto,
        state::Mode::ForceOpen => Mode::ForceOpen,
        state::Mode::ForceClosed => Mode::ForceClosed,
    }
}

const fn cause(cause: state::Cause) -> Cause {
    match cause {
        state::Cause::Streak => Cause::Streak,
        state::Cause::Rate => Cause::Rate,
        state::Cause::Slow => Cause::Slow,
        state::Cause::ProbeFailed => Cause::ProbeFailed,
    }
}

#[cfg(test)]
mod tests;
