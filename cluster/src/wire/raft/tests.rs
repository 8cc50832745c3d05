use std::time::Duration;

use llm_router_proto::llm_router::cluster::v1;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use openraft::type_config::alias::EntryOf;
use openraft::{SnapshotMeta, StoredMembership, Vote};
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

use super::arbitrary::{
    entries, log_id, maybe_log_id, members, name, no_members, peer, vote as any_vote,
};
use super::fault::{Fault, fault_in, fault_out};
use super::snapshot::{Head, MAX_SNAPSHOT, head_in, head_out};
use super::{BadWire, MAX_INDEX, MAX_TERM, append, entry, member, vote};
use crate::command::{Rejected, RequestId};
use crate::error::{Error, Refused};
use crate::handle::Order;
use crate::identity::{ClusterId, MemberId, NodeId};
use crate::raft::TypeConfig;
use crate::transport::{JoinRequest, Joined};

/// The message after its way through bytes.
fn sent<M: prost::Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

fn wire_vote(term: u64) -> v1::Vote {
    v1::Vote {
        term,
        member: 1,
        committed: true,
    }
}

fn wire_id(index: u64) -> v1::LogId {
    v1::LogId {
        term: 1,
        member: 1,
        index,
    }
}

fn blank(index: u64) -> v1::Entry {
    v1::Entry {
        id: Some(wire_id(index)),
        payload: Some(v1::entry::Payload::Blank(v1::Blank {})),
    }
}

fn appending(entries: Vec<v1::Entry>) -> v1::AppendRequest {
    v1::AppendRequest {
        vote: Some(wire_vote(1)),
        previous: Some(wire_id(4)),
        entries,
        committed: None,
    }
}

#[test]
fn a_missing_field_is_named() {
    let refused = |request| append::request_in(request).unwrap_err();
    let without_vote = v1::AppendRequest {
        vote: None,
        ..appending(vec![])
    };
    assert_eq!(refused(without_vote), BadWire::Missing("append.vote"));
    let without_id = v1::Entry {
        id: None,
        ..blank(5)
    };
    assert_eq!(
        refused(appending(vec![without_id])),
        BadWire::Missing("entry.id")
    );
    let without_payload = v1::Entry {
        payload: None,
        ..blank(5)
    };
    assert_eq!(
        refused(appending(vec![without_payload])),
        BadWire::Missing("entry.payload")
    );
    assert_eq!(
        append::response_in(v1::AppendResponse { answer: None }),
        Err(BadWire::Missing("append.answer"))
    );
    assert_eq!(
        member::order_in(v1::OrderRequest { order: None }),
        Err(BadWire::Missing("order.order"))
    );
    let nothing = fault_in(v1::Fault { kind: None }).unwrap_err();
    assert_eq!(nothing, BadWire::Missing("fault.kind"));
    let head = head_in(v1::SnapshotHead {
        vote: Some(wire_vote(1)),
        membership: None,
        ..v1::SnapshotHead::default()
    });
    assert_eq!(head, Err(BadWire::Missing("snapshot.membership")));
}

#[test]
fn a_term_or_index_that_could_overflow_is_refused() {
    for term in [MAX_TERM + 1, u64::MAX] {
        let request = v1::VoteRequest {
            vote: Some(wire_vote(term)),
            ..v1::VoteRequest::default()
        };
        let refused = vote::request_in(request).unwrap_err();
        assert!(matches!(
            refused,
            BadWire::TooMuch {
                field: "vote.vote",
                ..
            }
        ));
    }
    let request = v1::AppendRequest {
        previous: Some(wire_id(u64::MAX)),
        ..appending(vec![])
    };
    let refused = append::request_in(request).unwrap_err();
    assert!(matches!(
        refused,
        BadWire::TooMuch {
            field: "append.previous",
            ..
        }
    ));
    let last = v1::AppendRequest {
        previous: Some(wire_id(MAX_INDEX)),
        ..appending(vec![blank(MAX_INDEX + 1)])
    };
    assert!(append::request_in(last).is_err());
}

#[test]
fn a_huge_count_is_refused_before_its_items_are_looked_at() {
    // none of these entries is well formed
    let refused = append::request_in(appending(vec![v1::Entry::default(); 5000])).unwrap_err();
    assert!(matches!(
        refused,
        BadWire::TooMuch {
            field: "append.entries",
            ..
        }
    ));
    let crowd = v1::Membership {
        configs: vec![],
        nodes: vec![v1::ClusterNode::default(); 257],
    };
    let refused = entry::members_in(crowd).unwrap_err();
    assert!(matches!(
        refused,
        BadWire::TooMuch {
            field: "membership.nodes",
            ..
        }
    ));
    let sets = v1::Membership {
        configs: vec![v1::VoterSet::default(); 5],
        nodes: vec![],
    };
    let refused = entry::members_in(sets).unwrap_err();
    assert!(matches!(
        refused,
        BadWire::TooMuch {
            field: "membership.configs",
            ..
        }
    ));
}

#[test]
fn entries_with_a_gap_are_refused() {
    let refused = append::request_in(appending(vec![blank(5), blank(7)])).unwrap_err();
    assert_eq!(
        refused,
        BadWire::bad("append.entries", "the entries have a gap")
    );
    assert!(append::request_in(appending(vec![blank(6)])).is_err());
    assert!(append::request_in(appending(vec![blank(5), blank(6)])).is_ok());
}

#[test]
fn a_membership_without_its_voters_or_with_a_member_twice_is_refused() {
    let node = |member| v1::ClusterNode {
        member,
        name: "n1".into(),
        address: "h:1".into(),
    };
    let of = |voters: Vec<u64>, nodes| v1::Membership {
        configs: vec![v1::VoterSet { members: voters }],
        nodes,
    };
    assert!(entry::members_in(of(vec![1, 2], vec![node(1)])).is_err());
    assert!(entry::members_in(of(vec![], vec![node(1)])).is_err());
    assert!(entry::members_in(of(vec![1], vec![node(1), node(1)])).is_err());
    assert!(entry::members_in(of(vec![1], vec![node(1)])).is_ok());
}

#[test]
fn a_command_of_a_newer_level_is_refused_by_that_name() {
    let mut bytes = vec![1];
    bytes.extend(7_u16.to_be_bytes());
    bytes.extend(b"{}");
    let newer = v1::Entry {
        payload: Some(v1::entry::Payload::Command(bytes)),
        ..blank(5)
    };
    let refused = append::request_in(appending(vec![newer])).unwrap_err();
    assert_eq!(refused, BadWire::TooNew(7));
    let damaged = v1::Entry {
        payload: Some(v1::entry::Payload::Command(vec![1])),
        ..blank(5)
    };
    let refused = append::request_in(appending(vec![damaged])).unwrap_err();
    assert!(matches!(
        refused,
        BadWire::Bad {
            field: "command",
            ..
        }
    ));
}

#[test]
fn a_snapshot_from_a_leader_before_its_last_entry_is_refused() {
    let mut head = head_out(&Head {
        vote: Vote::new_committed(3, 1),
        meta: SnapshotMeta {
            last_log_id: None,
            last_membership: StoredMembership::new(None, no_members()),
        },
        bytes: 1,
        sha256: [0; 32],
    });
    head.last = Some(v1::LogId {
        term: 4,
        member: 1,
        index: 9,
    });
    assert!(matches!(
        head_in(head.clone()),
        Err(BadWire::Bad {
            field: "snapshot.last",
            ..
        })
    ));
    head.last = None;
    head.bytes = MAX_SNAPSHOT + 1;
    assert!(matches!(
        head_in(head.clone()),
        Err(BadWire::TooMuch {
            field: "snapshot.bytes",
            ..
        })
    ));
    head.bytes = 1;
    head.sha256.pop();
    assert!(matches!(
        head_in(head),
        Err(BadWire::Bad {
            field: "snapshot.sha256",
            ..
        })
    ));
}

#[test]
fn what_does_not_fit_one_message_waits_for_the_next() {
    use openraft::{Entry, EntryPayload, LogId};
    let big = crate::command::Change::Config {
        expected: None,
        text: "x".repeat(1 << 20),
        note: String::new(),
    };
    let entry = |index| -> EntryOf<TypeConfig> {
        Entry {
            log_id: LogId::new(
                LeaderId {
                    term: 1,
                    node_id: 1,
                },
                index,
            ),
            payload: EntryPayload::Normal(crate::Command {
                request: RequestId(1),
                at_ms: 1,
                by: String::new(),
                change: big.clone(),
            }),
        }
    };
    let request = AppendEntriesRequest {
        vote: Vote::new_committed(1, 1),
        prev_log_id: None,
        entries: (0..10).map(entry).collect(),
        leader_commit: None,
    };
    let (message, cut) = append::request_out(&request);
    assert!(message.encoded_len() < 8 << 20);
    assert_eq!(message.entries.len(), 3);
    assert_eq!(cut.map(|last| last.index), Some(2));

    let alone = AppendEntriesRequest {
        entries: vec![entry(0)],
        ..request
    };
    let (message, cut) = append::request_out(&alone);
    assert_eq!((message.entries.len(), cut), (1, None));
}

fn same_entries(left: &[EntryOf<TypeConfig>], right: &[EntryOf<TypeConfig>]) -> bool {
    let same = |(left, right): (&EntryOf<TypeConfig>, &EntryOf<TypeConfig>)| {
        left.log_id == right.log_id && left.payload == right.payload
    };
    left.len() == right.len() && left.iter().zip(right).all(same)
}

proptest! {
    #[test]
    fn appends_come_back(
        vote in any_vote(),
        log in option::of(log_id()).prop_flat_map(|previous| {
            let first = previous.map_or(0, |id| id.index + 1);
            (Just(previous), entries(first.min(MAX_INDEX - 8)))
        }),
        leader_commit in maybe_log_id(),
    ) {
        let (prev_log_id, entries) = log;
        let prev_log_id = prev_log_id.filter(|id| id.index < MAX_INDEX - 8);
        let first = entries.first().map_or(0, |entry| entry.log_id.index);
        prop_assume!(entries.is_empty() || prev_log_id.map_or(0, |id| id.index + 1) == first);
        let request = AppendEntriesRequest { vote, prev_log_id, entries, leader_commit };
        let (message, cut) = append::request_out(&request);
        prop_assert_eq!(cut, None);
        let back = append::request_in(sent(&message)).unwrap();
        prop_assert_eq!(back.vote, request.vote);
        prop_assert_eq!(back.prev_log_id, request.prev_log_id);
        prop_assert_eq!(back.leader_commit, request.leader_commit);
        prop_assert!(same_entries(&back.entries, &request.entries));
    }

    #[test]
    fn answers_to_appends_come_back(vote in any_vote(), last in maybe_log_id()) {
        for answer in [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::PartialSuccess(last),
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(vote),
        ] {
            let back = append::response_in(sent(&append::response_out(&answer)));
            prop_assert_eq!(back, Ok(answer));
        }
    }

    #[test]
    fn votes_come_back(vote in any_vote(), last_log_id in maybe_log_id(), yes in any::<bool>()) {
        let request = VoteRequest { vote, last_log_id, leadership_transfer: yes };
        prop_assert_eq!(vote::request_in(sent(&vote::request_out(&request))), Ok(request));
        let answer = VoteResponse { vote, last_log_id, vote_granted: yes };
        prop_assert_eq!(vote::response_in(sent(&vote::response_out(&answer))), Ok(answer));
    }

    #[test]
    fn transfers_come_back(
        votes in (any_vote(), any_vote()),
        to in any::<u64>(),
        ids in (maybe_log_id(), maybe_log_id()),
    ) {
        let request = TransferLeaderRequest::new(votes.0, to, ids.0);
        prop_assert_eq!(vote::transfer_in(sent(&vote::transfer_out(&request))), Ok(request));
        for answer in [
            Ok(()),
            Err(TransferLeaderError::VoteChanged { expected: votes.0, actual: votes.1 }),
            Err(TransferLeaderError::LogNotFlushed { expected: ids.0, actual: ids.1 }),
        ] {
            let back = vote::transferred_in(sent(&vote::transferred_out(&answer)));
            prop_assert_eq!(back, Ok(answer));
        }
    }

    #[test]
    fn snapshot_heads_come_back(
        vote in any_vote(),
        last in maybe_log_id(),
        membership in (maybe_log_id(), members()),
        bytes in 0..=MAX_SNAPSHOT,
        sha256 in any::<[u8; 32]>(),
    ) {
        let last_log_id = last.filter(|last| last.leader_id <= vote.leader_id);
        let last_membership = StoredMembership::new(membership.0, membership.1);
        let meta = SnapshotMeta { last_log_id, last_membership };
        let head = Head { vote, meta, bytes, sha256 };
        prop_assert_eq!(head_in(sent(&head_out(&head))), Ok(head));
    }

    #[test]
    fn joins_come_back(
        cluster in option::of(name()),
        node in name(),
        address in "[ -~]{0,260}",
        level in any::<u16>(),
        request in any::<u128>(),
        member in 0..=MAX_INDEX,
        seal_key in any::<[u8; 32]>(),
    ) {
        let cluster = cluster.map(|name| ClusterId::parse(name.as_str()).unwrap());
        let join = JoinRequest { request: RequestId(request), cluster, node, address, level };
        let back = member::join_in(sent(&member::join_out(&join)));
        prop_assert_eq!(back, Ok(join.clone()));
        let cluster = ClusterId::parse(join.node.as_str()).unwrap();
        let joined = Joined { cluster, member: MemberId(member), seal_key };
        prop_assert_eq!(member::joined_in(sent(&member::joined_out(&joined))), Ok(joined));
    }

    #[test]
    fn orders_come_back(node in name(), to in option::of(name())) {
        for order in [
            Order::Promote(node.clone()),
            Order::Remove(node.clone()),
            Order::TransferLeader(to.clone()),
            Order::Snapshot,
        ] {
            let back = member::order_in(sent(&member::order_out(&order)));
            prop_assert_eq!(back, Ok(order));
        }
    }

    #[test]
    fn a_leader_s_place_comes_back(id in 0..=MAX_INDEX, peer in peer()) {
        for leader in [None, Some((MemberId(id), peer))] {
            let back = fault_in(sent(&fault_out(&Fault::NotLeader(leader.clone())))).unwrap();
            match back {
                Fault::NotLeader(back) => prop_assert_eq!(back, leader),
                Fault::Error(error) => prop_assert!(false, "{}", error),
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = v1::AppendRequest::decode(bytes.as_slice()) {
            let _ = append::request_in(message);
        }
        if let Ok(message) = v1::SnapshotHead::decode(bytes.as_slice()) {
            let _ = head_in(message);
        }
        if let Ok(message) = v1::Fault::decode(bytes.as_slice()) {
            let _ = fault_in(message);
        }
    }
}

#[test]
fn errors_come_back_as_themselves() {
    let text = || "n1".to_owned();
    let refusals = [
        Refused::WrongCluster {
            ours: text(),
            theirs: "b".into(),
        },
        Refused::NameTaken { name: text() },
        Refused::OtherData {
            ours: text(),
            theirs: "b".into(),
        },
        Refused::TooOld { ours: 3, theirs: 2 },
        Refused::Impostor {
            certificate: text(),
            claimed: "b".into(),
        },
        Refused::NotMember { name: text() },
        Refused::Unwise(text()),
    ];
    let others = [
        Error::NoQuorum {
            retry_after: Duration::from_millis(700),
            maybe_applied: true,
        },
        Error::Timeout,
        Error::Behind {
            wanted: 9,
            newest: 8,
        },
        Error::DiskFull {
            free_mib: 12,
            place: "leader",
        },
        Error::Rejected(Rejected::Stale {
            expected: 1,
            current: 2,
        }),
        Error::Rejected(Rejected::TooMuch { what: text() }),
        Error::Busy,
        Error::Unreachable {
            peer: text(),
            reason: "b".into(),
        },
        Error::Store(text()),
        Error::Stopped,
    ];
    for error in refusals.map(Error::Refused).into_iter().chain(others) {
        let said = format!("{error:?}");
        match fault_in(sent(&fault_out(&Fault::Error(error)))) {
            Ok(Fault::Error(back)) => assert_eq!(format!("{back:?}"), said),
            other => panic!("{said} came back as {other:?}"),
        }
    }
}

#[test]
fn a_name_that_is_none_is_refused_wherever_it_stands() {
    let bad = "../etc".to_owned();
    assert!(NodeId::parse(&bad).is_err());
    let node = v1::ClusterNode {
        member: 1,
        name: bad.clone(),
        address: String::new(),
    };
    assert!(member::node_in(node).is_err());
    let join = v1::JoinRequest {
        node: bad.clone(),
        ..v1::JoinRequest::default()
    };
    assert!(member::join_in(join).is_err());
    let order = v1::order_request::Order::Remove(bad);
    assert!(member::order_in(v1::OrderRequest { order: Some(order) }).is_err());
    let long = v1::ClusterNode {
        member: 1,
        name: "n1".into(),
        address: "x".repeat(261),
    };
    assert!(member::node_in(long).is_err());
}
