//! The routing config as agreed, and what it was before.

use serde::{Deserialize, Serialize};

use crate::identity::Revision;

/// Most revisions kept.
pub const MAX_HISTORY: usize = 100;
/// Largest config text in bytes.
pub const MAX_TEXT: usize = 1 << 20;
/// Most bytes of all texts kept; older revisions give way, the one in force never.
pub const MAX_HISTORY_BYTES: usize = 16 << 20;

/// One revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRevision {
    /// Its number.
    pub revision: Revision,
    /// The text, as it was proposed.
    pub text: String,
    /// Who made it.
    pub by: String,
    /// Where it came from.
    pub note: String,
    /// The agreed clock when it was made, in milliseconds.
    pub at_ms: u64,
}

/// The config in force, and its history with the newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigTable {
    pub(super) revisions: std::collections::VecDeque<std::sync::Arc<ConfigRevision>>,
}

impl ConfigTable {
    /// The number in force; 0 while there is none.
    pub fn revision(&self) -> Revision {
        self.current()
            .map_or(Revision(0), |current| current.revision)
    }

    /// The one in force.
    pub fn current(&self) -> Option<&ConfigRevision> {
        self.revisions.back().map(AsRef::as_ref)
    }

    /// One that is still kept.
    pub fn get(&self, revision: Revision) -> Option<&ConfigRevision> {
        self.history().find(|kept| kept.revision == revision)
    }

    /// Those kept, the newest first.
    pub fn history(&self) -> impl Iterator<Item = &ConfigRevision> {
        self.revisions.iter().rev().map(AsRef::as_ref)
    }
}
