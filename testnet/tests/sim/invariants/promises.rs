//! What a node answered to a peer survives its crash: the vote it gave, and the entries it said it
//! has, unless a later leader had it drop them.

use std::collections::BTreeMap;

use super::{Event, Invariant};
use crate::types::{LogId, Vote};

#[derive(Debug, Default)]
pub(super) struct Promises {
    votes: BTreeMap<u64, Vote>,
    logs: BTreeMap<u64, LogId>,
}

impl Invariant for Promises {
    fn notice(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Promised { node, vote, last } => {
                let known = self.votes.entry(*node).or_insert(*vote);
                if *known < *vote {
                    *known = *vote;
                }
                if let Some(last) = last {
                    let known = self.logs.entry(*node).or_insert(*last);
                    *known = (*known).max(*last);
                }
                Ok(())
            }
            Event::Truncated { node, gone } => {
                if self.logs.get(node).is_some_and(|last| gone.contains(last)) {
                    self.logs.remove(node);
                }
                Ok(())
            }
            Event::Booted { node, boot, image } => {
                if let Some(given) = self
                    .votes
                    .get(node)
                    .filter(|given| image.vote < Some(**given))
                {
                    let have = image.vote;
                    return Err(format!(
                        "n{node} gave the vote {given}, run {boot} finds {have:?}"
                    ));
                }
                match self.logs.get(node).filter(|last| !image.holds(**last)) {
                    Some(last) => Err(format!(
                        "n{node} said it has {last}, run {boot} finds {:?}",
                        image.last()
                    )),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
