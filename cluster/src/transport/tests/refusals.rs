use std::sync::Arc;

use llm_router_proto::llm_router::cluster::v1;
use openraft::errors::RPCError;
use openraft::network::RaftNetworkV2 as _;
use openraft::raft::VoteRequest;
use openraft::{Membership, Vote};
use tonic::Code;
use v1::raft_service_client::RaftServiceClient;

use super::{
    Chair, Open, certificates, cluster, heartbeat, keyring, link, n2, node, option, peers, stranger,
};
use crate::error::{Error, Refused};
use crate::identity::MemberId;
use crate::transport::call::{Failure, TO, failure, signed};
use crate::transport::lines::Purpose;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

fn unreachable(error: RPCError<crate::TypeConfig>) -> String {
    let RPCError::Unreachable(error) = error else {
        panic!("not unreachable: {error}");
    };
    error.to_string()
}

#[tokio::test]
async fn a_caller_of_another_cluster_is_refused_in_words_and_reaches_nothing() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let lines = stranger("n2", None);
    lines.introduce(cluster("b"), MemberId(2));

    let mut link = link(&lines, &door.peer()).await;
    let refused = link.append_entries(heartbeat(), option(5000)).await;
    let words = unreachable(refused.unwrap_err());
    assert!(
        words.contains("this is cluster a; the caller belongs to b"),
        "{words}"
    );

    let refused = peers(&lines).read_index(&door.peer(), PATIENCE).await;
    assert!(matches!(
        refused,
        Err(Error::Refused(Refused::WrongCluster { .. }))
    ));
    assert_eq!(chair.calls(), 0);
}

#[tokio::test]
async fn a_certificate_of_one_node_and_the_name_of_another_are_refused() {
    let dir = certificates();
    let chair = Arc::new(Chair::default());
    let door = Open::tls(&chair, dir.path()).await;
    let lines = stranger("n3", Some(keyring(dir.path(), "n2")));
    lines.introduce(cluster("a"), MemberId(3));

    let refused = peers(&lines).read_index(&door.peer(), PATIENCE).await;
    let Err(Error::Refused(Refused::Impostor {
        certificate,
        claimed,
    })) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!((certificate.as_str(), claimed.as_str()), ("n2", "n3"));

    let mut link = link(&lines, &door.peer()).await;
    let vote = VoteRequest::new(Vote::new(1 << 40, 3), None);
    assert!(link.vote(vote, option(5000)).await.is_err());
    assert_eq!(chair.calls(), 0);
}

#[tokio::test]
async fn votes_and_entries_in_another_member_s_name_are_refused() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let mut link = link(&n2(None), &door.peer()).await;
    let vote = VoteRequest::new(Vote::new(1 << 40, 3), None);
    let words = unreachable(link.vote(vote.clone(), option(5000)).await.unwrap_err());
    assert!(
        words.contains("n2 (member 2), the caller says member 3"),
        "{words}"
    );
    assert!(link.pre_vote(vote, option(5000)).await.is_err());
    let mut append = heartbeat();
    append.vote = Vote::new_committed(1 << 40, 3);
    assert!(link.append_entries(append, option(5000)).await.is_err());
    assert_eq!(chair.calls(), 0);
}

#[tokio::test]
async fn a_number_that_belongs_to_another_name_is_refused() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let lines = stranger("n2", None);
    lines.introduce(cluster("a"), MemberId(3));
    let refused = peers(&lines).read_index(&door.peer(), PATIENCE).await;
    assert!(matches!(
        refused,
        Err(Error::Refused(Refused::Impostor { .. }))
    ));
}

#[tokio::test]
async fn a_node_does_not_answer_for_a_number_it_no_longer_has() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let network = &mut crate::transport::Network::new(n2(None));
    let mut link = openraft::RaftNetworkFactory::new_client(network, 7, &door.peer()).await;
    let words = unreachable(
        link.append_entries(heartbeat(), option(5000))
            .await
            .unwrap_err(),
    );
    assert!(words.contains("member 7 is not here"), "{words}");
    assert_eq!(chair.calls(), 0);
}

#[tokio::test]
async fn a_node_that_is_no_member_yet_refuses_everything() {
    let chair = Arc::new(Chair {
        cluster: None,
        ..Chair::default()
    });
    let door = Open::new(&chair).await;
    let lines = n2(None);
    let mut link = link(&lines, &door.peer()).await;
    let words = unreachable(
        link.append_entries(heartbeat(), option(5000))
            .await
            .unwrap_err(),
    );
    assert!(words.contains("n1 is not a member"), "{words}");
    assert_eq!(chair.calls(), 0);
}

#[tokio::test]
async fn nonsense_is_refused_by_the_name_of_the_field() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let lines = n2(None);
    let mut raw = RaftServiceClient::new(lines.to(&door.peer(), Purpose::Append));
    let mut request = signed(&lines, v1::AppendRequest::default());
    request.metadata_mut().insert(TO, 1.into());
    let status = raw.append(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "append.vote is missing");

    let nobody = tonic::Request::new(v1::ReadIndexRequest {});
    let status = raw.read_index(nobody).await.unwrap_err();
    assert_eq!(status.message(), "x-llm-router-from is missing");
    let mut odd = signed(&lines, v1::ReadIndexRequest {});
    odd.metadata_mut()
        .insert("x-llm-router-member", "two".parse().unwrap());
    let status = raw.read_index(odd).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(chair.calls(), 0);
}

#[tokio::test]
async fn a_command_of_a_newer_level_is_refused_as_too_new() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let lines = n2(None);
    let mut raw = RaftServiceClient::new(lines.to(&door.peer(), Purpose::Ask));
    let mut command = vec![1];
    command.extend(9_u16.to_be_bytes());
    let status = raw
        .propose(signed(&lines, v1::ProposeRequest { command }))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let Failure::Refused(Error::Refused(refused)) = failure(&status, "n1") else {
        panic!("{status:?}");
    };
    let theirs = crate::command::LEVEL;
    assert_eq!(refused, Refused::TooOld { ours: 9, theirs });
    assert!(chair.proposed.lock().is_empty());
}

#[tokio::test]
async fn a_name_other_than_the_caller_s_cannot_be_joined_with() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let join = crate::transport::JoinRequest {
        request: crate::command::RequestId(1),
        cluster: None,
        node: node("n3"),
        address: "127.0.0.1:1".into(),
        level: 1,
    };
    let lines = stranger("n2", None);
    let refused = peers(&lines)
        .join(&door.address.to_string(), &join, PATIENCE)
        .await;
    assert!(matches!(
        refused,
        Err(Error::Refused(Refused::Impostor { .. }))
    ));
}

#[tokio::test]
async fn a_member_has_no_connection_to_itself() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let lines = stranger("n1", None);
    lines.introduce(cluster("a"), MemberId(1));
    let mut link = link(&lines, &door.peer()).await;
    let words = unreachable(
        link.append_entries(heartbeat(), option(5000))
            .await
            .unwrap_err(),
    );
    assert!(words.contains("no connection to itself"), "{words}");
    assert_eq!(chair.calls(), 0);
}

#[test]
fn no_cluster_has_no_members() {
    // what a node that begins has in its snapshot: openraft takes it, so the wire does
    assert!(Membership::<u64, crate::Peer>::new(vec![], std::collections::BTreeMap::new()).is_ok());
}
