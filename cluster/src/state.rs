//! Everything agreed. Pure: [`State::apply`] reads no clock, so every node that applies the same
//! commands holds the same state, byte for byte.
//!
//! The state is stored in [`Row`]s. After each apply [`State::changes`] tells which rows differ, so
//! that a change of one breaker does not rewrite a megabyte of config.

mod breaker;
mod config;
mod key;
mod member;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::{Command, Outcome};
use crate::identity::Revision;

pub use breaker::{BreakerRecord, Cause, Mode, Phase};
pub use config::{ConfigRevision, ConfigTable};
pub use key::KeyRecord;
pub use member::MemberRecord;

/// Most breakers with a record.
pub const MAX_BREAKERS: usize = 10_000;
/// Most keys, revoked ones included.
pub const MAX_KEYS: usize = 100_000;
/// Most cache epochs below `all`.
pub const MAX_EPOCHS: usize = 100_000;
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
}

/// The agreed state. Cheap to clone: tables are shared until they change.
#[derive(Clone, Debug, Default)]
pub struct State {
    // The fields are the author's own affair; readers use the methods below.
    pub(crate) inner: Arc<()>,
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

#[expect(
    unused_variables,
    clippy::unimplemented,
    reason = "the contract, before its author has come"
)]
impl State {
    /// Applies one command at a log index. A command that was applied before gets its first outcome
    /// again and changes nothing.
    pub fn apply(&mut self, index: u64, command: &Command) -> Outcome {
        unimplemented!()
    }

    /// Rows that changed since this was last called, in key order; a row changed twice is told once.
    pub fn changes(&mut self) -> Vec<Row> {
        unimplemented!()
    }

    /// All rows, in key order.
    pub fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        unimplemented!()
    }

    /// The state made of these rows.
    ///
    /// # Errors
    /// [`BadRow`] for a row of an unknown table or one that cannot be read.
    pub fn from_rows(rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Self, BadRow> {
        unimplemented!()
    }

    /// SHA-256 over all rows: equal on nodes that agree.
    pub fn digest(&self) -> [u8; 32] {
        unimplemented!()
    }

    /// The cluster's id; `None` before it began.
    pub fn cluster(&self) -> Option<&str> {
        unimplemented!()
    }

    /// The routing config and its history.
    pub fn config(&self) -> &ConfigTable {
        unimplemented!()
    }

    /// Revision of the routing config; 0 while there is none.
    pub fn revision(&self) -> Revision {
        self.config().revision()
    }

    /// Keys by id.
    pub fn keys(&self) -> &BTreeMap<String, KeyRecord> {
        unimplemented!()
    }

    /// Breakers that are not simply closed at epoch 0.
    pub fn breakers(&self) -> &BTreeMap<TargetId, BreakerRecord> {
        unimplemented!()
    }

    /// Members by number.
    pub fn members(&self) -> &BTreeMap<crate::MemberId, MemberRecord> {
        unimplemented!()
    }

    /// The cache epoch of a scope; 0 when it never grew.
    pub fn cache_epoch(&self, scope: &str) -> u64 {
        unimplemented!()
    }

    /// The centroids of an embedding space and their epoch.
    pub fn centroids(&self, space: &str) -> Option<(u64, &Centroids)> {
        unimplemented!()
    }

    /// Wall-clock milliseconds as agreed: the largest any command carried.
    pub fn clock_ms(&self) -> u64 {
        unimplemented!()
    }

    /// The level every member understands: the highest a command may need.
    pub fn level(&self) -> u16 {
        unimplemented!()
    }
}
