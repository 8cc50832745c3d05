//! Leader completeness (Raft, section 5.4.3): whoever leads has every entry that was committed
//! under an earlier leadership.

use std::collections::BTreeMap;

use openraft::ServerState;

use super::{Event, Invariant};
use crate::types::{Leadership, LogId};

#[derive(Debug, Default)]
pub(super) struct Completeness {
    committed: BTreeMap<u64, LogId>,
    /// Leaderships that were checked: what comes after is theirs or not their concern.
    checked: Vec<Leadership>,
}

impl Invariant for Completeness {
    fn notice(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Applied { id, .. } => {
                self.committed.insert(id.index, *id);
                Ok(())
            }
            Event::Seen {
                node,
                metrics,
                image,
                ..
            } if metrics.state == ServerState::Leader => {
                let leads = metrics.vote.leader_id;
                if self.checked.contains(&leads) {
                    return Ok(());
                }
                self.checked.push(leads);
                let missing = |id: &&LogId| id.leader_id < leads && !image.holds(**id);
                match self.committed.values().find(missing) {
                    Some(id) => Err(format!("n{node} leads as {leads} without {id}")),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
