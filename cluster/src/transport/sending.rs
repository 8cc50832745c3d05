//! Sending a snapshot: a head, then the file in pieces, for as long as it moves.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use futures::{Stream, stream};
use llm_router_proto::llm_router::cluster::v1;
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::Response;
use tonic::transport::Channel;
use v1::raft_service_client::RaftServiceClient;
use v1::snapshot_chunk::Part;

use super::call::{Failure, TO, failure, signed};
use super::lines::Lines;
use crate::raft::TypeConfig;
use crate::store::SnapshotFile;
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

/// One sending.
pub(super) struct Sending<'a> {
    pub(super) lines: &'a Lines,
    pub(super) target: u64,
    /// Bounds each piece and the answer, not the whole: a slow link takes as long as it takes, a
    /// dead one ends.
    pub(super) stall: Duration,
}

impl Sending<'_> {
    /// Sends the head and the file, and waits for what the follower says.
    pub(super) async fn send(
        &self,
        mut client: RaftServiceClient<Channel>,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
    ) -> Result<v1::SnapshotResponse, Unsent> {
        let file = snapshot.snapshot;
        if file.bytes > MAX_SNAPSHOT {
            let words = format!(
                "a snapshot of {} bytes is more than {MAX_SNAPSHOT}",
                file.bytes
            );
            return Err(Unsent::File(words));
        }
        let open = open(&file.path).await.map_err(Unsent::File)?;
        let head = Head {
            vote,
            meta: snapshot.meta,
            bytes: file.bytes,
            sha256: file.sha256,
        };
        let (progress, moved) = watch::channel(Progress::default());
        let mut request = signed(self.lines, pieces(head, open, progress));
        request.metadata_mut().insert(TO, self.target.into());
        let call = client.install_snapshot(request);
        let answer = self.watched(call, moved.clone()).await?;
        if let Some(reason) = moved.borrow().failed.clone() {
            return Err(Unsent::File(reason));
        }
        answer
            .map(Response::into_inner)
            .map_err(|status| Unsent::Call(failure(&status, "the follower")))
    }

    /// The answer, as long as the pieces move.
    async fn watched<T>(
        &self,
        call: impl Future<Output = T>,
        mut moved: watch::Receiver<Progress>,
    ) -> Result<T, Unsent> {
        tokio::pin!(call);
        let mut sending = true;
        loop {
            tokio::select! {
                answer = &mut call => return Ok(answer),
                // the other end goes once the last piece is taken: then the answer is waited for
                change = moved.changed(), if sending => sending = change.is_ok(),
                () = sleep(self.stall) => return Err(Unsent::Call(Failure::TimedOut)),
            }
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
        reading
            .progress
            .send_modify(|progress| progress.pieces += 1);
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
        let most = usize::try_from(self.left)
            .unwrap_or(MAX_CHUNK)
            .min(MAX_CHUNK);
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
