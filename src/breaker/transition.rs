//! The states of a breaker, and what is told when it changes.

use std::fmt;

/// Whether traffic goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It does.
    Closed,
    /// It does not.
    Open,
    /// One probe at a time does.
    HalfOpen,
}

impl State {
    /// `closed`, `open` or `half_open`.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An operator's word on a breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Outcomes decide.
    #[default]
    Auto,
    /// Nothing goes through.
    ForceOpen,
    /// Everything goes through that the upstream's own gates allow.
    ForceClosed,
}

impl Mode {
    /// `auto`, `force_open` or `force_closed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Auto => "auto",
            Mode::ForceOpen => "force_open",
            Mode::ForceClosed => "force_closed",
        }
    }
}

/// Why a breaker changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Too many hard failures in a row.
    Streak,
    /// Too large a part of the last ten seconds' calls failed.
    Rate,
    /// Too large a part of the last ten seconds' answers was slow to begin.
    Slow,
    /// A probe failed.
    ProbeFailed,
    /// It had been open long enough.
    Recovery,
    /// A health check saw the model up.
    Health,
    /// Enough probes in a row were good.
    ProbesGood,
    /// An operator said so.
    Forced(Mode),
}

impl Cause {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Streak => "streak",
            Cause::Rate => "rate",
            Cause::Slow => "slow",
            Cause::ProbeFailed => "probe_failed",
            Cause::Recovery => "recovery",
            Cause::Health => "health",
            Cause::ProbesGood => "probes_good",
            Cause::Forced(_) => "forced",
        }
    }
}

/// A change of state, to be published and agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: State,
    /// After. Equal to `from` when only the operator's word changed.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// The epoch that begins with it.
    pub epoch: u64,
}
