//! Log matching (Raft, section 5.3): an entry's id names one entry, and everything before it is the
//! same wherever it stands. By induction it is enough that the entry just before is the same.

use std::collections::BTreeMap;

use super::{Event, Invariant};
use crate::types::{Entry, LogId};

#[derive(Debug, Default)]
pub(super) struct LogMatching {
    entries: BTreeMap<LogId, (Option<LogId>, Entry)>,
}

impl Invariant for LogMatching {
    fn notice(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Appended {
            node,
            before,
            entry,
        } = event
        else {
            return Ok(());
        };
        let id = entry.log_id;
        let (known_before, known) = self
            .entries
            .entry(id)
            .or_insert_with(|| (*before, (*entry).clone()));
        if known_before != before {
            return Err(format!(
                "n{node} has {id} after {before:?}, elsewhere it follows {known_before:?}"
            ));
        }
        if known.payload != entry.payload {
            return Err(format!(
                "n{node} has {entry:?} as {id}, elsewhere it is {known:?}"
            ));
        }
        Ok(())
    }
}
