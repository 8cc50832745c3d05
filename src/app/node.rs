//! What the doors know of the node they belong to.

use std::sync::atomic::{AtomicBool, Ordering};

use llm_router_cluster::{NodeId, Revision};

use super::agreed::Agreed;
use crate::error::{Error, Kind};
use crate::inference::Engine;
use crate::tenancy::Keys;
use crate::types::unix_seconds;

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// What it does.
    pub engine: Engine,
    /// Who may call it.
    pub keys: Keys,
    agreed: Option<Agreed>,
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
            keys: Keys::none(),
            agreed: None,
            open_loopback,
            started_unix: unix_seconds(),
            ready: AtomicBool::new(false),
        }
    }

    /// The same node as a member of a cluster.
    #[must_use]
    pub fn agreeing(mut self, agreed: Agreed) -> Self {
        self.agreed = Some(agreed);
        self
    }

    /// The same node, asking for these keys.
    #[must_use]
    pub fn asking(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// What can be done with what the nodes agree on.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] on a node that is in no cluster.
    pub fn agreed(&self) -> Result<&Agreed, Error> {
        self.agreed
            .as_ref()
            .ok_or_else(|| Error::new(Kind::Unavailable, "this node is in no cluster"))
    }

    /// Revision of the config in service; 0 for the node's default.
    pub fn revision(&self) -> Revision {
        match &self.agreed {
            Some(agreed) => agreed.revision(),
            None => self.engine.config().0,
        }
    }

    /// It is a member of a cluster and hears of no leader with a quorum.
    pub fn is_isolated(&self) -> bool {
        self.agreed.as_ref().is_some_and(Agreed::is_isolated)
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
