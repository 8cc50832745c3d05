//! What the doors know of the node they belong to.

use std::sync::atomic::{AtomicBool, Ordering};

use llm_router_cluster::NodeId;

use crate::inference::Engine;
use crate::types::unix_seconds;

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// What it does.
    pub engine: Engine,
    /// Its HTTP door is on loopback and asks for no credential.
    pub open_loopback: bool,
    /// Wall-clock seconds at start.
    pub started_unix: u64,
    ready: AtomicBool,
}

impl Node {
    /// A node that is not ready yet.
    pub fn new(id: NodeId, engine: Engine, open_loopback: bool) -> Self {
        Node {
            id,
            engine,
            open_loopback,
            started_unix: unix_seconds(),
            ready: AtomicBool::new(false),
        }
    }

    /// Doors and config are live, and it is not draining.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Opens or, to drain, closes it to new work in the eyes of load balancers.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }
}
