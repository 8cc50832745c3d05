//! What the nodes agree on about one upstream's breaker.
//!
//! ```text
//!            Open                     HalfOpen              Close
//!  Closed ─────────► Open ─────────────────► HalfOpen ─────────────► Closed
//!                     ▲                        │  ▲ │
//!                     └──────── Reopen ────────┘  └─┘ HalfOpen: another holder
//! ```
//!
//! Every step names the epoch it was decided under and moves it on by one, so a repeat, an old
//! leader or a stampede of proposals comes to one transition. While an operator's word stands, no
//! step of the leader's is legal. A record that was forgotten begins again above every epoch there
//! was, so that no epoch of a target ever means two things; only epoch 0 is that of any target
//! without a record.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rows::Place;
use super::{MAX_BREAKERS, State, TargetId, bounds};
use crate::command::{BreakerChange, BreakerStep, Done, Outcome, Rejected};
use crate::identity::MemberId;

/// Whether traffic goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It does.
    #[default]
    Closed,
    /// It does not.
    Open,
    /// The holder probes.
    HalfOpen,
}

impl Phase {
    /// `closed`, `open` or `half_open`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Closed => "closed",
            Phase::Open => "open",
            Phase::HalfOpen => "half_open",
        }
    }
}

/// An operator's word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Evidence decides.
    #[default]
    Auto,
    /// Nothing goes through.
    ForceOpen,
    /// Everything goes through that the upstream's own gates allow.
    ForceClosed,
}

/// Why it opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Too many hard failures in a row.
    #[default]
    Streak,
    /// Too large a part of the calls failed.
    Rate,
    /// Too large a part of the calls was slow.
    Slow,
    /// A probe failed.
    ProbeFailed,
}

impl Cause {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Streak => "streak",
            Cause::Rate => "rate",
            Cause::Slow => "slow",
            Cause::ProbeFailed => "probe_failed",
        }
    }
}

/// One upstream's breaker, as agreed. The default is that of an upstream nobody spoke of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRecord {
    /// Grows by one with every transition and override.
    pub epoch: u64,
    /// Whether traffic goes through.
    pub phase: Phase,
    /// Why it opened last.
    pub cause: Cause,
    /// Openings not yet forgotten; the cool-down doubles with each of the last ten minutes.
    pub opens: u32,
    /// While open: how long at most, from a node's own apply, until the first probe, in milliseconds.
    pub cooldown_ms: u64,
    /// While half-open: the one node that may probe.
    pub holder: Option<MemberId>,
    /// While half-open: how long it may, in milliseconds from its own apply.
    pub lease_ms: u64,
    /// While half-open: good probes in a row that close it.
    pub need_ok: u32,
    /// The operator's word.
    pub mode: Mode,
    /// Log index of the last transition.
    pub changed_at: u64,
    /// The agreed clock at the last transition, in milliseconds.
    pub changed_at_ms: u64,
}

impl BreakerRecord {
    fn is_forced(&self) -> bool {
        self.mode != Mode::Auto
    }

    fn illegal(&self) -> Rejected {
        let from = match (self.mode, self.phase) {
            (Mode::ForceOpen, _) => "forced open",
            (Mode::ForceClosed, _) => "forced closed",
            (Mode::Auto, phase) => phase.as_str(),
        };
        Rejected::Illegal {
            from: from.to_owned(),
        }
    }

    /// Where a step leads; the epoch and the times are the caller's affair.
    fn after(&self, step: &BreakerStep) -> Result<Self, Rejected> {
        if let BreakerStep::Override { mode } = step {
            return Ok(self.overridden(*mode));
        }
        if self.is_forced() {
            return Err(self.illegal());
        }
        match (self.phase, step) {
            (Phase::Closed, BreakerStep::Open { cause, cooldown_ms })
            | (Phase::HalfOpen, BreakerStep::Reopen { cause, cooldown_ms }) => Ok(BreakerRecord {
                cause: *cause,
                opens: self.opens.saturating_add(1),
                ..self.opened(*cooldown_ms)
            }),
            (
                Phase::Open | Phase::HalfOpen,
                BreakerStep::HalfOpen {
                    holder,
                    lease_ms,
                    need_ok,
                },
            ) => Ok(BreakerRecord {
                phase: Phase::HalfOpen,
                holder: Some(*holder),
                lease_ms: *lease_ms,
                need_ok: *need_ok,
                ..self.closed()
            }),
            (Phase::HalfOpen, BreakerStep::Close) => Ok(self.closed()),
            (Phase::Closed, BreakerStep::Decay) if self.opens > 0 => Ok(BreakerRecord {
                opens: self.opens - 1,
                ..self.clone()
            }),
            (Phase::Closed | Phase::Open | Phase::HalfOpen, _) => Err(self.illegal()),
        }
    }

    /// Out of an operator's hand a breaker goes back to work carefully: one that was forced open is
    /// open with its cool-down over, so that the leader elects a prober.
    fn overridden(&self, mode: Mode) -> Self {
        let phase = match (mode, self.mode) {
            (Mode::ForceOpen, _) | (Mode::Auto, Mode::ForceOpen) => self.opened(0),
            (Mode::ForceClosed, _) | (Mode::Auto, Mode::ForceClosed) => self.closed(),
            (Mode::Auto, Mode::Auto) => self.clone(),
        };
        BreakerRecord { mode, ..phase }
    }

    fn closed(&self) -> Self {
        BreakerRecord {
            phase: Phase::Closed,
            cooldown_ms: 0,
            holder: None,
            lease_ms: 0,
            need_ok: 0,
            ..self.clone()
        }
    }

    fn opened(&self, cooldown_ms: u64) -> Self {
        BreakerRecord {
            phase: Phase::Open,
            cooldown_ms,
            ..self.closed()
        }
    }
}

impl State {
    pub(super) fn move_breaker(
        &mut self,
        index: u64,
        change: &BreakerChange,
    ) -> Result<Done, Rejected> {
        bounds::name("a target", &change.target, bounds::MAX_TARGET)?;
        let target = TargetId(change.target.clone());
        let known = self.breakers.get(&target);
        let record = known.cloned().unwrap_or_default();
        let by_operator = matches!(change.to, BreakerStep::Override { .. });
        if !by_operator && change.expect != record.epoch {
            return Err(Rejected::Stale {
                expected: change.expect,
                current: record.epoch,
            });
        }
        if change.to == BreakerStep::Forget {
            return self.forget_breaker(&target);
        }
        let mut moved = record.after(&change.to)?;
        if known.is_none() {
            bounds::room("breakers", self.breakers.len(), MAX_BREAKERS)?;
            moved.epoch = self.meta.forgotten_epoch;
        }
        moved.epoch = moved.epoch.saturating_add(1);
        moved.changed_at = index;
        moved.changed_at_ms = self.meta.clock_ms;
        self.touch(&Place::Breaker(&target));
        Arc::make_mut(&mut self.breakers).insert(target, moved.clone());
        Ok(Done::Breaker {
            record: Some(moved),
        })
    }

    /// Each by itself: one that is refused does not hold up the others.
    pub(super) fn move_breakers(
        &mut self,
        index: u64,
        changes: &[BreakerChange],
    ) -> Result<Done, Rejected> {
        if changes.len() > bounds::MAX_STEPS {
            let most = bounds::MAX_STEPS;
            return Err(bounds::too_much(format!(
                "a command moves at most {most} breakers"
            )));
        }
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in changes {
            outcomes.push(match self.move_breaker(index, change) {
                Ok(done) => Outcome::Done(done),
                Err(rejected) => Outcome::Rejected(rejected),
            });
        }
        Ok(Done::Several { outcomes })
    }

    fn forget_breaker(&mut self, target: &TargetId) -> Result<Done, Rejected> {
        if !self.breakers.contains_key(target) {
            let what = format!("breaker of {target}");
            return Err(Rejected::NotFound { what });
        }
        let gone = Arc::make_mut(&mut self.breakers)
            .remove(target)
            .unwrap_or_default();
        self.meta.forgotten_epoch = self.meta.forgotten_epoch.max(gone.epoch);
        self.touch(&Place::Breaker(target));
        Ok(Done::Breaker { record: None })
    }
}
