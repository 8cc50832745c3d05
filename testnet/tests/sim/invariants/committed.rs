//! What is committed is never another entry, and never dropped from the log of a node that has it
//! (Raft, section 5.4).

use std::collections::BTreeMap;

use super::{Event, Invariant};
use crate::types::LogId;

#[derive(Debug, Default)]
pub(super) struct Committed {
    by_index: BTreeMap<u64, LogId>,
}

impl Committed {
    fn commit(&mut self, node: u64, id: LogId) -> Result<(), String> {
        let known = *self.by_index.entry(id.index).or_insert(id);
        if known == id {
            return Ok(());
        }
        Err(format!("n{node} commits {id} where {known} is committed"))
    }
}

impl Invariant for Committed {
    fn notice(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Applied { node, id, .. } => self.commit(*node, *id),
            Event::Installed {
                node,
                last: Some(last),
                ..
            } => self.commit(*node, *last),
            Event::Truncated { node, gone } => {
                let committed = |id: &&LogId| self.by_index.get(&id.index) == Some(*id);
                match gone.iter().find(committed) {
                    Some(id) => Err(format!("n{node} drops {id}, which is committed")),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
