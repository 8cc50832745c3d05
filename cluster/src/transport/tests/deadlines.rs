use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use openraft::errors::{RPCError, StreamingError};
use openraft::network::RaftNetworkV2 as _;
use openraft::raft::VoteRequest;
use openraft::{Entry, EntryPayload, LogId, Vote};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::snapshots::snapshot;
use super::{Chair, Open, command, heartbeat, link, n2, node, option, peers};
use crate::error::Error;
use crate::pulse::Report;
use crate::raft::Peer;

/// On a machine with two busy cores a deadline is met within this.
const SLACK: Duration = Duration::from_millis(800);

/// Accepts in the kernel and never answers.
async fn mute() -> (TcpListener, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer {
        name: node("n1"),
        address: listener.local_addr().unwrap().to_string(),
    };
    (listener, peer)
}

#[tokio::test]
async fn a_peer_that_never_answers_costs_the_deadline_and_no_more() {
    let (_listener, peer) = mute().await;
    let mut link = link(&n2(None), &peer).await;
    let begun = Instant::now();
    let late = link.append_entries(heartbeat(), option(60)).await;
    assert!(matches!(late, Err(RPCError::Timeout(_))), "{late:?}");
    let vote = VoteRequest::new(Vote::new(4, 2), None);
    let late = link.vote(vote.clone(), option(60)).await;
    assert!(matches!(late, Err(RPCError::Timeout(_))), "{late:?}");
    let late = link.pre_vote(vote, option(60)).await;
    assert!(matches!(late, Err(RPCError::Timeout(_))), "{late:?}");
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn raft_that_never_answers_costs_the_deadline_and_no_more() {
    let chair = Arc::new(Chair::silent());
    let door = Open::new(&chair).await;
    let mut link = link(&n2(None), &door.peer()).await;
    let begun = Instant::now();
    let late = link.append_entries(heartbeat(), option(300)).await;
    assert!(matches!(late, Err(RPCError::Timeout(_))), "{late:?}");
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    assert_eq!(chair.calls(), 1);
}

#[tokio::test]
async fn an_append_with_entries_is_given_time_for_a_slow_disk() {
    let (_listener, peer) = mute().await;
    let mut link = link(&n2(None), &peer).await;
    let mut append = heartbeat();
    append.entries = vec![Entry {
        log_id: LogId::new(append.vote.leader_id, 0),
        payload: EntryPayload::Blank,
    }];
    let begun = Instant::now();
    let late = link.append_entries(append, option(60)).await;
    assert!(matches!(late, Err(RPCError::Timeout(_))), "{late:?}");
    assert!(begun.elapsed() > Duration::from_millis(400));
}

#[tokio::test]
async fn a_snapshot_that_does_not_move_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (_listener, peer) = mute().await;
    let mut link = link(&n2(None), &peer).await;
    let begun = Instant::now();
    let vote = Vote::new_committed(3, 2);
    // more than a connection's window takes without an answer
    let stuck = snapshot(dir.path(), 4 << 20);
    let late = link
        .full_snapshot(vote, stuck, pending(), option(200))
        .await;
    assert!(matches!(late, Err(StreamingError::Timeout(_))), "{late:?}");
    assert!(begun.elapsed() < 2 * SLACK, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_snapshot_ends_when_openraft_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let (_listener, peer) = mute().await;
    let mut link = link(&n2(None), &peer).await;
    let ended = async { openraft::errors::ReplicationClosed::new("no longer the leader") };
    let vote = Vote::new_committed(3, 2);
    let stuck = snapshot(dir.path(), 4 << 20);
    let closed = link.full_snapshot(vote, stuck, ended, option(60_000)).await;
    assert!(
        matches!(closed, Err(StreamingError::Closed(_))),
        "{closed:?}"
    );
}

#[tokio::test]
async fn questions_to_a_leader_that_never_answers_end_in_time() {
    let (_listener, peer) = mute().await;
    let peers = peers(&n2(None));
    let begun = Instant::now();
    let patience = Duration::from_millis(100);
    let late = peers.propose(&peer, &command(), patience).await;
    assert!(matches!(late, Err(Error::Timeout)), "{late:?}");
    let late = peers.read_index(&peer, patience).await;
    assert!(matches!(late, Err(Error::Timeout)), "{late:?}");
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    let late = peers.exchange(&peer, stream::pending::<Report>()).await;
    assert!(matches!(late, Err(Error::Timeout)));
}

#[tokio::test]
async fn nobody_at_the_address_is_said_at_once() {
    let (listener, peer) = mute().await;
    drop(listener);
    let mut link = link(&n2(None), &peer).await;
    let nobody = link.append_entries(heartbeat(), option(5000)).await;
    assert!(
        matches!(nobody, Err(RPCError::Unreachable(_))),
        "{nobody:?}"
    );
    let nobody = peers(&n2(None))
        .propose(&peer, &command(), Duration::from_secs(5))
        .await;
    assert!(
        matches!(nobody, Err(Error::Unreachable { .. })),
        "{nobody:?}"
    );
}

#[tokio::test]
async fn without_certificates_an_address_off_loopback_is_not_dialled() {
    let far = Peer {
        name: node("n1"),
        address: "192.0.2.1:7001".into(),
    };
    let refused = peers(&n2(None))
        .propose(&far, &command(), Duration::from_secs(5))
        .await;
    let Err(Error::Refused(refused)) = refused else {
        panic!("{refused:?}");
    };
    assert!(refused.to_string().contains("loopback only"), "{refused}");
}

#[tokio::test]
async fn a_peer_that_comes_back_is_used_again_at_once() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let (peer, address) = (door.peer(), door.address.to_string());
    let mut link = link(&n2(None), &peer).await;
    assert!(link.append_entries(heartbeat(), option(5000)).await.is_ok());

    door.close().await;
    let gone = link.append_entries(heartbeat(), option(5000)).await;
    assert!(
        matches!(gone, Err(RPCError::Network(_) | RPCError::Unreachable(_))),
        "{gone:?}"
    );

    let _door = Open::at(&address, &chair, None).await;
    let begun = Instant::now();
    while link
        .append_entries(heartbeat(), option(1000))
        .await
        .is_err()
    {
        tokio::task::yield_now().await;
    }
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
}
