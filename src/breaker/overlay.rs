//! What the nodes agreed on about an upstream, as far as it decides admissions on this one. Pure.
//!
//! ```text
//!                 connected                      isolated
//!  closed         the node's own rules           the node's own rules
//!  open           nothing                        nothing until the cool-down and up to as much
//!                                                again are over, then the node's own half-open
//!  half-open,     one probe at a time            one probe at a time
//!    holder         while the lease lasts          while the lease lasts
//!  half-open,     nothing                        nothing until lease and cool-down and up to as
//!    others                                      much again are over, then as above
//! ```
//!
//! The times are counted by this node's clock from its own apply. What an isolated node waits for
//! is in its own machine: adopting a record puts it there ([`super::Machine`]).
//!
//! A lease is taken only by a node in contact, so that leader and holder count it from about the same
//! moment; a node that restarts declines the lease it finds, and one that drains begins no probe by
//! its own. Both tell the leader, which lends to the next.
//!
//! A leased probe that shows no sign of life is cut off when the lease ends, for another node may
//! probe soon after. One whose answer is already flowing is not: its client is served.
//!
//! Deliberately not here: a request a second through the breaker when every candidate is open. That
//! would be a second probe beside the holder's, and with it the promise of at most one probe in
//! flight in the whole cluster. The answer is 503 with the shortest remaining cool-down; the holder
//! finds out soon enough.

use std::time::Duration;

use llm_router_cluster::state::Phase;

use super::admission::{Reason, Refused, UNKNOWN_WAIT};
use super::transition::State;
use crate::bridge::Agreed;
use crate::types::Moment;

/// The last part of a lease in which no probe begins, at most: it would have little time.
const LAST_PART: u32 = 4;

/// An agreed record, read for admissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// The agreed epoch.
    pub epoch: u64,
    /// The agreed epoch that evidence gathered now belongs to: where only an opening was forgotten,
    /// what was seen before still counts.
    pub era: u64,
    /// The agreed state.
    pub state: State,
    /// While open: when the leader lets the first probe go, if nothing else is left to ask.
    pub until: Moment,
    /// While half-open, on the node that probes: when it begins no more.
    pub probe_before: Option<Moment>,
    /// While half-open, on the node that probes: when the lease ends.
    pub lease_until: Option<Moment>,
    /// While half-open: this node was to probe and does not.
    pub declined: bool,
    /// One of its probes failed: the leader decides what follows.
    pub failed: bool,
}

/// What is agreed has to say about one more attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The node's own rules decide.
    Local,
    /// None may be made.
    Leave(Refused),
    /// It may go as the one probe.
    Probe,
}

impl Overlay {
    /// Reads a record; `first_token` is how long a probe may take to show that it lives, `patience` how
    /// long one is left alone that nothing stands in for.
    pub(crate) fn read(agreed: &Agreed, first_token: Duration, patience: Duration) -> Self {
        let (record, applied) = (&agreed.record, agreed.applied);
        let state = match record.phase {
            Phase::Closed => State::Closed,
            Phase::Open => State::Open,
            Phase::HalfOpen => State::HalfOpen,
        };
        let lease = Duration::from_millis(record.lease_ms);
        let probing = lease.saturating_sub(first_token.min(lease / LAST_PART));
        let mine = state == State::HalfOpen && agreed.mine;
        Overlay {
            epoch: record.epoch,
            era: record.epoch,
            state,
            until: applied + Duration::from_millis(record.cooldown_ms).min(patience),
            probe_before: mine.then_some(applied + probing),
            lease_until: mine.then_some(applied + lease),
            declined: state == State::HalfOpen && agreed.declined,
            failed: false,
        }
    }

    /// `next` is the same record read again.
    pub(super) fn reads(&self, next: &Overlay) -> bool {
        *self
            == Overlay {
                era: self.era,
                failed: self.failed,
                ..*next
            }
    }

    /// It decides, and not the node's own machine.
    pub(super) fn governs(&self, connected: bool, now: Moment) -> bool {
        !matches!(self.word(connected, now), Word::Local)
    }

    pub(super) fn word(&self, connected: bool, now: Moment) -> Word {
        let leave = |retry_after: Duration, cause| Word::Leave(Refused { retry_after, cause });
        let leased = self.lease_until.is_some_and(|end| now < end);
        match self.state {
            State::Closed => Word::Local,
            State::HalfOpen if leased => {
                let may_begin = self.probe_before.is_some_and(|end| now < end);
                if may_begin && !self.failed {
                    Word::Probe
                } else {
                    Word::Leave(Refused::unlent())
                }
            }
            State::Open if connected => {
                // the leader waits by its own clock, so the end is near but not known
                let left = now.until(self.until);
                let left = if left.is_zero() { UNKNOWN_WAIT } else { left };
                leave(left, Reason::Open)
            }
            State::HalfOpen if connected => Word::Leave(Refused::unlent()),
            State::Open | State::HalfOpen => Word::Local,
        }
    }
}
