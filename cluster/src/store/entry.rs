//! Log entries as rows. A data format: its changes get their own commit prefix.
//!
//! ```text
//! key    index, 8 bytes, big-endian
//! value  index 8 | chain 16 | term 8 | leader 8 | kind 1 | payload
//! ```
//! Numbers in values are little-endian. The chain binds each entry to all before it on this node, so
//! that one number, kept elsewhere, tells whether the log is still the one that was written.

use std::io;

use openraft::type_config::alias::{CommittedLeaderIdOf, EntryOf, LogIdOf};
use openraft::{EntryPayload, LogId};
use sha2::{Digest, Sha256};

use super::frame::bad;
use crate::command::{self, BadCommand};
use crate::raft::TypeConfig;

pub(super) type Entry = EntryOf<TypeConfig>;
pub(super) type EntryId = LogIdOf<TypeConfig>;

/// Hash over an entry and all before it, as this node wrote them.
pub(super) type Chain = [u8; 16];

const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Where the log ends: the last entry, and the chain up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Tail {
    /// The last entry's id; `None` before the first.
    pub(super) id: Option<EntryId>,
    /// The chain up to it.
    pub(super) chain: Chain,
}

impl Tail {
    /// The chain begins anew behind a gap that a snapshot fills.
    pub(super) fn after_gap(id: EntryId) -> Self {
        let mut body = head(&id);
        body.extend_from_slice(&id.index.to_le_bytes());
        let chain = link(Chain::default(), &body);
        Tail {
            id: Some(id),
            chain,
        }
    }

    /// The index after this.
    pub(super) fn next_index(&self) -> u64 {
        self.id.map_or(0, |id| id.index.saturating_add(1))
    }
}

/// An entry's key.
pub(super) fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// An entry's value, and the tail once it is there.
pub(super) fn encode(entry: &Entry, before: &Tail) -> io::Result<(Vec<u8>, Tail)> {
    let (kind, payload) = match &entry.payload {
        EntryPayload::Blank => (BLANK, Vec::new()),
        EntryPayload::Normal(command) => (COMMAND, command::encode(command)),
        EntryPayload::Membership(membership) => (MEMBERSHIP, serde_json::to_vec(membership)?),
    };
    let mut body = head(&entry.log_id);
    body.push(kind);
    body.extend_from_slice(&payload);
    let chain = link(before.chain, &body);

    let mut value = Vec::with_capacity(24 + body.len());
    value.extend_from_slice(&entry.log_id.index.to_le_bytes());
    value.extend_from_slice(&chain);
    value.extend_from_slice(&body);
    let id = Some(entry.log_id);
    Ok((value, Tail { id, chain }))
}

/// A stored entry, taken apart but not yet understood.
#[derive(Debug)]
pub(super) struct Stored<'a> {
    /// Where it and all before it lead to.
    pub(super) tail: Tail,
    id: EntryId,
    kind: u8,
    body: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Stored<'a> {
    /// Takes the value at an index apart; refuses one that says it belongs elsewhere.
    pub(super) fn read(index: u64, value: &'a [u8]) -> io::Result<Self> {
        let short = || bad(format!("log entry {index} is cut short"));
        let (own, rest) = value.split_first_chunk::<8>().ok_or_else(short)?;
        let (chain, body) = rest.split_first_chunk::<16>().ok_or_else(short)?;
        let (term, rest) = body.split_first_chunk::<8>().ok_or_else(short)?;
        let (leader, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let (kind, payload) = rest.split_first().ok_or_else(short)?;
        let own = u64::from_le_bytes(*own);
        if own != index {
            return Err(bad(format!("log entry {index} says it is entry {own}")));
        }
        let id = entry_id(
            u64::from_le_bytes(*term),
            u64::from_le_bytes(*leader),
            index,
        );
        Ok(Stored {
            tail: Tail {
                id: Some(id),
                chain: *chain,
            },
            id,
            kind: *kind,
            body,
            payload,
        })
    }

    /// Whether it was written right after `before`.
    pub(super) fn follows(&self, before: &Tail) -> bool {
        link(before.chain, self.body) == self.tail.chain
    }

    /// Understands it.
    ///
    /// # Errors
    /// `Unsupported` for a command of a level this program does not know; it must stop there, for
    /// to skip it is to disagree with every node that does know it.
    pub(super) fn entry(&self) -> io::Result<Entry> {
        let index = self.id.index;
        let payload = match self.kind {
            BLANK => EntryPayload::Blank,
            COMMAND => EntryPayload::Normal(command::decode(self.payload).map_err(|problem| {
                let kind = match problem {
                    BadCommand::TooNew(_) => io::ErrorKind::Unsupported,
                    BadCommand::Damaged(_) => io::ErrorKind::InvalidData,
                };
                io::Error::new(kind, format!("log entry {index}: {problem}"))
            })?),
            MEMBERSHIP => EntryPayload::Membership(
                serde_json::from_slice(self.payload)
                    .map_err(|problem| bad(format!("log entry {index}: {problem}")))?,
            ),
            other => return Err(bad(format!("log entry {index} is of unknown kind {other}"))),
        };
        Ok(Entry {
            log_id: self.id,
            payload,
        })
    }
}

/// An entry's id from its numbers.
pub(super) fn entry_id(term: u64, node_id: u64, index: u64) -> EntryId {
    let leader_id = CommittedLeaderIdOf::<TypeConfig> { term, node_id };
    LogId { leader_id, index }
}

fn head(id: &EntryId) -> Vec<u8> {
    let mut head = Vec::with_capacity(32);
    head.extend_from_slice(&id.leader_id.term.to_le_bytes());
    head.extend_from_slice(&id.leader_id.node_id.to_le_bytes());
    head
}

fn link(before: Chain, body: &[u8]) -> Chain {
    let digest = Sha256::new()
        .chain_update(before)
        .chain_update(body)
        .finalize();
    let mut chain = Chain::default();
    chain.copy_from_slice(&digest[..16]);
    chain
}
