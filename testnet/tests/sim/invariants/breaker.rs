//! Breaker safety: the history of epochs is the same on every node, grows by one with each
//! transition, and an epoch has at most one holder of the probe.

use std::collections::BTreeMap;

use llm_router_cluster::state::BreakerRecord;
use llm_router_cluster::{Done, MemberId, Outcome};

use super::{Event, Invariant};

#[derive(Debug, Default)]
pub(super) struct Breakers {
    /// By the epoch: one upstream is enough.
    history: BTreeMap<u64, BreakerRecord>,
    holders: BTreeMap<u64, MemberId>,
}

impl Invariant for Breakers {
    fn notice(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Event::Applied {
            node,
            outcome: Outcome::Done(done),
            ..
        } = event
        else {
            return Ok(());
        };
        let Done::Breaker {
            record: Some(record),
        } = done
        else {
            return Ok(());
        };
        let known = self
            .history
            .entry(record.epoch)
            .or_insert_with(|| record.clone());
        if known != record {
            return Err(format!("n{node} has {record:?}, elsewhere it is {known:?}"));
        }
        if let Some(holder) = record.holder {
            let known = *self.holders.entry(record.epoch).or_insert(holder);
            if known != holder {
                let epoch = record.epoch;
                return Err(format!("epoch {epoch} is held by {known} and by {holder}"));
            }
        }
        if record.epoch > 1 && !self.history.contains_key(&(record.epoch - 1)) {
            return Err(format!(
                "n{node} came to epoch {} over nothing",
                record.epoch
            ));
        }
        Ok(())
    }
}
