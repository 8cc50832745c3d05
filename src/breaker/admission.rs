//! May this attempt be made? Decided on a snapshot, so the actor and everybody who reads what it
//! published come to the same answer.

use std::fmt;
use std::time::Duration;

use super::overlay::{Overlay, Word};
use super::transition::{Mode, State};
use crate::types::Moment;

/// Advice while nobody can know how long: a probe runs, or an operator decides.
pub(super) const UNKNOWN_WAIT: Duration = Duration::from_secs(1);

/// Names a probe; each is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub u64);

/// What an attempt carries until it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The epoch it was admitted under; a report from another epoch judges nothing.
    pub epoch: u64,
    /// The agreed epoch its outcome is evidence of; 0 without a cluster.
    pub era: u64,
    /// Set when the attempt is a probe.
    pub probe: Option<ProbeId>,
    /// When it was admitted.
    pub admitted: Moment,
    /// For a probe on a lease: when the lease ends. Another node may probe soon after.
    pub lease_until: Option<Moment>,
}

/// The breaker's answer to one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go ahead.
    Pass(Ticket),
    /// Go ahead, you are the one probe; report whatever happens.
    Probe(Ticket),
    /// Leave the model alone.
    Refuse(Refused),
}

/// Why an attempt is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When asking again makes sense.
    pub retry_after: Duration,
    /// Why.
    pub cause: Reason,
}

impl Refused {
    /// Somebody may probe, but not this attempt, and until when nobody knows.
    pub(crate) const fn unlent() -> Self {
        Refused {
            retry_after: UNKNOWN_WAIT,
            cause: Reason::Unlent,
        }
    }
}

/// Why a model is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It failed lately.
    Open,
    /// It is being probed.
    Probing,
    /// It is to be probed, but not by this attempt, or not on this node, or not now.
    Unlent,
    /// It asked for patience. Waiting, not failure.
    Gated,
    /// It does not take our credential.
    Quarantined,
    /// An operator said so.
    ForcedOpen,
}

impl Reason {
    /// The reason as plans, explanations and metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Open => "breaker open",
            Reason::Probing => "breaker half-open, probe running",
            Reason::Unlent => "breaker half-open, no leave to probe",
            Reason::Gated => "upstream asked to wait",
            Reason::Quarantined => "credential refused by upstream",
            Reason::ForcedOpen => "breaker forced open",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a snapshot says to one more attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Pass,
    /// It may go as the one probe.
    Probe,
    /// It may not.
    Refuse(Refused),
}

/// What the actor publishes: all that decides an admission, to be read at any later moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The state when it was taken.
    pub state: State,
    /// The operator's word.
    pub mode: Mode,
    /// Consecutive hard failures; kept while open, zero once closed again.
    pub failure_count: u32,
    /// Grows by one with every transition.
    pub epoch: u64,
    /// While open: when the first probe may go.
    pub open_until: Option<Moment>,
    /// While the upstream asks for patience: until when.
    pub gated_until: Option<Moment>,
    /// The upstream does not take our credential.
    pub quarantined: bool,
    /// While quarantined: when the next probe may go.
    pub quarantine_probe_at: Option<Moment>,
    /// While a probe runs: when it counts as lost.
    pub probe_until: Option<Moment>,
    /// What the nodes agreed on; nothing without a cluster.
    pub overlay: Option<Overlay>,
    /// A leader with a quorum was heard of lately.
    pub connected: bool,
}

impl Snapshot {
    /// The same, by what is known now of the leader.
    #[must_use]
    pub fn with_contact(self, connected: bool) -> Self {
        Snapshot { connected, ..self }
    }

    /// What is agreed has a say in what follows, so contact with the leader matters.
    pub fn minds_contact(&self) -> bool {
        self.overlay
            .is_some_and(|overlay| overlay.state != State::Closed)
    }

    /// What is agreed, as far as it decides. An operator's word stands above it.
    fn word(&self, now: Moment) -> Word {
        match self.overlay {
            Some(overlay) if self.mode == Mode::Auto => overlay.word(self.connected, now),
            Some(_) | None => Word::Local,
        }
    }

    /// The state as of `now`: a breaker whose time is over is half-open though nobody touched it.
    pub fn state_at(&self, now: Moment) -> State {
        match self.word(now) {
            Word::Local => {}
            Word::Leave(_) | Word::Probe => {
                return self.overlay.map_or(self.state, |overlay| overlay.state);
            }
        }
        match (self.state, self.open_until) {
            (State::Open, Some(until)) if until <= now => State::HalfOpen,
            (state, _) => state,
        }
    }

    /// What an attempt at `now` would be told.
    pub fn verdict(&self, now: Moment) -> Verdict {
        let pending = |until: Option<Moment>| until.filter(|until| *until > now);
        let refuse = |until: Moment, cause| {
            Verdict::Refuse(Refused {
                retry_after: now.until(until),
                cause,
            })
        };
        if self.mode == Mode::ForceOpen {
            return refuse(now + UNKNOWN_WAIT, Reason::ForcedOpen);
        }
        let state = self.state_at(now);
        if let Word::Leave(refused) = self.word(now) {
            return Verdict::Refuse(refused);
        }
        if state == State::Open {
            return refuse(self.open_until.unwrap_or(now + UNKNOWN_WAIT), Reason::Open);
        }
        if let Some(until) = pending(self.gated_until) {
            return refuse(until, Reason::Gated);
        }
        let quarantined = self.quarantined && self.mode == Mode::Auto;
        if quarantined && let Some(until) = pending(self.quarantine_probe_at) {
            return refuse(until, Reason::Quarantined);
        }
        if state == State::Closed && !quarantined {
            return Verdict::Pass;
        }
        match pending(self.probe_until) {
            Some(lost) if quarantined => refuse(lost.min(now + UNKNOWN_WAIT), Reason::Quarantined),
            Some(lost) => refuse(lost.min(now + UNKNOWN_WAIT), Reason::Probing),
            None => Verdict::Probe,
        }
    }
}
