//! The head of a snapshot: what its bytes are and who sends them.

use llm_router_proto::llm_router::cluster::v1;
use openraft::SnapshotMeta;
use openraft::type_config::alias::{SnapshotMetaOf, VoteOf};

use super::entry::{stored_in, stored_out};
use super::{BadWire, at_most, log_id_in, log_id_out, vote_in, vote_out};
use crate::raft::TypeConfig;

/// Largest snapshot taken from a peer. The agreed state is bounded far below it.
pub(crate) const MAX_SNAPSHOT: u64 = 256 << 20;
/// Largest piece of one.
pub(crate) const MAX_CHUNK: usize = 1 << 20;

/// What comes before the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The leader that sends it.
    pub(crate) vote: VoteOf<TypeConfig>,
    /// What it covers.
    pub(crate) meta: SnapshotMetaOf<TypeConfig>,
    /// How much follows.
    pub(crate) bytes: u64,
    /// Of all that follows.
    pub(crate) sha256: [u8; 32],
}

pub(crate) fn head_out(head: &Head) -> v1::SnapshotHead {
    v1::SnapshotHead {
        vote: Some(vote_out(&head.vote)),
        last: head.meta.last_log_id.as_ref().map(log_id_out),
        membership: Some(stored_out(&head.meta.last_membership)),
        bytes: head.bytes,
        sha256: head.sha256.to_vec(),
    }
}

pub(crate) fn head_in(head: v1::SnapshotHead) -> Result<Head, BadWire> {
    at_most(head.bytes, MAX_SNAPSHOT, "snapshot.bytes")?;
    let vote = vote_in(head.vote, "snapshot.vote")?;
    let last = log_id_in(head.last, "snapshot.last")?;
    if last.is_some_and(|last| last.leader_id > vote.leader_id) {
        return Err(BadWire::bad(
            "snapshot.last",
            "no leader has entries of a later one",
        ));
    }
    Ok(Head {
        vote,
        meta: SnapshotMeta {
            last_log_id: last,
            last_membership: stored_in(head.membership)?,
        },
        bytes: head.bytes,
        sha256: head
            .sha256
            .try_into()
            .map_err(|_| BadWire::bad("snapshot.sha256", "not 32 bytes"))?,
    })
}
