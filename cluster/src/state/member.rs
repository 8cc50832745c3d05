//! Who belongs to the cluster. Who votes is Raft's own membership entry.
//!
//! Numbers only grow, so the highest ever given says all about those that are retired.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rows::Place;
use super::{State, bounds};
use crate::command::{Done, Rejected};
use crate::identity::{ClusterId, MemberId, NodeId};

/// Most members at a time; voters are five at most, the others learn.
pub const MAX_MEMBERS: usize = 256;

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

/// What a node says about itself when it comes in.
pub(super) struct Candidate<'a> {
    pub(super) name: &'a NodeId,
    pub(super) address: &'a str,
    pub(super) level: u16,
}

impl State {
    pub(super) fn begin(&mut self, cluster: &str, first: &Candidate<'_>) -> Result<Done, Rejected> {
        ClusterId::parse(cluster).map_err(|_| {
            bounds::too_much("a cluster id is 1 to 64 characters of A-Z a-z 0-9 . _ -")
        })?;
        if let Some(ours) = &self.meta.cluster {
            let what = format!("cluster {ours}");
            return Err(Rejected::Exists { what });
        }
        let done = self.let_in(MemberId(1), first)?;
        self.meta.cluster = Some(cluster.to_owned());
        Ok(done)
    }

    /// The log index is the number: no two entries share one, and it never comes again.
    pub(super) fn admit(
        &mut self,
        index: u64,
        candidate: &Candidate<'_>,
    ) -> Result<Done, Rejected> {
        if self.meta.cluster.is_none() {
            let what = "cluster: it has not begun".to_owned();
            return Err(Rejected::NotFound { what });
        }
        self.let_in(MemberId(index), candidate)
    }

    pub(super) fn update(
        &mut self,
        member: MemberId,
        address: &str,
        level: u16,
    ) -> Result<Done, Rejected> {
        bounds::name("an address", address, bounds::MAX_ADDRESS)?;
        let mut record = self.member(member)?.clone();
        address.clone_into(&mut record.address);
        record.level = level;
        Ok(self.put_member(record))
    }

    pub(super) fn dismiss(&mut self, member: MemberId) -> Result<Done, Rejected> {
        self.member(member)?;
        self.touch(&Place::Member(member));
        Arc::make_mut(&mut self.members).remove(&member);
        Ok(Done::Member { member })
    }

    fn let_in(&mut self, member: MemberId, candidate: &Candidate<'_>) -> Result<Done, Rejected> {
        bounds::node(candidate.name)?;
        bounds::name("an address", candidate.address, bounds::MAX_ADDRESS)?;
        if self
            .members
            .values()
            .any(|other| other.name == *candidate.name)
        {
            let what = format!("a node called {}", candidate.name);
            return Err(Rejected::Exists { what });
        }
        bounds::room("members", self.members.len(), MAX_MEMBERS)?;
        if member <= self.meta.last_member {
            return Err(Rejected::Stale {
                expected: member.0,
                current: self.meta.last_member.0,
            });
        }
        self.meta.last_member = member;
        Ok(self.put_member(MemberRecord {
            member,
            name: candidate.name.clone(),
            address: candidate.address.to_owned(),
            level: candidate.level,
            since_ms: self.meta.clock_ms,
        }))
    }

    fn member(&self, member: MemberId) -> Result<&MemberRecord, Rejected> {
        let missing = || Rejected::NotFound {
            what: format!("member {member}"),
        };
        self.members.get(&member).ok_or_else(missing)
    }

    fn put_member(&mut self, record: MemberRecord) -> Done {
        let member = record.member;
        self.touch(&Place::Member(member));
        Arc::make_mut(&mut self.members).insert(member, record);
        Done::Member { member }
    }
}
