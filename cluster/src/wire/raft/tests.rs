mod round_trips;

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
            place: "n2".to_owned(),
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
