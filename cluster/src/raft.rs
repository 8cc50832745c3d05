//! openraft's types, named once. Nothing outside this crate and its simulation names them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::command::{Command, Outcome};
use crate::identity::NodeId;

/// A place in the log.
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;

/// Its index; 0 for none.
pub(crate) fn index(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index)
}

/// Where a member is reached, as the membership in the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub name: NodeId,
    /// `host:port` of its node-to-node door.
    pub address: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.address)
    }
}

openraft::declare_raft_types!(
    /// How openraft is told of our types. A member's id there is [`crate::MemberId`]'s number.
    pub TypeConfig:
        D = Command,
        R = Outcome,
        NodeId = u64,
        Node = Peer,
);
