//! State-machine safety (Raft, section 5.4.3): nodes that applied the same index gave the same
//! outcome, and hold the same state.

use std::collections::BTreeMap;

use llm_router_cluster::Outcome;

use super::{Event, Invariant};

#[derive(Debug, Default)]
pub(super) struct Agreement {
    outcomes: BTreeMap<u64, Outcome>,
    digests: BTreeMap<u64, [u8; 32]>,
}

impl Invariant for Agreement {
    fn notice(&mut self, event: &Event<'_>) -> Result<(), String> {
        let (node, index, digest) = match event {
            Event::Applied {
                node,
                id,
                outcome,
                digest,
                ..
            } => {
                let known = self
                    .outcomes
                    .entry(id.index)
                    .or_insert_with(|| (*outcome).clone());
                if *known != **outcome {
                    return Err(format!("n{node} at {id}: {outcome:?}, elsewhere {known:?}"));
                }
                (node, id.index, *digest)
            }
            Event::Installed {
                node,
                last: Some(last),
                digest,
                ..
            } => (node, last.index, Some(*digest)),
            _ => return Ok(()),
        };
        let Some(digest) = digest else { return Ok(()) };
        if *self.digests.entry(index).or_insert(digest) == digest {
            return Ok(());
        }
        Err(format!(
            "n{node} holds another state at index {index} than others do"
        ))
    }
}
