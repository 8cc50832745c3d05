//! Taking in a snapshot: into a file beside the state, which is only touched once every byte is
//! there and is what the head said.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use llm_router_proto::llm_router::cluster::v1;
use openraft::Snapshot;
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tonic::Status;
use v1::snapshot_chunk::Part;

use super::caller::{Caller, in_own_name};
use crate::error::Error;
use crate::raft::TypeConfig;
use crate::store::SnapshotFile;
use crate::transport::Seat;
use crate::transport::call::{nonsense, status};
use crate::wire::raft::BadWire;
use crate::wire::raft::fault::Fault;
use crate::wire::raft::snapshot::{Head, MAX_CHUNK, head_in};

/// Longest wait for the next piece; the leader gives up after about as long.
const PIECE: Duration = Duration::from_secs(10);

/// Takes in one snapshot at a time.
pub(super) struct Receiving {
    seat: Arc<dyn Seat>,
    /// One: a leader sends one, and the disk has room for one beside the state.
    turn: Semaphore,
}

impl Receiving {
    pub(super) fn new(seat: Arc<dyn Seat>) -> Self {
        Receiving {
            seat,
            turn: Semaphore::new(1),
        }
    }

    /// The whole snapshot, checked, in a file of its own. On any refusal the file is gone.
    pub(super) async fn receive(
        &self,
        caller: &Caller,
        mut pieces: impl Stream<Item = Result<v1::SnapshotChunk, Status>> + Unpin + Send,
    ) -> Result<(VoteOf<TypeConfig>, SnapshotOf<TypeConfig, SnapshotFile>), Status> {
        let _turn = self.turn.try_acquire().map_err(|_| busy())?;
        let head = match next(&mut pieces).await? {
            Some(Part::Head(head)) => head_in(head).map_err(|bad| refused(caller, &bad))?,
            _ => return Err(refused(caller, &BadWire::Missing("snapshot.head"))),
        };
        in_own_name(caller, &head.vote)?;
        let mut partial = Partial::begin(self.seat.as_ref()).await?;
        let filled = fill(&mut partial, &mut pieces, &head);
        let filled = filled.await.map_err(|unfit| unfit.status(caller));
        filled?;
        let snapshot = SnapshotFile {
            path: partial.keep(),
            bytes: head.bytes,
            sha256: head.sha256,
        };
        let Head { vote, meta, .. } = head;
        Ok((vote, Snapshot { meta, snapshot }))
    }
}

/// Why what came is no snapshot.
enum Unfit {
    /// It is not what the head said, or not in pieces as agreed.
    Bad(BadWire),
    /// The stream broke.
    Cut(Status),
    /// It cannot be kept here.
    Disk(std::io::Error),
}

impl Unfit {
    fn status(self, caller: &Caller) -> Status {
        match self {
            Unfit::Bad(bad) => refused(caller, &bad),
            Unfit::Cut(status) => {
                tracing::info!(from = %caller.node, %status, "a snapshot was cut short");
                status
            }
            Unfit::Disk(error) => unkept(&error),
        }
    }
}

async fn fill(
    partial: &mut Partial,
    pieces: &mut (impl Stream<Item = Result<v1::SnapshotChunk, Status>> + Unpin + Send),
    head: &Head,
) -> Result<(), Unfit> {
    let bad = |problem: &str| Unfit::Bad(BadWire::bad("snapshot.data", problem));
    let mut digest = Sha256::new();
    let mut left = head.bytes;
    while let Some(part) = next(pieces).await.map_err(Unfit::Cut)? {
        let Part::Data(piece) = part else {
            return Err(bad("a second head"));
        };
        if piece.len() > MAX_CHUNK {
            return Err(bad("a piece of more than 1 MiB"));
        }
        left = left
            .checked_sub(piece.len() as u64)
            .ok_or_else(|| bad("more bytes than the head says"))?;
        digest.update(&piece);
        partial.file.write_all(&piece).await.map_err(Unfit::Disk)?;
    }
    if left > 0 {
        return Err(bad("fewer bytes than the head says"));
    }
    if digest.finalize()[..] != head.sha256[..] {
        return Err(bad("the checksum is another one than the head says"));
    }
    partial.file.flush().await.map_err(Unfit::Disk)?;
    partial.file.sync_all().await.map_err(Unfit::Disk)
}

/// The next piece, in time. An empty message is as good as none.
async fn next(
    pieces: &mut (impl Stream<Item = Result<v1::SnapshotChunk, Status>> + Unpin + Send),
) -> Result<Option<Part>, Status> {
    let next = tokio::time::timeout(PIECE, pieces.next()).await;
    let next =
        next.map_err(|_| Status::deadline_exceeded("the next piece did not come in time"))?;
    match next.transpose()? {
        None => Ok(None),
        Some(v1::SnapshotChunk { part }) => {
            let missing = || nonsense(&BadWire::Missing("snapshot.part"));
            part.ok_or_else(missing).map(Some)
        }
    }
}

/// A file that goes with its owner unless it is kept.
struct Partial {
    path: Option<PathBuf>,
    file: File,
}

impl Partial {
    async fn begin(seat: &dyn Seat) -> Result<Self, Status> {
        let path = seat.receiving().map_err(|error| unkept(&error))?;
        let file = File::create(&path).await.map_err(|error| unkept(&error))?;
        Ok(Partial {
            path: Some(path),
            file,
        })
    }

    fn keep(mut self) -> PathBuf {
        self.path.take().unwrap_or_default()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // one unlink: short enough for a worker, and there is no waiting in a drop
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "a partial snapshot stays");
            }
        }
    }
}

fn refused(caller: &Caller, bad: &BadWire) -> Status {
    tracing::warn!(from = %caller.node, reason = %bad, "a snapshot is refused");
    nonsense(bad)
}

fn unkept(error: &std::io::Error) -> Status {
    tracing::warn!(%error, "a snapshot cannot be kept");
    status(&Fault::Error(Error::Store(format!(
        "a snapshot cannot be kept: {error}"
    ))))
}

fn busy() -> Status {
    status(&Fault::Error(Error::Busy))
}
