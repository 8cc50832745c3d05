//! Election safety (Raft, section 5.2): a leadership belongs to one process. openraft orders
//! leaderships by term and node, so two nodes may lead in one term, the lower one in vain; but no
//! leadership comes twice, not even to the same node after a restart.

use std::collections::BTreeMap;

use openraft::ServerState;

use super::{Event, Invariant};

#[derive(Debug, Default)]
pub(super) struct Elections {
    /// Term and node, and which run of it.
    won: BTreeMap<(u64, u64), u64>,
}

impl Invariant for Elections {
    fn notice(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Seen {
            node,
            boot,
            metrics,
            ..
        } = event
        else {
            return Ok(());
        };
        if metrics.state != ServerState::Leader {
            return Ok(());
        }
        let leads = metrics.vote.leader_id;
        if leads.node_id != *node {
            return Err(format!("n{node} leads by the vote {leads}"));
        }
        let known = *self.won.entry((leads.term, *node)).or_insert(*boot);
        if known == *boot {
            return Ok(());
        }
        Err(format!(
            "n{node} leads as {leads} in run {boot}, and did in run {known}"
        ))
    }
}
