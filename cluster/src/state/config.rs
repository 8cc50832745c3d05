//! The routing config as agreed, and what it was before.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rows::Place;
use super::{State, bounds};
use crate::command::{Done, Rejected};
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
    pub(super) revisions: VecDeque<Arc<ConfigRevision>>,
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

impl ConfigTable {
    /// Whether more is kept than may be. The one in force is always kept.
    fn is_too_large(&self) -> bool {
        let bytes: usize = self.revisions.iter().map(|kept| kept.text.len()).sum();
        let crowded = self.revisions.len() > MAX_HISTORY || bytes > MAX_HISTORY_BYTES;
        crowded && self.revisions.len() > 1
    }
}

impl State {
    pub(super) fn set_config(
        &mut self,
        expected: Option<Revision>,
        text: &str,
        note: &str,
        by: &str,
    ) -> Result<Done, Rejected> {
        bounds::text("a config", text, MAX_TEXT)?;
        bounds::text("a note", note, bounds::MAX_NOTE)?;
        let revision = self.revision();
        // Several nodes may propose the same file one after the other: the first makes a revision,
        // the others find their wish fulfilled.
        if self
            .config
            .current()
            .is_some_and(|current| current.text == text)
        {
            return Ok(Done::Config { revision });
        }
        if let Some(expected) = expected.filter(|expected| *expected != revision) {
            return Err(Rejected::Stale {
                expected: expected.0,
                current: revision.0,
            });
        }
        Ok(self.put_config(ConfigRevision {
            revision: revision.next(),
            text: text.to_owned(),
            by: by.to_owned(),
            note: note.to_owned(),
            at_ms: self.meta.clock_ms,
        }))
    }

    pub(super) fn rollback_config(
        &mut self,
        to: Revision,
        expected: Option<Revision>,
        by: &str,
    ) -> Result<Done, Rejected> {
        let missing = || Rejected::NotFound {
            what: format!("revision {to} in the history"),
        };
        let text = self.config.get(to).ok_or_else(missing)?.text.clone();
        self.set_config(expected, &text, &format!("rollback to {to}"), by)
    }

    fn put_config(&mut self, made: ConfigRevision) -> Done {
        let revision = made.revision;
        self.touch(&Place::Config(revision));
        self.config.revisions.push_back(Arc::new(made));
        while self.config.is_too_large() {
            if let Some(oldest) = self.config.revisions.pop_front() {
                self.touch(&Place::Config(oldest.revision));
            }
        }
        Done::Config { revision }
    }
}
