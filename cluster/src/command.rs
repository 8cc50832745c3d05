//! What can be changed by agreement, and what comes of it.
//!
//! A command carries everything its effect depends on: who asked, under which request id, and the
//! wall-clock time. Applying one reads no clock and draws no lot, so every node ends in the same
//! state.

mod codec;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::identity::{MemberId, NodeId, Revision};
use crate::state::{BreakerRecord, Cause, Centroids, KeyRecord, Mode};

pub use codec::{BadCommand, LEVEL, decode, encode};

/// Names one request to change something. The same id twice changes something once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u128);

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Repeats of the same request are recognised by it.
    pub request: RequestId,
    /// Wall-clock milliseconds at the proposer; the state machine never lets its clock go back.
    pub at_ms: u64,
    /// Who asked, for the history: `operator`, `file on n1`, `leader`. At most 128 bytes.
    pub by: String,
    /// What to change.
    pub change: Change,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.change.name(), self.by)
    }
}

/// What a command changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// The cluster begins.
    Begin {
        /// Its id.
        cluster: String,
        /// The first member.
        name: NodeId,
        /// Where it is reached.
        address: String,
        /// The highest command level it understands.
        level: u16,
    },
    /// A node is given a member number. It becomes a learner by a membership entry that follows.
    Admit {
        /// Its name; refused while another member has it.
        name: NodeId,
        /// Where it is reached.
        address: String,
        /// The highest command level it understands.
        level: u16,
    },
    /// A member moved, or runs another version of the program.
    Update {
        /// Which.
        member: MemberId,
        /// Where it is reached now.
        address: String,
        /// The highest command level it understands now.
        level: u16,
    },
    /// A member's number is retired for ever, its name is free again.
    Dismiss {
        /// Which.
        member: MemberId,
    },
    /// Another routing config, already checked by the proposer.
    Config {
        /// The revision it was made from; `None` overwrites whatever is there.
        expected: Option<Revision>,
        /// The routing part as canonical JSON, secrets as references or sealed. At most 1 MiB.
        text: String,
        /// Where it came from, for the history.
        note: String,
    },
    /// An earlier config again, as a new revision.
    Rollback {
        /// The revision to return to.
        to: Revision,
        /// As for [`Change::Config`].
        expected: Option<Revision>,
    },
    /// A new key.
    CreateKey(KeyRecord),
    /// A key is refused from now on.
    RevokeKey {
        /// Which.
        id: String,
    },
    /// A key gets another secret; the old one is taken until `grace_until_ms`.
    RotateKey {
        /// Which.
        id: String,
        /// Digest of the new secret, hexadecimal.
        digest: String,
        /// Until when the old secret is still taken.
        grace_until_ms: u64,
    },
    /// A breaker moves.
    Breaker(BreakerChange),
    /// Several breakers move; each by itself.
    Breakers(Vec<BreakerChange>),
    /// A cache epoch grows: entries of an earlier one are never served again.
    CacheEpoch {
        /// What it covers: `all`, `tenant/…`, `tag/…`, `model/…`, `entry/…`. At most 512 bytes.
        scope: String,
    },
    /// Another set of cell centroids for an embedding space.
    Centroids {
        /// The epoch of that space it replaces; `None` when there is none yet.
        expected: Option<u64>,
        /// The set.
        centroids: Centroids,
    },
}

impl Change {
    /// Its name in logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Change::Begin { .. } => "begin",
            Change::Admit { .. } => "admit",
            Change::Update { .. } => "update",
            Change::Dismiss { .. } => "dismiss",
            Change::Config { .. } => "config",
            Change::Rollback { .. } => "rollback",
            Change::CreateKey(_) => "create_key",
            Change::RevokeKey { .. } => "revoke_key",
            Change::RotateKey { .. } => "rotate_key",
            Change::Breaker(_) => "breaker",
            Change::Breakers(_) => "breakers",
            Change::CacheEpoch { .. } => "cache_epoch",
            Change::Centroids { .. } => "centroids",
        }
    }
}

/// One transition of one breaker: compare-and-set on its epoch. Only the leader proposes those
/// that are not an operator's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerChange {
    /// Which upstream: [`crate::state::TargetId`]'s text.
    pub target: String,
    /// The epoch it was decided under; an override ignores it.
    pub expect: u64,
    /// Where to.
    pub to: BreakerStep,
}

/// Where a breaker moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum BreakerStep {
    /// Closed to open.
    Open {
        /// Why.
        cause: Cause,
        /// How long until the first probe, in milliseconds; jitter included.
        cooldown_ms: u64,
    },
    /// Open to half-open, or half-open to another holder.
    HalfOpen {
        /// The one node that may probe.
        holder: MemberId,
        /// How long it may, by its own clock from its own apply.
        lease_ms: u64,
        /// Good probes in a row that close it.
        need_ok: u32,
    },
    /// Half-open to closed.
    Close,
    /// Half-open back to open.
    Reopen {
        /// Why.
        cause: Cause,
        /// As for [`BreakerStep::Open`].
        cooldown_ms: u64,
    },
    /// It stayed closed for a minute: one opening is forgotten.
    Decay,
    /// An operator's word; always legal.
    Override {
        /// What it is.
        mode: Mode,
    },
    /// The target is in no config any more: its record goes.
    Forget,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It changed something.
    Done(Done),
    /// It changed nothing, for this reason. Not an error of the log.
    Rejected(Rejected),
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "done", rename_all = "snake_case")]
pub enum Done {
    /// An entry of Raft's own: blank or membership.
    Nothing,
    /// The config has this revision now.
    Config {
        /// The revision.
        revision: Revision,
    },
    /// A key was made, changed or revoked.
    Key {
        /// Its id.
        id: String,
    },
    /// A member was numbered, updated or dismissed.
    Member {
        /// Its number.
        member: MemberId,
    },
    /// A breaker's record as it is now; `None` once forgotten.
    Breaker {
        /// The record.
        record: Option<BreakerRecord>,
    },
    /// One outcome for each of several.
    Several {
        /// In the order of the command.
        outcomes: Vec<Outcome>,
    },
    /// An epoch grew.
    Epoch {
        /// Its value now.
        epoch: u64,
    },
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "rejected", rename_all = "snake_case")]
pub enum Rejected {
    /// It was made from another revision or epoch than the one in force.
    #[error("made from {expected}, but {current} is in force")]
    Stale {
        /// What it expected.
        expected: u64,
        /// What is.
        current: u64,
    },
    /// The breaker is not where the step starts from.
    #[error("a breaker that is {from} cannot take this step")]
    Illegal {
        /// Where it is.
        from: String,
    },
    /// There is no such thing.
    #[error("no such {what}")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// There is one already.
    #[error("{what} exists already")]
    Exists {
        /// What is there.
        what: String,
    },
    /// A bound would be passed.
    #[error("{what}")]
    TooMuch {
        /// Which bound, with its number.
        what: String,
    },
}
