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
//! leader or a stampede of proposals comes to one transition.

use serde::{Deserialize, Serialize};

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
    /// Openings not yet forgotten; the cool-down doubles with each.
    pub opens: u32,
    /// While open: how long, from a node's own apply, until the first probe, in milliseconds.
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
