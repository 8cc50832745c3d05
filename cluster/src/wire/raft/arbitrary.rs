//! Values of Raft's types, for property tests.

use std::collections::{BTreeMap, BTreeSet};

use openraft::impls::leader_id_adv::LeaderId;
use openraft::type_config::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::{Entry, EntryPayload, LogId, Membership, Vote};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::entry::Members;
use super::{MAX_INDEX, MAX_TERM};
use crate::command::{Change, Command, RequestId};
use crate::identity::NodeId;
use crate::raft::{Peer, TypeConfig};

pub(crate) fn vote() -> impl Strategy<Value = VoteOf<TypeConfig>> {
    (0..=MAX_TERM, any::<u64>(), any::<bool>()).prop_map(|(term, member, committed)| {
        if committed {
            Vote::new_committed(term, member)
        } else {
            Vote::new(term, member)
        }
    })
}

pub(crate) fn log_id() -> impl Strategy<Value = LogIdOf<TypeConfig>> {
    (0..=MAX_TERM, any::<u64>(), 0..=MAX_INDEX)
        .prop_map(|(term, node_id, index)| LogId::new(LeaderId { term, node_id }, index))
}

pub(crate) fn maybe_log_id() -> impl Strategy<Value = Option<LogIdOf<TypeConfig>>> {
    option::of(log_id())
}

pub(crate) fn name() -> impl Strategy<Value = NodeId> {
    "[A-Za-z0-9._-]{1,64}".prop_map(|name| NodeId::parse(&name).unwrap())
}

pub(crate) fn peer() -> impl Strategy<Value = Peer> {
    (name(), "[a-z0-9.]{1,40}:[0-9]{1,5}").prop_map(|(name, address)| Peer { name, address })
}

/// Voters in one or two sets, all of them known, and some learners.
pub(crate) fn members() -> impl Strategy<Value = Members> {
    (btree_map(0..=MAX_INDEX, peer(), 1..8), any::<(u8, u8)>()).prop_map(|(nodes, sets)| {
        let some = |mask: u8| -> BTreeSet<u64> {
            let chosen = nodes.keys().enumerate();
            let chosen = chosen.filter(|(place, _)| *place == 0 || mask & (1 << place) != 0);
            chosen.map(|(_, member)| *member).collect()
        };
        let configs = match sets.1 {
            0..100 => vec![some(sets.0)],
            _ => vec![some(sets.0), some(sets.1)],
        };
        Membership::new(configs, nodes).unwrap()
    })
}

pub(crate) fn no_members() -> Members {
    Membership::new(vec![], BTreeMap::new()).unwrap()
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    (any::<u128>(), any::<u64>(), ".{0,20}", ".{0,40}").prop_map(|(id, at_ms, by, scope)| Command {
        request: RequestId(id),
        at_ms,
        by,
        change: Change::CacheEpoch { scope },
    })
}

/// Entries that follow one another from `first`.
pub(crate) fn entries(first: u64) -> impl Strategy<Value = Vec<EntryOf<TypeConfig>>> {
    let payload = prop_oneof![
        Just(EntryPayload::Blank),
        command().prop_map(EntryPayload::Normal),
        members().prop_map(EntryPayload::Membership),
    ];
    vec((0..=MAX_TERM, any::<u64>(), payload), 0..6).prop_map(move |parts| {
        let numbered = parts.into_iter().zip(first..);
        let entries = numbered.map(|((term, node_id, payload), index)| Entry {
            log_id: LogId::new(LeaderId { term, node_id }, index),
            payload,
        });
        entries.collect()
    })
}
