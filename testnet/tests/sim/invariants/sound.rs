//! Raft itself never gives up on a node that did not crash.

use super::{Event, Invariant};

#[derive(Debug, Default)]
pub(super) struct Sound;

impl Invariant for Sound {
    fn notice(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Seen { node, metrics, .. } => match &metrics.running_state {
                Ok(()) => Ok(()),
                Err(fatal) => Err(format!("n{node} stopped: {fatal}")),
            },
            _ => Ok(()),
        }
    }
}
