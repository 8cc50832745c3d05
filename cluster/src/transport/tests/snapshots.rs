use std::future::pending;
use std::path::Path;
use std::sync::Arc;

use futures::stream;
use llm_router_proto::llm_router::cluster::v1;
use openraft::errors::StreamingError;
use openraft::network::RaftNetworkV2 as _;
use openraft::type_config::alias::SnapshotOf;
use openraft::{Membership, Snapshot, SnapshotMeta, StoredMembership, Vote};
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};
use v1::raft_service_client::RaftServiceClient;
use v1::snapshot_chunk::Part;

use super::{Chair, Open, link, n2, option};
use crate::raft::TypeConfig;
use crate::store::SnapshotFile;
use crate::transport::call::{TO, signed};
use crate::transport::lines::Purpose;
use crate::wire::raft::snapshot::{Head, MAX_CHUNK, MAX_SNAPSHOT, head_out};

fn content(bytes: usize) -> Vec<u8> {
    let mixed = (0_u32..).map(|place| place.wrapping_mul(2_654_435_761).to_be_bytes()[0]);
    mixed.take(bytes).collect()
}

fn meta() -> openraft::type_config::alias::SnapshotMetaOf<TypeConfig> {
    let members = Membership::new(vec![], std::collections::BTreeMap::new()).unwrap();
    SnapshotMeta {
        last_log_id: None,
        last_membership: StoredMembership::new(None, members),
    }
}

/// A snapshot of this many bytes, in the directory.
pub(super) fn snapshot(dir: &Path, bytes: usize) -> SnapshotOf<TypeConfig, SnapshotFile> {
    let content = content(bytes);
    let path = dir.join("outgoing");
    std::fs::write(&path, &content).unwrap();
    Snapshot {
        meta: meta(),
        snapshot: SnapshotFile {
            path,
            bytes: content.len() as u64,
            sha256: Sha256::digest(&content).into(),
        },
    }
}

fn head(bytes: u64, sha256: [u8; 32]) -> v1::SnapshotHead {
    head_out(&Head {
        vote: Vote::new_committed(3, 2),
        meta: meta(),
        bytes,
        sha256,
    })
}

fn right(content: &[u8]) -> v1::SnapshotHead {
    head(content.len() as u64, Sha256::digest(content).into())
}

/// Sends these parts by hand and returns what the door says to it.
async fn by_hand(chair: &Arc<Chair>, parts: Vec<Part>) -> Status {
    let door = Open::new(chair).await;
    let lines = n2(None);
    let mut raw = RaftServiceClient::new(lines.to(&door.peer(), Purpose::Snapshot));
    let chunks = parts
        .into_iter()
        .map(|part| v1::SnapshotChunk { part: Some(part) });
    let mut request = signed(&lines, stream::iter(chunks.collect::<Vec<_>>()));
    request.metadata_mut().insert(TO, 1.into());
    raw.install_snapshot(request).await.unwrap_err()
}

async fn refused(parts: Vec<Part>, words: &str) {
    let chair = Arc::new(Chair::default());
    let status = by_hand(&chair, parts).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains(words), "{status}");
    assert_eq!((chair.calls(), chair.received()), (0, 0));
}

#[tokio::test]
async fn a_snapshot_over_the_bound_is_refused_by_its_head() {
    let endless = head(MAX_SNAPSHOT + 1, [0; 32]);
    refused(vec![Part::Head(endless)], "snapshot.bytes is more than").await;
}

#[tokio::test]
async fn more_bytes_than_said_are_refused() {
    let content = content(1000);
    let parts = vec![
        Part::Head(right(&content[..900])),
        Part::Data(content[..600].to_vec()),
        Part::Data(content[600..].to_vec()),
    ];
    refused(parts, "more bytes than the head says").await;
}

#[tokio::test]
async fn a_stream_that_ends_early_is_refused() {
    let content = content(1000);
    let parts = vec![
        Part::Head(right(&content)),
        Part::Data(content[..600].to_vec()),
    ];
    refused(parts, "fewer bytes than the head says").await;
}

#[tokio::test]
async fn a_wrong_checksum_is_refused() {
    let mut content = content(1000);
    let said = right(&content);
    content[500] ^= 1;
    refused(
        vec![Part::Head(said), Part::Data(content)],
        "the checksum is another one",
    )
    .await;
}

#[tokio::test]
async fn pieces_out_of_order_or_too_big_are_refused() {
    let content = content(1000);
    refused(vec![], "snapshot.head is missing").await;
    refused(
        vec![Part::Data(content.clone())],
        "snapshot.head is missing",
    )
    .await;
    let twice = vec![Part::Head(right(&content)), Part::Head(right(&content))];
    refused(twice, "a second head").await;
    let big = vec![0; MAX_CHUNK + 1];
    let parts = vec![Part::Head(right(&big)), Part::Data(big)];
    refused(parts, "a piece of more than 1 MiB").await;
}

#[tokio::test]
async fn a_snapshot_in_another_member_s_name_is_refused() {
    let chair = Arc::new(Chair::default());
    let mut head = right(&[]);
    head.vote = Some(v1::Vote {
        term: 1 << 40,
        member: 3,
        committed: true,
    });
    let status = by_hand(&chair, vec![Part::Head(head)]).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!((chair.calls(), chair.received()), (0, 0));
}

#[tokio::test]
async fn a_sender_that_breaks_off_leaves_no_file_behind() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let lines = n2(None);
    let mut raw = RaftServiceClient::new(lines.to(&door.peer(), Purpose::Snapshot));
    let content = content(1000);
    let (pieces, come) = tokio::sync::mpsc::channel(4);
    let piece = |part| v1::SnapshotChunk { part: Some(part) };
    pieces
        .send(piece(Part::Head(right(&content))))
        .await
        .unwrap();
    pieces.send(piece(Part::Data(vec![0; 10]))).await.unwrap();
    let stream = tokio_stream::wrappers::ReceiverStream::new(come);
    let mut request = signed(&lines, stream);
    request.metadata_mut().insert(TO, 1.into());
    let mut sending = tokio::task::JoinSet::new();
    sending.spawn(async move { raw.install_snapshot(request).await.map(drop) });
    let patience = std::time::Duration::from_secs(5);
    let appears = async |there: usize| {
        while chair.received() != there {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patience, appears(1)).await.unwrap();
    sending.abort_all();
    tokio::time::timeout(patience, appears(0)).await.unwrap();
    assert_eq!(chair.calls(), 0);
}

#[tokio::test]
async fn a_file_that_is_not_what_it_was_is_not_sent_on() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let dir = tempfile::tempdir().unwrap();
    let mut link = link(&n2(None), &door.peer()).await;
    let vote = Vote::new_committed(3, 2);

    let mut short = snapshot(dir.path(), 1000);
    short.snapshot.bytes = 5000;
    let unread = link
        .full_snapshot(vote, short, pending(), option(5000))
        .await;
    let Err(StreamingError::Network(error)) = unread else {
        panic!("{unread:?}");
    };
    assert!(error.to_string().contains("ends early"), "{error}");

    let gone = snapshot(dir.path(), 1000);
    std::fs::remove_file(&gone.snapshot.path).unwrap();
    let unread = link
        .full_snapshot(vote, gone, pending(), option(5000))
        .await;
    assert!(
        matches!(unread, Err(StreamingError::Network(_))),
        "{unread:?}"
    );
    assert_eq!((chair.calls(), chair.received()), (0, 0));
}

#[tokio::test]
async fn a_snapshot_of_several_mebibytes_arrives_whole() {
    let chair = Arc::new(Chair::default());
    let door = Open::new(&chair).await;
    let dir = tempfile::tempdir().unwrap();
    let mut link = link(&n2(None), &door.peer()).await;
    let vote = Vote::new_committed(3, 2);
    for bytes in [0, 1, MAX_CHUNK, (5 << 20) + 7] {
        let sent = snapshot(dir.path(), bytes);
        let said = sent.snapshot.sha256;
        let answer = link
            .full_snapshot(vote, sent, pending(), option(10_000))
            .await;
        assert_eq!(answer.unwrap().vote, vote);
        let (file, arrived) = chair.raft.installed.lock().pop().unwrap();
        assert!(arrived == content(bytes), "{bytes} bytes");
        assert_eq!((file.bytes, file.sha256), (bytes as u64, said));
    }
}
