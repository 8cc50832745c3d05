//! Log entries and memberships.

use std::collections::{BTreeMap, BTreeSet};

use llm_router_proto::llm_router::cluster::v1;
use openraft::type_config::alias::{EntryOf, StoredMembershipOf};
use openraft::{Entry, EntryPayload, Membership, StoredMembership};

use super::member::{node_in, node_out};
use super::{BadWire, at_most, count, log_id_in, log_id_out};
use crate::command::{decode, encode};
use crate::raft::{Peer, TypeConfig};

/// Most members of a cluster: a handful vote, the others are learners.
const MAX_MEMBERS: usize = 256;
/// Most voter sets at once: Raft needs two while one replaces the other.
const MAX_CONFIGS: usize = 4;

/// Who the members are, as openraft has it.
pub(crate) type Members = Membership<u64, Peer>;

pub(crate) fn entry_out(entry: &EntryOf<TypeConfig>) -> v1::Entry {
    use v1::entry::Payload;
    let payload = match &entry.payload {
        EntryPayload::Blank => Payload::Blank(v1::Blank {}),
        EntryPayload::Normal(command) => Payload::Command(encode(command)),
        EntryPayload::Membership(members) => Payload::Membership(members_out(members)),
    };
    v1::Entry {
        id: Some(log_id_out(&entry.log_id)),
        payload: Some(payload),
    }
}

pub(crate) fn entry_in(entry: v1::Entry) -> Result<EntryOf<TypeConfig>, BadWire> {
    use v1::entry::Payload;
    let log_id = log_id_in(entry.id, "entry.id")?.ok_or(BadWire::Missing("entry.id"))?;
    let payload = match entry.payload {
        Some(Payload::Blank(v1::Blank {})) => EntryPayload::Blank,
        Some(Payload::Command(bytes)) => EntryPayload::Normal(decode(&bytes)?),
        Some(Payload::Membership(members)) => EntryPayload::Membership(members_in(members)?),
        None => return Err(BadWire::Missing("entry.payload")),
    };
    Ok(Entry { log_id, payload })
}

pub(crate) fn members_out(members: &Members) -> v1::Membership {
    let configs = members
        .get_joint_config()
        .iter()
        .map(|voters| v1::VoterSet {
            members: voters.iter().copied().collect(),
        });
    let nodes = members
        .nodes()
        .map(|(member, peer)| node_out(*member, peer));
    v1::Membership {
        configs: configs.collect(),
        nodes: nodes.collect(),
    }
}

pub(crate) fn members_in(members: v1::Membership) -> Result<Members, BadWire> {
    count(members.configs.len(), MAX_CONFIGS, "membership.configs")?;
    count(members.nodes.len(), MAX_MEMBERS, "membership.nodes")?;
    let mut configs = Vec::with_capacity(members.configs.len());
    for voters in members.configs {
        count(voters.members.len(), MAX_MEMBERS, "membership.voters")?;
        configs.push(voters.members.into_iter().collect::<BTreeSet<_>>());
    }
    let mut nodes = BTreeMap::new();
    for node in members.nodes {
        at_most(node.member, super::MAX_INDEX, "membership.nodes")?;
        let (member, peer) = node_in(node)?;
        if nodes.insert(member.0, peer).is_some() {
            return Err(BadWire::bad("membership.nodes", "a member is named twice"));
        }
    }
    Membership::new(configs, nodes).map_err(|error| BadWire::bad("membership", error))
}

pub(crate) fn stored_out(stored: &StoredMembershipOf<TypeConfig>) -> v1::StoredMembership {
    v1::StoredMembership {
        id: stored.log_id().as_ref().map(log_id_out),
        membership: Some(members_out(stored.membership())),
    }
}

pub(crate) fn stored_in(
    stored: Option<v1::StoredMembership>,
) -> Result<StoredMembershipOf<TypeConfig>, BadWire> {
    let stored = stored.ok_or(BadWire::Missing("snapshot.membership"))?;
    let id = log_id_in(stored.id, "snapshot.membership.id")?;
    let members = stored
        .membership
        .ok_or(BadWire::Missing("snapshot.membership.membership"))?;
    Ok(StoredMembership::new(id, members_in(members)?))
}
