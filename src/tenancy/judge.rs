//! Whether a key is taken. Pure: tables, clock and silence come in.

use std::collections::BTreeMap;
use std::time::Duration;

use llm_router_cluster::state::KeyRecord;

use super::caller::{Caller, Scope};
use super::text::{KeyText, Malformed};
use crate::error::{Error, Kind};

/// Compared with where there is no digest, so that the same work is done.
const NOBODY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a key is judged by, beside the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Wall-clock milliseconds: the later of this node's clock and the agreed one, so that a clock
    /// that was set back revives no key.
    pub(super) wall_ms: u64,
    /// How long no leader was heard of; zero while one is.
    pub(super) silence: Duration,
}

/// Why a caller is refused. None of these repeats what was presented.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing was presented.
    #[error("a key is needed: send it as `authorization: Bearer rk_…` or as `x-api-key`")]
    Missing,
    /// What was presented is no key, or lost a character on the way.
    #[error("that is not a whole key: a key is `rk_<id>_<secret>_<check>`")]
    Malformed,
    /// No such key, or another secret.
    #[error("the key is not known here")]
    Unknown,
    /// It was revoked.
    #[error("the key was revoked")]
    Revoked,
    /// Its time is over.
    #[error("the key has expired")]
    Expired,
    /// This node has been cut off for longer than the key may go unconfirmed.
    #[error(
        "this node has heard of no leader for {silent_s} s, so it cannot know whether the key was \
         revoked; the key is taken for {valid_s} s without one; try another node"
    )]
    Unconfirmed {
        /// How long no leader was heard of.
        silent_s: u64,
        /// How long the key may go unconfirmed.
        valid_s: u64,
    },
    /// There is no key that could be presented, and the door is open to other machines.
    #[error(
        "this node can be reached from other machines and there is no key in force; start it on \
         127.0.0.1 and make one with `llm-router keys create`"
    )]
    NoKeys,
    /// This node has just joined: it has not heard yet whether there are keys.
    #[error("this node has just joined and does not know the cluster's keys yet; try again")]
    Joining,
    /// The key may not do this.
    #[error("this needs a key with the scope `{scope}`")]
    Lacks {
        /// What is needed.
        scope: Scope,
    },
}

impl From<Malformed> for Refused {
    fn from(_: Malformed) -> Self {
        Refused::Malformed
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let kind = match refused {
            Refused::Lacks { .. } => Kind::Forbidden,
            Refused::Joining => Kind::Behind,
            Refused::Missing
            | Refused::Malformed
            | Refused::Unknown
            | Refused::Revoked
            | Refused::Expired
            | Refused::Unconfirmed { .. }
            | Refused::NoKeys => Kind::Unauthenticated,
        };
        Error::new(kind, refused.to_string()).with_source(refused)
    }
}

/// Takes or refuses a key. An id that is not known costs the same work as one that is, and digests
/// are compared in constant time.
pub(super) fn judge(
    keys: &BTreeMap<String, KeyRecord>,
    presented: &KeyText,
    now: &Now,
) -> Result<Caller, Refused> {
    let digest = presented.digest();
    let record = keys.get(presented.id());
    let current = record.map_or(NOBODY, |record| &record.digest);
    let previous = record.and_then(|record| record.previous.as_ref());
    let (before, until_ms) =
        previous.map_or((NOBODY, 0), |(digest, until)| (digest.as_str(), *until));
    let is_current = same(&digest, current);
    let is_previous = same(&digest, before) & (now.wall_ms < until_ms);
    let record = record
        .filter(|_| is_current | is_previous)
        .ok_or(Refused::Unknown)?;
    if record.revoked_ms.is_some() {
        return Err(Refused::Revoked);
    }
    if record.expires_ms.is_some_and(|end| end <= now.wall_ms) {
        return Err(Refused::Expired);
    }
    let valid = Duration::from_secs(record.valid_without_quorum_s);
    if now.silence > valid {
        return Err(Refused::Unconfirmed {
            silent_s: now.silence.as_secs(),
            valid_s: valid.as_secs(),
        });
    }
    Ok(Caller::of(record))
}

/// Compares in constant time; a digest that cannot be read is compared as zeroes and never equal.
fn same(digest: &blake3::Hash, kept: &str) -> bool {
    let kept = blake3::Hash::from_hex(kept);
    let readable = kept.is_ok();
    let equal = *digest == kept.unwrap_or(blake3::Hash::from_bytes([0; 32]));
    equal & readable
}

#[cfg(test)]
mod tests;
