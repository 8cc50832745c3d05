//! Who belongs to the cluster. Who votes is Raft's own membership entry.

use serde::{Deserialize, Serialize};

use crate::identity::{MemberId, NodeId};

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Its number.
    pub member: MemberId,
    /// Its name.
    pub name: NodeId,
    /// `host:port` of its node-to-node door.
    pub address: String,
    /// The highest command level it understands.
    pub level: u16,
    /// The agreed clock when it was let in, in milliseconds.
    pub since_ms: u64,
}
