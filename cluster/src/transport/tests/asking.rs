use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use openraft::network::RaftNetworkV2 as _;
use openraft::raft::{AppendEntriesResponse, TransferLeaderRequest, VoteRequest};
use openraft::{Entry, EntryPayload, LogId, Vote};

use super::{
    Chair, Open, agreed, cluster, command, heartbeat, link, n2, node, option, peers, stranger,
};
use crate::command::{Rejected, RequestId};
use crate::error::Error;
use crate::handle::Order;
use crate::identity::MemberId;
use crate::pulse::Report;
use crate::transport::{JoinRequest, Lines, Origin};

const PATIENCE: Duration = Duration::from_secs(5);

fn no_leader() -> Error {
    Error::NoQuorum {
        retry_after: Duration::from_secs(1),
        maybe_applied: false,
    }
}

fn saying(error: fn() -> Error) -> Arc<Chair> {
    Arc::new(Chair {
        led: Box::new(move || Err(error())),
        ..Chair::default()
    })
}

/// A door whose node sends callers on to another.
async fn sending_on(to: &Open) -> Open {
    let chair = Chair {
        led: Box::new(|| Err(no_leader())),
        leader: Some((MemberId(3), to.peer())),
        ..Chair::default()
    };
    Open::new(&Arc::new(chair)).await
}

#[tokio::test]
async fn a_leader_s_refusal_comes_back_as_it_was_said() {
    let errors: [fn() -> Error; 5] = [
        || Error::Busy,
        || Error::DiskFull {
            free_mib: 3,
            place: "n2".to_owned(),
        },
        || {
            Error::Rejected(Rejected::Stale {
                expected: 1,
                current: 2,
            })
        },
        no_leader,
        || Error::NoQuorum {
            retry_after: Duration::from_secs(1),
            maybe_applied: true,
        },
    ];
    for error in errors {
        let door = Open::new(&saying(error)).await;
        let said = peers(&n2(None))
            .propose(&door.peer(), &command(), PATIENCE)
            .await;
        assert_eq!(format!("{:?}", said.unwrap_err()), format!("{:?}", error()));
    }
}

#[tokio::test]
async fn a_member_that_does_not_lead_sends_the_caller_on_once() {
    let chair = Arc::new(Chair::default());
    let leader = Open::new(&chair).await;
    let follower = sending_on(&leader).await;
    let lines = n2(None);
    let asking = peers(&lines);
    let done = asking.propose(&follower.peer(), &command(), PATIENCE).await;
    assert_eq!(done.unwrap(), agreed());
    assert_eq!(*chair.proposed.lock(), vec![command()]);
    let index = asking.read_index(&follower.peer(), PATIENCE).await;
    assert_eq!(index.unwrap(), 42);

    // two that point at others: the second is not followed
    let lost = sending_on(&sending_on(&leader).await).await;
    let refused = asking.read_index(&lost.peer(), PATIENCE).await;
    assert!(matches!(
        refused,
        Err(Error::NoQuorum { .. } | Error::Unreachable { .. })
    ));
}

#[tokio::test]
async fn a_leader_that_dies_in_the_middle_may_have_applied_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = crate::raft::Peer {
        name: node("n1"),
        address: listener.local_addr().unwrap().to_string(),
    };
    let mut dying = tokio::task::JoinSet::new();
    dying.spawn(async move {
        use tokio::io::AsyncReadExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        // reads the request, then is gone with its listener
        let mut read = [0; 1024];
        let _ = stream.read(&mut read).await;
        let _ = stream.read(&mut read).await;
    });
    let asked = peers(&n2(None)).propose(&peer, &command(), PATIENCE).await;
    assert!(
        matches!(
            asked,
            Err(Error::NoQuorum {
                maybe_applied: true,
                ..
            })
        ),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_node_without_a_cluster_is_let_in_by_the_leader_it_is_sent_to() {
    let leader = Open::new(&Arc::new(Chair::default())).await;
    let seed = sending_on(&leader).await;
    let join = JoinRequest {
        request: RequestId(1),
        cluster: None,
        node: node("n2"),
        address: "127.0.0.1:9".into(),
        level: 1,
    };
    let lines = stranger("n2", None);
    let joined = peers(&lines)
        .join(&seed.address.to_string(), &join, PATIENCE)
        .await
        .unwrap();
    assert_eq!(
        (joined.cluster.clone(), joined.member),
        (cluster("a"), MemberId(9))
    );
    assert_eq!(joined.seal_key, [5; 32]);
    assert!(!format!("{joined:?}").contains('5'), "{joined:?}");
}

#[tokio::test]
async fn orders_reach_the_leader() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let lines = n2(None);
    let orders = [
        Order::Promote(node("n3")),
        Order::Remove(node("n3")),
        Order::TransferLeader(None),
        Order::Snapshot,
    ];
    for order in &orders {
        let done = peers(&lines).order(&door.peer(), order, PATIENCE).await;
        done.unwrap();
    }
    assert_eq!(*chair.ordered.lock(), orders);
}

#[tokio::test]
async fn the_pulse_goes_both_ways_and_says_from_whom() {
    let door = Open::new(&Arc::new(Chair::default())).await;
    let lines = n2(None);
    let reports = stream::iter((1..=3).map(|sequence| Report {
        sequence,
        ..Report::default()
    }));
    let directives = peers(&lines).exchange(&door.peer(), reports).await.unwrap();
    let heard: Vec<_> = directives
        .map(|directive| directive.map(|directive| (directive.term, directive.sequence)))
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(heard, vec![(2, 1), (2, 2), (2, 3)]);
}

#[tokio::test]
async fn a_pulse_to_a_member_that_does_not_lead_is_refused() {
    let door = Open::new(&saying(no_leader)).await;
    let refused = peers(&n2(None))
        .exchange(&door.peer(), stream::pending::<Report>())
        .await;
    assert!(matches!(refused, Err(Error::NoQuorum { .. })));
}

#[tokio::test]
async fn entries_votes_and_transfers_reach_raft() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let mut link = link(&n2(None), &door.peer()).await;
    let mut append = heartbeat();
    append.entries = vec![Entry {
        log_id: LogId::new(append.vote.leader_id, 0),
        payload: EntryPayload::Normal(command()),
    }];
    let taken = link.append_entries(append, option(5000)).await.unwrap();
    assert_eq!(taken, AppendEntriesResponse::Success);
    let vote = Vote::new(4, 2);
    let asked = VoteRequest::new(vote, None);
    assert!(
        link.vote(asked.clone(), option(5000))
            .await
            .unwrap()
            .vote_granted
    );
    // the answer of the peer, not a default that grants
    assert!(
        !link
            .pre_vote(asked, option(5000))
            .await
            .unwrap()
            .vote_granted
    );
    let transfer = TransferLeaderRequest::new(Vote::new_committed(3, 2), 1, None);
    assert_eq!(
        link.transfer_leader(transfer, option(5000)).await.unwrap(),
        Ok(())
    );
    assert_eq!(chair.calls(), 4);
}

#[tokio::test]
async fn an_override_is_dialled_instead_of_the_advertised_address() {
    let door = Open::new(&Arc::new(Chair::default())).await;
    let lines = Lines::new(Origin {
        node: node("n2"),
        dial: BTreeMap::from([(node("n1"), door.address.to_string())]),
        keyring: None,
    });
    lines.introduce(cluster("a"), MemberId(2));
    let mut advertised = door.peer();
    advertised.address = "127.0.0.1:1".into();
    let index = peers(&lines).read_index(&advertised, PATIENCE).await;
    assert_eq!(index.unwrap(), 42);
}

#[tokio::test]
async fn a_member_that_moved_is_dialled_where_it_is_now() {
    let door = Open::new(&Arc::new(Chair::default())).await;
    let lines = n2(None);
    let mut known = door.peer();
    known.address = "127.0.0.1:1".into();
    let asking = peers(&lines);
    assert!(asking.read_index(&known, PATIENCE).await.is_err());
    lines.addresses(BTreeMap::from([(node("n1"), door.address.to_string())]));
    assert_eq!(asking.read_index(&known, PATIENCE).await.unwrap(), 42);
}

#[tokio::test]
async fn each_purpose_has_a_connection_of_its_own() {
    use crate::transport::lines::Purpose;
    let chair = Arc::new(Chair::silent());
    let door = Open::new(&chair).await;
    let lines = n2(None);
    let all = [
        Purpose::Append,
        Purpose::Heartbeat,
        Purpose::Snapshot,
        Purpose::Ask,
    ];
    for purpose in all {
        drop(lines.to(&door.peer(), purpose));
        drop(lines.to(&door.peer(), purpose));
    }
    assert_eq!(lines.open(), all.len());
}
