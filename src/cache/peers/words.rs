//! What caches say to each other, in the cache's own terms. The wire has its own types.

use bytes::Bytes;

use crate::cache::compact::Compact;
use crate::cache::key::{EntryId, PartitionId};
use crate::types::{Priority, TenantId};

/// An entry on its way, sealed for its tenant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parcel {
    pub(crate) entry: EntryId,
    /// `None` for an entry of the exact tier alone.
    pub(crate) partition: Option<PartitionId>,
    /// All tenants share it.
    pub(crate) shared: bool,
    /// Whom it was made for.
    pub(crate) tenant: TenantId,
    pub(crate) sealed: Bytes,
}

/// A question by meaning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ask {
    pub(crate) tenant: TenantId,
    pub(crate) partition: PartitionId,
    /// The partition that all tenants share.
    pub(crate) everyone: Option<PartitionId>,
    pub(crate) vector: Compact,
    pub(crate) space: String,
    /// Entries further away are left out.
    pub(crate) least: f32,
    pub(crate) ttl_millis: u64,
    /// What the asker knows to be called off.
    pub(crate) epoch: u64,
}

/// What a node holds near a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// In the asker's own partition, nearest first.
    pub(crate) own: Vec<(f32, Parcel)>,
    /// In the one all tenants share.
    pub(crate) everyone: Vec<(f32, Parcel)>,
    /// The node knows less of what was called off than the asker and says nothing.
    pub(crate) behind: bool,
}

impl Seen {
    /// What came of it, in a word for traces.
    pub(crate) fn word(&self) -> &'static str {
        match (self.behind, self.own.is_empty() && self.everyone.is_empty()) {
            (true, _) => "behind",
            (false, true) => "nothing",
            (false, false) => "candidates",
        }
    }
}

/// A question for the owner of an exact key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FlyAsk {
    pub(crate) tenant: TenantId,
    pub(crate) entry: EntryId,
    pub(crate) everyone: Option<EntryId>,
    pub(crate) ttl_millis: u64,
    pub(crate) epoch: u64,
    pub(crate) priority: Priority,
    /// Stored answers are not asked for.
    pub(crate) refresh: bool,
}

/// From one who makes an answer, about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// Who answers; sealed. Said once more, this one carries on what the one before left unfinished.
    Begun(Bytes),
    /// A piece of it; sealed.
    Piece(Bytes),
    /// It is whole, and to be kept.
    Landed(Parcel),
    /// It is whole, but not to be used again.
    Ended,
    /// It broke off, and why; sealed.
    Broken(Bytes),
    /// Nothing came.
    Abandoned,
}

/// From the owner of an exact key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FlyWord {
    /// It is stored.
    Held(Parcel),
    /// The asker makes it.
    Lead,
    /// Somebody makes it; what there is of it follows.
    Follow,
    /// Go on alone; nobody waits.
    Alone,
    /// What whoever makes it tells.
    Told(Told),
    /// To the one who makes it: how many wait on the owner.
    Readers(u32),
}

impl FlyWord {
    /// What the owner decided, in a word for traces; the words after that are none.
    pub(crate) const fn decision(&self) -> Option<&'static str> {
        match self {
            FlyWord::Held(_) => Some("held"),
            FlyWord::Lead => Some("lead"),
            FlyWord::Follow => Some("follow"),
            FlyWord::Alone => Some("alone"),
            FlyWord::Told(_) | FlyWord::Readers(_) => None,
        }
    }
}

/// An entry by what tells its versions apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) entry: EntryId,
    /// Unix milliseconds.
    pub(crate) created: u64,
}

/// Entries of one cell made in one hour that two nodes both own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) cell: u16,
    /// Hours since 1970.
    pub(crate) hour: u32,
    pub(crate) count: u32,
    /// Exclusive or over its entries.
    pub(crate) digest: u64,
}

/// What a comparison of groups came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// Places of those that are other ones there.
    Other(Vec<u32>),
    /// The node works towards another placement.
    Elsewhere,
}

/// How far a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stand {
    /// What was called off up to here is forgotten, in memory and on disk.
    pub(crate) epoch: u64,
    /// The placement it works towards.
    pub(crate) placement: u64,
    /// The placement all its entries have been brought to.
    pub(crate) settled: u64,
    /// Entries its latest forgetting took out.
    pub(crate) forgotten: u64,
}

/// What became of entries that were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Places of those that are not kept there.
    pub(crate) refused: Vec<u32>,
}

/// What a node makes of entries it was offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Places of those it lacks and has room for.
    pub(crate) places: Vec<u32>,
    /// It has no room: what it lacks and does not want is not there.
    pub(crate) full: bool,
}

/// Some of the vectors a node holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sampled {
    pub(crate) vectors: Vec<Compact>,
}
