//! Term, vote, commit index and applied index of a process never go back, and it applies each
//! index once, in order.

use std::collections::BTreeMap;

use super::{Event, Invariant};
use crate::types::{LogId, Vote};

#[derive(Debug, Default)]
pub(super) struct Monotone {
    /// By node and boot.
    applied: BTreeMap<(u64, u64), u64>,
    seen: BTreeMap<(u64, u64), Marks>,
}

#[derive(Clone, Copy, Debug)]
struct Marks {
    term: u64,
    vote: Vote,
    committed: Option<LogId>,
    applied: Option<LogId>,
}

impl Invariant for Monotone {
    fn notice(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Applied { node, boot, id, .. } => {
                let last = self.applied.insert((*node, *boot), id.index);
                match last.filter(|last| last + 1 != id.index) {
                    Some(last) => Err(format!("n{node} applies {id} after index {last}")),
                    None => Ok(()),
                }
            }
            Event::Installed {
                node,
                boot,
                last: Some(id),
                ..
            } => {
                let last = self.applied.insert((*node, *boot), id.index);
                match last.filter(|last| *last > id.index) {
                    Some(last) => Err(format!("n{node} goes back to {id} from index {last}")),
                    None => Ok(()),
                }
            }
            Event::Seen {
                node,
                boot,
                metrics,
                ..
            } => {
                let marks = Marks {
                    term: metrics.current_term,
                    vote: metrics.vote,
                    committed: metrics.local_committed,
                    applied: metrics.last_applied,
                };
                let before = self.seen.insert((*node, *boot), marks);
                match before.filter(|before| !before.allows(&marks)) {
                    Some(before) => Err(format!("n{node} went from {before:?} to {marks:?}")),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Marks {
    fn allows(&self, after: &Marks) -> bool {
        self.term <= after.term
            && self.vote <= after.vote
            && self.committed <= after.committed
            && self.applied <= after.applied
    }
}
