//! The store of one node: its log, its vote, the agreed state, its snapshots, and who it is.
//!
//! What is acknowledged is durable, and stays: a vote is synced before it is answered, an entry
//! before its callback, an installed snapshot before it counts. On start everything is read and
//! checked; a directory that is damaged, or that has forgotten anything this node may have
//! acknowledged, is refused with what to do about it. Nothing is repaired and no failed sync is
//! tried again: the process ends, and opening the data is the one way back.
//!
//! ```text
//! db/          one RocksDB, one write-ahead log: meta, logs, sm_meta, sm_data
//! watermark    what was durable lately, by which forgetting is known
//! snapshots/   the snapshot in force
//! receiving/   snapshots on their way in
//! ballast      room to give up when the disk is full
//! ```

mod db;
mod disk;
mod entry;
mod faults;
mod frame;
mod framing;
mod keeper;
mod log;
mod machine;
mod mark;
mod shelf;
mod snapshot;
mod sync;
#[cfg(test)]
mod tests;
mod verify;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use self::db::{Db, Family};
use self::disk::{Disk, Reserve};
use self::faults::Point;
use self::keeper::{Health, Keeper};
use self::log::Bounds;
use self::machine::Applied;
use self::mark::Mark;
use self::shelf::Shelf;
use self::sync::{Syncer, Tools};
use self::verify::Found;
use crate::error::Error;
use crate::identity::{ClusterId, MemberId, NodeId};
use crate::state::State;

pub(crate) use self::disk::Room;
pub(crate) use self::faults::Faults;
pub(crate) use self::log::Log;
pub(crate) use self::machine::Machine;
pub(crate) use self::snapshot::SnapshotFile;

const IDENTITY: &[u8] = b"identity";

/// Whose data a directory holds. Written once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The cluster.
    pub(crate) cluster: ClusterId,
    /// This node's number there.
    pub(crate) member: MemberId,
    /// Its name.
    pub(crate) node: NodeId,
    /// What literal secrets in the agreed config are sealed with.
    pub(crate) seal_key: [u8; 32],
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("cluster", &self.cluster)
            .field("member", &self.member)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// The store. Cheap to clone; all clones are one. It is closed, with a last sync, when the last of
/// them, of its logs and of its machines is gone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    shared: Arc<Shared>,
}

/// What the log and the state machine share. Dropped from the top: first the sync thread ends, then
/// the keeper, then the database closes.
#[derive(Debug)]
struct Shared {
    sync: Syncer,
    keeper: Arc<Keeper>,
    db: Arc<Db>,
    disk: Arc<Disk>,
    health: Health,
    faults: Faults,
    shelf: Shelf,
    bounds: Mutex<Bounds>,
    applied: Mutex<Applied>,
    states: watch::Sender<Arc<State>>,
    identity: Mutex<Option<Identity>>,
    /// Held for as long as anything here may write; the last to go.
    _lock: File,
}

/// Opens the store of a directory, which is made if missing. Reads everything; blocks.
///
/// # Errors
/// [`Error::Store`] with the reason and the procedure, when the data must not be used.
pub(crate) fn open(dir: &Path, faults: Faults) -> Result<Store, Error> {
    open_with(dir, faults, Reserve::default())
}

/// The member a directory is of and its name, while another process may have it open; `None` where
/// there is no store, or none that belongs to anybody yet.
///
/// # Errors
/// [`Error::Store`] when that cannot be read.
pub(crate) fn owner(dir: &Path) -> Result<Option<(MemberId, NodeId)>, Error> {
    let mark = Mark::read(dir).map_err(|problem| Error::Store(problem.to_string()))?;
    Ok(mark.and_then(|mark| mark.owner))
}

/// Held by the process that uses the directory.
const LOCK: &str = "lock";
/// Whoever used the directory before may be closing it still, at the end of a restart.
const OPEN_TRIES: u32 = 40;
/// Pause between two tries: two seconds in all.
const OPEN_PAUSE: Duration = Duration::from_millis(50);

#[expect(
    clippy::disallowed_methods,
    reason = "opening blocks from end to end, and runs where that is allowed"
)]
fn open_with(dir: &Path, faults: Faults, reserve: Reserve) -> Result<Store, Error> {
    let mut owner = None;
    for _ in 1..OPEN_TRIES {
        match open_checked(dir, faults.clone(), reserve, &mut owner) {
            Err(problem) if problem.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(OPEN_PAUSE);
            }
            settled => {
                return settled.map_err(|problem| verify::refuse(dir, owner.as_deref(), &problem));
            }
        }
    }
    open_checked(dir, faults, reserve, &mut owner)
        .map_err(|problem| verify::refuse(dir, owner.as_deref(), &problem))
}

fn open_checked(
    dir: &Path,
    faults: Faults,
    reserve: Reserve,
    owner: &mut Option<String>,
) -> io::Result<Store> {
    make_private(dir)?;
    // before anything is read: whoever had it before may still be writing
    let lock = File::create(dir.join(LOCK))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::ErrorKind::ResourceBusy.into(),
        TryLockError::Error(error) => error,
    })?;
    let mark = Mark::read(dir)?;
    let named = mark.as_ref().and_then(|mark| mark.owner.as_ref());
    *owner = named.map(|(_, name)| name.as_str().to_owned());
    let disk = Arc::new(Disk::open(dir, reserve)?);
    let path = dir.join("db");
    framing::check(&path)?;
    let fresh = mark.is_none();
    let db = match Db::open(&path, fresh) {
        // recovery needs room; what it did not finish it does again
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            let _ = disk.relieve(error);
            Db::open(&path, fresh)?
        }
        opened => opened?,
    };
    let db = Arc::new(db);

    let identity = db.get_json::<Identity>(Family::Meta, IDENTITY)?;
    let (shelf, snapshot) = Shelf::open(dir)?;
    let (bounds, mark) = check_log(dir, &db, identity.as_ref(), mark)?;
    let applied = Applied::read(&db)?;
    let snapshot = snapshot.and_then(|snapshot| snapshot.meta.last_log_id);
    verify::state(applied.last, &bounds, snapshot)?;

    let health = Health::new();
    let keeper = Keeper::start(
        dir,
        mark,
        Arc::clone(&db),
        Arc::clone(&disk),
        health.clone(),
    )?;
    let keeper = Arc::new(keeper);
    let sync = Syncer::start(Tools {
        db: Arc::clone(&db),
        disk: Arc::clone(&disk),
        keeper: Arc::clone(&keeper),
        health: health.clone(),
        faults: faults.clone(),
    })?;
    Ok(Store {
        shared: Arc::new(Shared {
            sync,
            keeper,
            db,
            disk,
            health,
            faults,
            shelf,
            bounds: Mutex::new(bounds),
            states: watch::Sender::new(Arc::new(applied.state.clone())),
            applied: Mutex::new(applied),
            identity: Mutex::new(identity),
            _lock: lock,
        }),
    })
}

/// Reads the log and holds it against the watermark. A directory without one has to be empty; it
/// gets its first.
fn check_log(
    dir: &Path,
    db: &Db,
    identity: Option<&Identity>,
    mark: Option<Mark>,
) -> io::Result<(Bounds, Mark)> {
    let at = mark.as_ref().and_then(|mark| mark.tail.id);
    let (bounds, at_mark) = verify::log(db, at.map(|id| id.index))?;
    let vote = log::stored_vote(db)?;
    let Some(mark) = mark else {
        let empty = bounds == Bounds::default() && vote.is_none() && identity.is_none();
        if !empty {
            return Err(frame::bad("its watermark is missing"));
        }
        let first = Mark::default();
        first.write(dir)?;
        return Ok((bounds, first));
    };
    let found = Found {
        bounds: &bounds,
        vote,
        identity,
        at_mark,
    };
    verify::against_mark(&mark, &found)?;
    Ok((bounds, mark))
}

/// Makes a directory that only its owner can look into: it holds the seal key.
fn make_private(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

impl Store {
    /// Whose data this is; `None` before it belongs to a cluster.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.shared.identity.lock().clone()
    }

    /// From now on the data is of this member. Durable on return; blocks.
    ///
    /// # Errors
    /// [`Error::Store`] when it is another's already, or the disk fails.
    pub(crate) fn found(&self, identity: &Identity) -> Result<(), Error> {
        let mut current = self.shared.identity.lock();
        match current.as_ref() {
            Some(same) if same == identity => return Ok(()),
            Some(other) => {
                let text = format!(
                    "the data is of {} in cluster {}, and cannot become another's",
                    other.node, other.cluster
                );
                return Err(Error::Store(text));
            }
            None => {}
        }
        let written = self.write_identity(identity);
        written.map_err(|error| Error::Store(format!("the data cannot be written: {error}")))?;
        *current = Some(identity.clone());
        Ok(())
    }

    fn write_identity(&self, identity: &Identity) -> io::Result<()> {
        self.shared.health.check()?;
        let mut batch = self.shared.db.batch();
        batch.put_json(Family::Meta, IDENTITY, identity)?;
        self.shared.written(batch.write())?;
        self.shared.sync.anything()?;
        let (member, node) = (identity.member, identity.node.clone());
        self.shared.keeper.owner_durable(member, node)
    }

    /// The log, for openraft.
    pub(crate) fn log(&self) -> Log {
        Log::new(Arc::clone(&self.shared))
    }

    /// The state machine, for openraft.
    pub(crate) fn machine(&self) -> Machine {
        Machine::new(Arc::clone(&self.shared))
    }

    /// The agreed state as applied here, and every later one.
    pub(crate) fn states(&self) -> watch::Receiver<Arc<State>> {
        self.shared.states.subscribe()
    }

    /// How much room is left on the disk.
    pub(crate) fn room(&self) -> Room {
        match self.shared.faults.before(Point::Room) {
            Ok(_) => self.shared.disk.room(),
            Err(_) => Room::NONE,
        }
    }

    /// A fresh file for a snapshot that comes in.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn receiving(&self) -> io::Result<PathBuf> {
        self.shared.shelf.receiving()
    }

    /// Why the store has failed, once it has: the process must end.
    pub(crate) fn failed(&self) -> watch::Receiver<Option<String>> {
        self.shared.health.watch()
    }
}

impl Shared {
    /// Looks at how a write went. RocksDB takes no more of them after one that failed.
    fn written<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| {
            let error = self.disk.relieve(error);
            self.health.fail(format!("a write failed: {error}"));
            error
        })
    }

    /// Writes, unless that is to fail on purpose.
    fn guarded<T>(&self, point: Point, write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.health.check()?;
        let after = self.faults.before(point);
        let after = after.map_err(|error| self.disk.relieve(error))?;
        let done = self.written(write())?;
        after.reached();
        Ok(done)
    }

    /// Writes a snapshot's file. That it cannot be written says nothing about the database.
    fn guarded_file<T>(&self, write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let written = self.faults.around(Point::SnapshotWrite, write);
        written.map_err(|error| self.disk.relieve(error))
    }
}
