//! Sending a snapshot: a head, then the file in pieces, for as long as it moves.

use std::path::Path;
use std::time::Duration;

use futures::{Stream, stream};
use llm_router_proto::llm_router::cluster::v1;
use openraft::alias::{SnapshotOf, VoteOf};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::transport::Channel;
use v1::raft_service_client::RaftServiceClient;
use v1::snapshot_chunk::Part;

use super::SnapshotFile;
use super::call::{Failure, failure, signed};
use super::lines::Lines;
use crate::raft::TypeConfig;
use crate::wire::raft::snapshot::{Head, MAX_CHUNK, MAX_SNAPSHOT, head_out};

/// Why a snapshot was not taken over.
#[derive(Debug)]
pub(super) enum Unsent {
    /// Ours cannot be read.
    File(String),
    /// The call failed.
    Call(Failure),
}

/// How far the sending is.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// Pieces the connection has taken.
    pieces: u64,
    /// The file could not be read to its end.
    failed: Option<String>,
}

/// Sends it. `stall` bounds each piece and the answer, not the whole: a slow link takes as long as
/// it takes, a dead one ends.
pub(super) async fn send(
    lines: &Lines,
    mut client: RaftServiceClient<Channel>,
    vote: VoteOf<TypeConfig>,
    snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
    stall: Duration,
) -> Result<v1::SnapshotResponse, Unsent> {
    let file = snapshot.snapshot;
    if file.bytes > MAX_SNAPSHOT {
        let words = format!("a snapshot of {} bytes is more than {MAX_SNAPSHOT}", file.bytes);
        return Err(Unsent::File(words));
    }
    let open = open(&file.path).await.map_err(Unsent::File)?;
    let head = Head {
        vote,
        meta: snapshot.meta,
        bytes: file.bytes,
        sha256: file.sha256,
    };
    let (progress, mut moved) = watch::channel(Progress::default());
    let request = signed(lines, pieces(head, open, progress));
    let call = client.install_snapshot(request);
    tokio::pin!(call);
    loop {
        tokio::select! {
            answer = &mut call => {
                if let Some(reason) = moved.borrow().failed.clone() {
                    return Err(Unsent::File(reason));
                }
                let peer = "the follower";
                return answer
                    .map(tonic::Response::into_inner)
                    .map_err(|status| Unsent::Call(failure(&status, peer)));
            }
            // the sender goes once the last piece is taken: then only the answer is waited for
            moving = timeout(stall, moved.changed()) => match moving {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    let answer = timeout(stall, &mut call).await;
                    let answer = answer.map_err(|_| Unsent::Call(Failure::TimedOut))?;
                    if let Some(reason) = moved.borrow().failed.clone() {
                        return Err(Unsent::File(reason));
                    }
                    return answer
                        .map(tonic::Response::into_inner)
                        .map_err(|status| Unsent::Call(failure(&status, "the follower")));
                }
                Err(_) => return Err(Unsent::Call(Failure::TimedOut)),
            },
        }
    }
}

async fn open(path: &Path) -> Result<File, String> {
    File::open(path)
        .await
        .map_err(|error| format!("{} cannot be opened: {error}", path.display()))
}

/// Where the stream of pieces is.
struct Reading {
    head: Option<Head>,
    file: File,
    left: u64,
    progress: watch::Sender<Progress>,
}

fn pieces(
    head: Head,
    file: File,
    progress: watch::Sender<Progress>,
) -> impl Stream<Item = v1::SnapshotChunk> + Send + 'static {
    let reading = Reading {
        left: head.bytes,
        head: Some(head),
        file,
        progress,
    };
    stream::unfold(reading, |mut reading| async move {
        reading.progress.send_modify(|progress| progress.pieces += 1);
        let part = match reading.head.take() {
            Some(head) => Part::Head(head_out(&head)),
            None => Part::Data(reading.next().await?),
        };
        Some((v1::SnapshotChunk { part: Some(part) }, reading))
    })
}

impl Reading {
    /// The next piece; `None` at the end, or when the file is not what it was.
    async fn next(&mut self) -> Option<Vec<u8>> {
        if self.left == 0 {
            return None;
        }
        let most = usize::try_from(self.left).unwrap_or(MAX_CHUNK).min(MAX_CHUNK);
        let mut piece = vec![0; most];
        if let Err(error) = self.file.read_exact(&mut piece).await {
            let words = format!("the snapshot ends early: {error}");
            self.progress
                .send_modify(|progress| progress.failed = Some(words));
            return None;
        }
        self.left -= most as u64;
        Some(piece)
    }
}
