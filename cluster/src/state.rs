//! Everything agreed. Pure: [`State::apply`] reads no clock, so every node that applies the same
//! commands holds the same state, byte for byte.
//!
//! The state is stored in [`Row`]s. After each apply [`State::changes`] tells which rows differ, so
//! that a change of one breaker does not rewrite a megabyte of config.

mod bounds;
mod breaker;
mod cache;
mod config;
mod key;
mod member;
mod remembered;
mod rows;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::{Change, Command, Done, Outcome, Rejected};
use crate::identity::{MemberId, Revision};
use cache::Cells;
use member::Candidate;
use remembered::Remembered;
use rows::{Meta, Place};

pub use breaker::{BreakerRecord, Cause, Mode, Phase};
pub use config::{ConfigRevision, ConfigTable, MAX_HISTORY, MAX_HISTORY_BYTES, MAX_TEXT};
pub use key::KeyRecord;
pub use member::{MAX_MEMBERS, MemberRecord};

/// Most breakers with a record.
pub const MAX_BREAKERS: usize = 10_000;
/// Most keys, revoked ones included.
pub const MAX_KEYS: usize = 100_000;
/// Most scopes of the cache whose epoch is remembered.
pub const MAX_EPOCHS: usize = 20_000;
/// Requests whose outcome is remembered.
pub const MAX_REMEMBERED: usize = 10_000;

/// An upstream as the nodes agree on it: the model's name and a digest of what makes it the same
/// upstream everywhere (dialect, address, upstream name, credential's reference). At most 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TargetId(pub String);

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Cell centroids of one embedding space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Centroids {
    /// The space's name.
    pub space: String,
    /// Dimensions of each.
    pub dimensions: u32,
    /// Little-endian f32, centroid after centroid, in base64. At most 2 MiB decoded.
    pub data: String,
    /// The share of all copies expected in each centroid's cell: finite, from 0 up; none when it is
    /// not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<f32>,
}

/// The agreed state. Cheap to clone: tables are shared until they change.
#[derive(Clone, Default)]
pub struct State {
    meta: Meta,
    config: ConfigTable,
    keys: Arc<BTreeMap<String, KeyRecord>>,
    breakers: Arc<BTreeMap<TargetId, BreakerRecord>>,
    members: Arc<BTreeMap<MemberId, MemberRecord>>,
    epochs: Arc<BTreeMap<String, u64>>,
    centroids: Arc<BTreeMap<String, Arc<Cells>>>,
    remembered: Remembered,
    /// Keys of the rows that changed and were not told yet.
    touched: BTreeSet<Vec<u8>>,
}

/// One stored row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where: `table/…`.
    pub key: Vec<u8>,
    /// What; `None` when it is gone.
    pub value: Option<Vec<u8>>,
}

/// A stored row makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("stored row {key:?} cannot be read: {problem}")]
pub struct BadRow {
    /// Its key, escaped.
    pub key: String,
    /// Why.
    pub problem: String,
}

impl fmt::Debug for State {
    /// How much there is, not all of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("meta", &self.meta)
            .field("revision", &self.revision())
            .field("keys", &self.keys.len())
            .field("breakers", &self.breakers.len())
            .field("members", &self.members.len())
            .finish_non_exhaustive()
    }
}

impl State {
    /// Applies one command at a log index. A command that was applied before gets its first outcome
    /// again and changes nothing.
    pub fn apply(&mut self, index: u64, command: &Command) -> Outcome {
        if let Some(before) = self.remembered.outcome(command.request) {
            return before;
        }
        self.meta.clock_ms = self.meta.clock_ms.max(command.at_ms);
        self.touch(&Place::Meta);
        let outcome = match self.change(index, command) {
            Ok(done) => Outcome::Done(done),
            Err(rejected) => Outcome::Rejected(rejected),
        };
        for number in self.remembered.remember(command.request, &outcome) {
            self.touch(&Place::Request(number));
        }
        outcome
    }

    fn change(&mut self, index: u64, command: &Command) -> Result<Done, Rejected> {
        bounds::text("an author", &command.by, bounds::MAX_NAME)?;
        let candidate = |name, address, level| Candidate {
            name,
            address,
            level,
        };
        match &command.change {
            Change::Begin {
                cluster,
                name,
                address,
                level,
            } => self.begin(cluster, &candidate(name, address, *level)),
            Change::Admit {
                name,
                address,
                level,
            } => self.admit(index, &candidate(name, address, *level)),
            Change::Update {
                member,
                address,
                level,
            } => self.update(*member, address, *level),
            Change::Dismiss { member } => self.dismiss(*member),
            Change::Config {
                expected,
                text,
                note,
            } => self.set_config(*expected, text, note, &command.by),
            Change::Rollback { to, expected } => self.rollback_config(*to, *expected, &command.by),
            Change::CreateKey(record) => self.create_key(record),
            Change::RevokeKey { id } => self.revoke_key(id),
            Change::RotateKey {
                id,
                digest,
                grace_until_ms,
            } => self.rotate_key(id, digest, *grace_until_ms),
            Change::Breaker(change) => self.move_breaker(index, change),
            Change::Breakers(changes) => self.move_breakers(index, changes),
            Change::CacheEpoch { scope } => self.grow_epoch(scope),
            Change::Centroids {
                expected,
                centroids,
            } => self.set_centroids(*expected, centroids),
        }
    }

    /// The cluster's id; `None` before it began.
    pub fn cluster(&self) -> Option<&str> {
        self.meta.cluster.as_deref()
    }

    /// The routing config and its history.
    pub fn config(&self) -> &ConfigTable {
        &self.config
    }

    /// Revision of the routing config; 0 while there is none.
    pub fn revision(&self) -> Revision {
        self.config.revision()
    }

    /// Keys by id.
    pub fn keys(&self) -> &BTreeMap<String, KeyRecord> {
        &self.keys
    }

    /// Breakers that are not simply closed at epoch 0.
    pub fn breakers(&self) -> &BTreeMap<TargetId, BreakerRecord> {
        &self.breakers
    }

    /// Members by number.
    pub fn members(&self) -> &BTreeMap<MemberId, MemberRecord> {
        &self.members
    }

    /// It was a member and is none any more: its number is below the highest given, and has no
    /// record.
    pub fn is_retired(&self, member: MemberId) -> bool {
        member <= self.meta.last_member && !self.members.contains_key(&member)
    }

    /// How often cached answers were called off, in whatever scope.
    pub fn cache_epoch(&self) -> u64 {
        self.meta.cache_epoch
    }

    /// Answers to requests that began at an earlier cache epoch are off, whatever they are.
    pub fn cache_floor(&self) -> u64 {
        self.meta.cache_floor
    }

    /// The cache epoch at which each scope was called off last. Shared until it changes.
    pub fn cache_scopes(&self) -> &Arc<BTreeMap<String, u64>> {
        &self.epochs
    }

    /// The centroids of an embedding space and their epoch.
    pub fn centroids(&self, space: &str) -> Option<(u64, &Centroids)> {
        let cells = self.centroids.get(space)?;
        Some((cells.epoch, &cells.centroids))
    }

    /// Wall-clock milliseconds as agreed: the largest any command carried.
    pub fn clock_ms(&self) -> u64 {
        self.meta.clock_ms
    }

    /// The level every member understands: the highest a command may need. The first level while
    /// there is no member.
    pub fn level(&self) -> u16 {
        let levels = self.members.values().map(|member| member.level);
        levels.min().unwrap_or(1)
    }
}
