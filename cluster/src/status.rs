//! How a node stands in its cluster.

use serde::Serialize;

use crate::identity::{ClusterId, MemberId, NodeId, Revision};

/// As this node sees it; another node may see more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// This node.
    pub node: NodeId,
    /// Its number.
    pub member: MemberId,
    /// The cluster.
    pub cluster: ClusterId,
    /// Who leads, as far as known.
    pub leader: Option<NodeId>,
    /// The term.
    pub term: u64,
    /// Revision of the routing config in the agreed state.
    pub revision: Revision,
    /// The last entry applied here.
    pub applied: u64,
    /// The last entry known to be committed.
    pub committed: u64,
    /// A leader with a quorum has been heard of lately, and this node has what was agreed until
    /// then: writes can be made, and nothing old is gone by.
    pub connected: bool,
    /// Milliseconds since that leader was last heard of; 0 on itself.
    pub leader_contact_ms: Option<u64>,
    /// Every member.
    pub nodes: Vec<Member>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Member {
    /// Its name.
    pub id: NodeId,
    /// Its number.
    pub member: MemberId,
    /// What it is.
    pub role: Role,
    /// `host:port` of its node-to-node door.
    pub address: String,
    /// It was heard of lately. Followers know it of the leader and themselves by their own
    /// hearing, of others by the leader's word.
    pub alive: bool,
    /// The highest command level it understands.
    pub level: u16,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Votes and leads.
    Leader,
    /// Votes.
    Voter,
    /// Follows the log without a vote, and serves requests like any other.
    Learner,
}

impl Role {
    /// `leader`, `voter` or `learner`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Leader => "leader",
            Role::Voter => "voter",
            Role::Learner => "learner",
        }
    }
}
