//! The log and the vote, as openraft asks for them.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::type_config::alias::VoteOf;

use super::Shared;
use super::db::{Db, Family};
use super::entry::{self, Entry, EntryId, Stored, Tail};
use super::faults::Point;
use super::frame::{self, bad};
use crate::raft::TypeConfig;

const VOTE: &[u8] = b"vote";
const PURGED: &[u8] = b"purged";
const COMMITTED: &[u8] = b"committed";

/// Most bytes of entries read at once: half of what one message between nodes may hold. One entry
/// is always read, however large.
const MAX_READ: usize = 4 << 20;
/// Most entries that are applied from one read.
const APPLY_CHUNK: u64 = 256;

/// Where the log begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The last entry deleted, with the chain up to it.
    pub(super) purged: Option<Tail>,
    /// The last entry.
    pub(super) tail: Tail,
}

impl Bounds {
    /// The index of the first entry there may be.
    pub(super) fn first(&self) -> u64 {
        self.purged.map_or(0, |purged| purged.next_index())
    }
}

/// The log. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    shared: Arc<Shared>,
}

/// The stored vote.
pub(super) fn stored_vote(db: &Db) -> io::Result<Option<VoteOf<TypeConfig>>> {
    db.get_json(Family::Meta, VOTE)
}

/// Where the stored log was purged up to.
pub(super) fn stored_purged(db: &Db) -> io::Result<Option<Tail>> {
    db.get_json(Family::Meta, PURGED)
}

impl Log {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Log { shared }
    }

    /// Entries from `start` to before `end`, at most some bytes of them but at least one. What was
    /// purged or is not there yet is left out; a hole in between is an error.
    fn read(&self, start: u64, end: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let bounds = *self.shared.bounds.lock();
        let end = end.min(bounds.tail.next_index());
        let start = start.max(bounds.first());
        let mut entries = Vec::new();
        if start >= end {
            return Ok(entries);
        }
        let (mut bytes, mut next) = (0_usize, None);
        for row in self.shared.db.rows_from(Family::Logs, &entry::key(start))? {
            let (key, row) = row?;
            let index = index_of(&key)?;
            if index >= end || (bytes >= max_bytes && !entries.is_empty()) {
                break;
            }
            if next.is_some_and(|next| next != index) {
                return Err(bad(format!("the log has a hole before entry {index}")));
            }
            let value = frame::unwrap(&key, &row)?;
            entries.push(Stored::read(index, value)?.entry()?);
            bytes = bytes.saturating_add(value.len());
            next = index.checked_add(1);
        }
        Ok(entries)
    }

    /// The tail that ends with this entry.
    fn tail_at(&self, bounds: &Bounds, id: Option<EntryId>) -> io::Result<Tail> {
        let Some(id) = id else {
            return Ok(Tail::default());
        };
        let purged = bounds.purged.filter(|purged| purged.id == Some(id));
        if let Some(purged) = purged {
            return Ok(purged);
        }
        let value = self.shared.db.get(Family::Logs, &entry::key(id.index))?;
        let value = value.ok_or_else(|| bad(format!("log entry {} is missing", id.index)))?;
        let tail = Stored::read(id.index, &value)?.tail;
        if tail.id == Some(id) {
            Ok(tail)
        } else {
            Err(bad(format!("log entry {} is another one", id.index)))
        }
    }

    fn write_entries(&self, entries: impl Iterator<Item = Entry>) -> io::Result<(Tail, u64)> {
        let mut bounds = self.shared.bounds.lock();
        let mut tail = bounds.tail;
        let mut count = 0;
        let mut batch = self.shared.db.batch();
        for entry in entries {
            let index = entry.log_id.index;
            if tail.id.is_some() && index != tail.next_index() {
                let expected = tail.next_index();
                return Err(bad(format!(
                    "entry {index} would leave a hole at {expected}"
                )));
            }
            let (value, next) = entry::encode(&entry, &tail)?;
            batch.put(Family::Logs, &entry::key(index), &value)?;
            tail = next;
            count += 1;
        }
        self.shared.guarded(Point::Append, || batch.write())?;
        bounds.tail = tail;
        Ok((tail, count))
    }
}

/// An entry's index from its key.
pub(super) fn index_of(key: &[u8]) -> io::Result<u64> {
    let key = key.try_into();
    key.map(u64::from_be_bytes)
        .map_err(|_| bad("a log entry has no index for a key"))
}

impl RaftLogReader<TypeConfig> for Log {
    async fn entries_stream<RB>(&mut self, range: RB) -> BoxStream<'static, io::Result<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        // a node that fell far behind applies chunk by chunk, rather than from one huge vector
        let log = self.clone();
        let (start, end) = ends(&range);
        let chunks = stream::try_unfold(start, move |start| {
            let read = log.read(start, end.min(start.saturating_add(APPLY_CHUNK)), MAX_READ);
            std::future::ready(read.map(|entries| {
                let next = entries.last().map(|entry| entry.log_id.index + 1)?;
                Some((entries, next))
            }))
        });
        chunks
            .flat_map(|chunk| match chunk {
                Ok(entries) => stream::iter(entries).map(Ok).left_stream(),
                Err(error) => stream::iter([Err(error)]).right_stream(),
            })
            .boxed()
    }

    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let (start, end) = ends(&range);
        self.read(start, end, usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<TypeConfig>>> {
        stored_vote(&self.shared.db)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, MAX_READ)
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let bounds = *self.shared.bounds.lock();
        Ok(LogState {
            last_purged_log_id: bounds.purged.and_then(|purged| purged.id),
            last_log_id: bounds.tail.id,
        })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<TypeConfig>) -> io::Result<()> {
        self.shared.health.check()?;
        let after = self
            .shared
            .faults
            .before(Point::Vote)
            .map_err(|error| self.shared.disk.relieve(error))?;
        let mut batch = self.shared.db.batch();
        batch.put_json(Family::Meta, VOTE, vote)?;
        self.shared.written(batch.write())?;
        self.shared.sync.vote(*vote).await?;
        after.reached();
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<EntryId>) -> io::Result<()> {
        self.shared.health.check()?;
        let mut batch = self.shared.db.batch();
        batch.put_json(Family::Meta, COMMITTED, &committed)?;
        self.shared.written(batch.write())
    }

    async fn read_committed(&mut self) -> io::Result<Option<EntryId>> {
        let row = self
            .shared
            .db
            .get_json::<Option<EntryId>>(Family::Meta, COMMITTED)?;
        Ok(row.flatten())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        self.shared.health.check()?;
        // read before the write: a truncation in between would only make the watermark lag
        let generation = self.shared.keeper.generation();
        let (tail, count) = self.write_entries(entries.into_iter())?;
        self.shared.sync.entries(callback, generation, tail, count);
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<EntryId>) -> io::Result<()> {
        self.shared.health.check()?;
        let mut bounds = self.shared.bounds.lock();
        let left = self.tail_at(&bounds, last)?;
        if left.next_index() >= bounds.tail.next_index() {
            return Ok(());
        }
        let written = self.shared.keeper.truncating(left);
        self.shared.written(written)?;
        let mut batch = self.shared.db.batch();
        let (from, to) = (entry::key(left.next_index()), entry::key(u64::MAX));
        batch.delete_range(Family::Logs, &from, &to)?;
        self.shared.written(batch.write())?;
        bounds.tail = left;
        Ok(())
    }

    async fn purge(&mut self, upto: EntryId) -> io::Result<()> {
        self.shared.health.check()?;
        let mut bounds = self.shared.bounds.lock();
        if upto.index < bounds.first() {
            return Ok(());
        }
        let inside = upto.index < bounds.tail.next_index();
        let purged = if inside && self.has(upto.index)? {
            self.tail_at(&bounds, Some(upto))?
        } else {
            Tail::after_gap(upto)
        };
        let entries = upto.index.saturating_add(1) - bounds.first();
        let mut batch = self.shared.db.batch();
        batch.put_json(Family::Meta, PURGED, &purged)?;
        let (from, to) = (entry::key(0), entry::key(upto.index.saturating_add(1)));
        batch.delete_range(Family::Logs, &from, &to)?;
        self.shared.written(batch.write())?;
        bounds.purged = Some(purged);
        if !inside {
            bounds.tail = purged;
        }
        self.shared.keeper.purged(upto.index, entries);
        Ok(())
    }
}

impl Log {
    fn has(&self, index: u64) -> io::Result<bool> {
        let row = self.shared.db.get(Family::Logs, &entry::key(index))?;
        Ok(row.is_some())
    }
}

/// Start and end, the end excluded.
fn ends(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}
