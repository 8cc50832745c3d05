//! The one RocksDB of a node, and how it is opened.
//!
//! Log, vote and state machine share one write-ahead log, so whatever was written first is durable
//! first: only votes, log entries and installed snapshots need a sync of their own, everything else
//! is ordered by them.

use std::io;
use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, DB, DBCompressionType, DBRecoveryMode, Direction,
    IteratorMode, LogLevel, Options, WriteBatch, WriteOptions, properties,
};

use super::frame;

/// Vote, bounds of the log, who this node is.
const META: &str = "meta";
/// Entries by index.
const LOGS: &str = "logs";
/// What the state machine has applied.
const SM_META: &str = "sm_meta";
/// The state's rows.
const SM_DATA: &str = "sm_data";

/// A column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Meta,
    Logs,
    SmMeta,
    SmData,
}

impl Family {
    const ALL: [Family; 4] = [Family::Meta, Family::Logs, Family::SmMeta, Family::SmData];

    const fn name(self) -> &'static str {
        match self {
            Family::Meta => META,
            Family::Logs => LOGS,
            Family::SmMeta => SM_META,
            Family::SmData => SM_DATA,
        }
    }
}

/// A row as it lies there.
pub(super) type Pair = (Box<[u8]>, Box<[u8]>);

/// The database. Values are what [`frame`] made of them.
#[derive(Debug)]
pub(super) struct Db {
    raw: DB,
}

impl Db {
    /// Opens it, or makes it where `fresh`. An existing one with a part missing is refused: an empty
    /// part made in its place would be forgetting.
    pub(super) fn open(dir: &Path, fresh: bool) -> io::Result<Self> {
        let options = options(fresh);
        let families = Family::ALL.map(|family| (family.name(), options.clone()));
        let raw = DB::open_cf_with_opts(&options, dir, families).map_err(error)?;
        Ok(Db { raw })
    }

    fn family(&self, family: Family) -> io::Result<&ColumnFamily> {
        self.raw
            .cf_handle(family.name())
            .ok_or_else(|| frame::bad(format!("column family {} is missing", family.name())))
    }

    /// One row's value, unwrapped.
    pub(super) fn get(&self, family: Family, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let row = self.raw.get_cf(self.family(family)?, key).map_err(error)?;
        row.map(|row| frame::unwrap(key, &row).map(<[u8]>::to_vec))
            .transpose()
    }

    /// One row's value, from JSON.
    pub(super) fn get_json<T: serde::de::DeserializeOwned>(
        &self,
        family: Family,
        key: &[u8],
    ) -> io::Result<Option<T>> {
        let row = self.raw.get_cf(self.family(family)?, key).map_err(error)?;
        row.map(|row| frame::unwrap_json(key, &row)).transpose()
    }

    /// Rows from a key on, as they lie there.
    pub(super) fn rows_from(
        &self,
        family: Family,
        key: &[u8],
    ) -> io::Result<impl Iterator<Item = io::Result<Pair>>> {
        let mode = IteratorMode::From(key, Direction::Forward);
        let rows = self.raw.iterator_cf(self.family(family)?, mode);
        Ok(rows.map(|row| row.map_err(error)))
    }

    /// A view that later writes do not change.
    pub(super) fn view(&self) -> View<'_> {
        View {
            db: self,
            raw: self.raw.snapshot(),
        }
    }

    /// Starts a batch.
    pub(super) fn batch(&self) -> Batch<'_> {
        Batch {
            db: self,
            raw: WriteBatch::default(),
        }
    }

    /// Makes everything written so far durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.raw.flush_wal(true).map_err(error)
    }

    /// Errors that RocksDB met in its own threads since it was opened.
    pub(super) fn background_errors(&self) -> io::Result<u64> {
        let count = self.raw.property_int_value(properties::BACKGROUND_ERRORS);
        Ok(count.map_err(error)?.unwrap_or(0))
    }

    /// Rewrites a range of a family without what was deleted from it.
    pub(super) fn compact(&self, family: Family, from: &[u8], to: &[u8]) -> io::Result<()> {
        self.raw
            .compact_range_cf(self.family(family)?, Some(from), Some(to));
        Ok(())
    }
}

/// A view of the database at one moment.
pub(super) struct View<'a> {
    db: &'a Db,
    raw: rocksdb::Snapshot<'a>,
}

impl View<'_> {
    /// As [`Db::get_json`].
    pub(super) fn get_json<T: serde::de::DeserializeOwned>(
        &self,
        family: Family,
        key: &[u8],
    ) -> io::Result<Option<T>> {
        let row = self.raw.get_cf(self.db.family(family)?, key);
        row.map_err(error)?
            .map(|row| frame::unwrap_json(key, &row))
            .transpose()
    }

    /// All rows of a family, in key order, as they lie there.
    pub(super) fn rows(
        &self,
        family: Family,
    ) -> io::Result<impl Iterator<Item = io::Result<Pair>>> {
        let rows = self
            .raw
            .iterator_cf(self.db.family(family)?, IteratorMode::Start);
        Ok(rows.map(|row| row.map_err(error)))
    }
}

/// Writes that happen together or not at all.
pub(super) struct Batch<'a> {
    db: &'a Db,
    raw: WriteBatch,
}

impl Batch<'_> {
    /// Sets a row.
    pub(super) fn put(&mut self, family: Family, key: &[u8], value: &[u8]) -> io::Result<()> {
        let row = frame::wrap(key, value);
        self.raw.put_cf(self.db.family(family)?, key, row);
        Ok(())
    }

    /// Sets a row as JSON.
    pub(super) fn put_json(
        &mut self,
        family: Family,
        key: &[u8],
        value: &impl serde::Serialize,
    ) -> io::Result<()> {
        let row = frame::wrap_json(key, value)?;
        self.raw.put_cf(self.db.family(family)?, key, row);
        Ok(())
    }

    /// Deletes a row.
    pub(super) fn delete(&mut self, family: Family, key: &[u8]) -> io::Result<()> {
        self.raw.delete_cf(self.db.family(family)?, key);
        Ok(())
    }

    /// Deletes rows from a key on, the other one excluded.
    pub(super) fn delete_range(
        &mut self,
        family: Family,
        from: &[u8],
        to: &[u8],
    ) -> io::Result<()> {
        self.raw.delete_range_cf(self.db.family(family)?, from, to);
        Ok(())
    }

    /// Writes: readable on return, durable with the next sync.
    pub(super) fn write(self) -> io::Result<()> {
        self.db.raw.write(self.raw).map_err(error)
    }

    /// Writes, durable on return.
    pub(super) fn write_synced(self) -> io::Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.raw.write_opt(self.raw, &options).map_err(error)
    }
}

/// RocksDB's word as ours. It keeps no error code, so a full disk and the like are known by text.
fn error(error: rocksdb::Error) -> io::Error {
    let says = |text: &str| error.as_ref().contains(text);
    let kind = match error.kind() {
        _ if says("No space left on device") => io::ErrorKind::StorageFull,
        _ if says("Permission denied") => io::ErrorKind::PermissionDenied,
        _ if says("lock") && says("LOCK") => io::ErrorKind::ResourceBusy,
        rocksdb::ErrorKind::Corruption => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

fn options(fresh: bool) -> Options {
    let mut blocks = BlockBasedOptions::default();
    // the whole state is smaller than this in all but the largest clusters
    blocks.set_block_cache(&Cache::new_lru_cache(32 << 20));

    let mut options = Options::default();
    options.create_if_missing(fresh);
    options.create_missing_column_families(fresh);
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    // four families, some memtables each: at most some 64 MiB of memory
    options.set_write_buffer_size(8 << 20);
    // an unclean stop may cut the last record short; damage anywhere else must stop us
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_recycle_log_file_num(0);
    options.set_manual_wal_flush(false);
    options.set_use_fsync(false); // fdatasync
    options.set_max_total_wal_size(64 << 20);
    options.set_unordered_write(false);
    options.set_enable_pipelined_write(false);
    options.set_max_background_jobs(2);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(1 << 20);
    options.set_keep_log_file_num(4);
    options
}
