//! The state machine, as openraft asks for it: applies what was agreed, builds and installs
//! snapshots, publishes every new state.

use std::io;
use std::sync::Arc;

use futures::{Stream, TryStreamExt};
use openraft::storage::{
    ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot,
};
use openraft::type_config::alias::{SnapshotOf, StoredMembershipOf};
use openraft::{EntryPayload, StoredMembership};

use super::Shared;
use super::db::{Db, Family};
use super::entry::{Entry, EntryId};
use super::faults::Point;
use super::frame::{self, bad};
use super::shelf::Published;
use super::snapshot::{self, Meta, SnapshotFile};
use crate::command::{Done, Outcome};
use crate::raft::TypeConfig;
use crate::state::State;

const APPLIED: &[u8] = b"applied";
const MEMBERSHIP: &[u8] = b"membership";
/// Behind every key of the state, which are text.
const KEYS_END: [u8; 8] = [0xff; 8];

/// Most entries applied in one batch: few writes where much is applied, and no long wait for those
/// whose entry comes first.
const MAX_CHUNK: usize = 256;

type Membership = StoredMembershipOf<TypeConfig>;

/// What has been applied, and what came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Applied {
    pub(super) last: Option<EntryId>,
    pub(super) membership: Membership,
    pub(super) state: State,
}

impl Applied {
    /// As it is stored.
    pub(super) fn read(db: &Db) -> io::Result<Self> {
        let view = db.view();
        let last = view.get_json::<Option<EntryId>>(Family::SmMeta, APPLIED)?;
        let membership = view.get_json(Family::SmMeta, MEMBERSHIP)?;
        let mut rows = Vec::new();
        for row in view.rows(Family::SmData)? {
            let (key, row) = row?;
            rows.push((key.to_vec(), frame::unwrap(&key, &row)?.to_vec()));
        }
        let last = last.flatten();
        if last.is_none() && !rows.is_empty() {
            return Err(bad("there is a state, but not what was applied to make it"));
        }
        Ok(Applied {
            last,
            membership: membership.unwrap_or_default(),
            state: State::from_rows(rows).map_err(|problem| bad(problem.to_string()))?,
        })
    }

    fn apply(&mut self, entry: &Entry) -> Outcome {
        self.last = Some(entry.log_id);
        match &entry.payload {
            EntryPayload::Blank => Outcome::Done(Done::Nothing),
            EntryPayload::Normal(command) => self.state.apply(entry.log_id.index, command),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                Outcome::Done(Done::Nothing)
            }
        }
    }
}

/// The state machine. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    shared: Arc<Shared>,
}

/// Builds a snapshot, while entries are applied on.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    shared: Arc<Shared>,
}

impl Machine {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Machine { shared }
    }

    fn apply_chunk(&self, chunk: Vec<EntryResponder<TypeConfig>>) -> io::Result<()> {
        let mut applied = self.shared.applied.lock();
        // a copy, so that a write that fails leaves nothing half done
        let mut next = applied.clone();
        let mut answers: Vec<(ApplyResponder<TypeConfig>, Outcome)> = Vec::new();
        for (entry, responder) in chunk {
            let outcome = next.apply(&entry);
            answers.extend(responder.map(|responder| (responder, outcome)));
        }
        let mut batch = self.shared.db.batch();
        for row in next.state.changes() {
            match row.value {
                Some(value) => batch.put(Family::SmData, &row.key, &value)?,
                None => batch.delete(Family::SmData, &row.key)?,
            }
        }
        batch.put_json(Family::SmMeta, APPLIED, &next.last)?;
        batch.put_json(Family::SmMeta, MEMBERSHIP, &next.membership)?;
        // Not synced: in the log before it, its entries are. What is lost is applied again.
        self.shared.guarded(Point::Apply, || batch.write())?;
        self.shared
            .states
            .send_replace(Arc::new(next.state.clone()));
        *applied = next;
        drop(applied);
        for (responder, outcome) in answers {
            responder.send(outcome);
        }
        Ok(())
    }
}

/// Builds a snapshot from one view of the database and puts it in force. Blocks.
fn build(shared: &Shared) -> io::Result<Published> {
    let view = shared.db.view();
    let last = view.get_json::<Option<EntryId>>(Family::SmMeta, APPLIED)?;
    let membership = view.get_json::<Membership>(Family::SmMeta, MEMBERSHIP)?;
    let meta = Meta {
        last_log_id: last.flatten(),
        last_membership: membership.unwrap_or_default(),
    };
    let rows = view.rows(Family::SmData)?.map(|row| {
        let (key, row) = row?;
        let value = frame::unwrap(&key, &row)?.to_vec();
        Ok((key.into_vec(), value))
    });
    let path = shared.shelf.building();
    let built = shared.guarded_file(|| {
        let file = snapshot::write(&path, &meta, rows)?;
        shared.shelf.publish(&meta, &file)
    });
    if built.is_err() {
        let _ = std::fs::remove_file(&path);
    }
    built
}

/// Puts a snapshot in the state's place. Blocks.
fn install(shared: &Shared, meta: &Meta, file: &SnapshotFile) -> io::Result<()> {
    let contents = snapshot::read(&file.path)?;
    if contents.bytes != file.bytes || contents.sha256 != file.sha256 {
        return Err(bad("the snapshot is not the one that was announced"));
    }
    if contents.meta != *meta {
        return Err(bad("the snapshot is of another moment than was announced"));
    }
    let state = State::from_rows(contents.rows.iter().cloned());
    let state = state.map_err(|problem| bad(problem.to_string()))?;

    // The file first: should the process end before the rows are in, openraft finds a snapshot
    // newer than the state on start, and installs it again.
    shared.guarded_file(|| shared.shelf.take(meta, file))?;
    let mut applied = shared.applied.lock();
    let mut batch = shared.db.batch();
    batch.delete_range(Family::SmData, &[], &KEYS_END)?;
    for (key, value) in &contents.rows {
        batch.put(Family::SmData, key, value)?;
    }
    batch.put_json(Family::SmMeta, APPLIED, &meta.last_log_id)?;
    batch.put_json(Family::SmMeta, MEMBERSHIP, &meta.last_membership)?;
    shared.guarded(Point::Install, || batch.write_synced())?;
    shared.states.send_replace(Arc::new(state.clone()));
    *applied = Applied {
        last: meta.last_log_id,
        membership: meta.last_membership.clone(),
        state,
    };
    Ok(())
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, SnapshotFile>> {
        let shared = Arc::clone(&self.shared);
        let built = tokio::task::spawn_blocking(move || build(&shared)).await;
        let published = built.map_err(io::Error::other)??;
        Ok(Snapshot {
            meta: published.meta,
            snapshot: published.file,
        })
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<EntryId>, Membership)> {
        let applied = self.shared.applied.lock();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        let mut chunks = entries.try_ready_chunks(MAX_CHUNK);
        loop {
            match chunks.try_next().await {
                Ok(Some(chunk)) => self.apply_chunk(chunk)?,
                Ok(None) => return Ok(()),
                Err(stopped) => return Err(stopped.1),
            }
        }
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        // what openraft only would like to have can wait until there is room for it
        let put_off = !force && self.shared.disk.room().full;
        (!put_off).then(|| Builder {
            shared: Arc::clone(&self.shared),
        })
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            shared: Arc::clone(&self.shared),
        }
    }

    async fn install_snapshot(&mut self, meta: &Meta, snapshot: SnapshotFile) -> io::Result<()> {
        self.shared.health.check()?;
        let shared = Arc::clone(&self.shared);
        let meta = meta.clone();
        let installed = tokio::task::spawn_blocking(move || install(&shared, &meta, &snapshot));
        installed.await.map_err(io::Error::other)?
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<SnapshotOf<TypeConfig, SnapshotFile>>> {
        let current = self.shared.shelf.current();
        Ok(current.map(|current| Snapshot {
            meta: current.meta,
            snapshot: current.file,
        }))
    }
}
