//! The cache on disk: RocksDB in `dir/cache`, the node's secret in `dir/cache.key`.
//!
//! Two column families: the rows, sealed under data keys, by serial; and the data keys, wrapped
//! under the node's secret (`vault.rs`). Neither shows a prompt, an answer, a vector or a tenant.
//!
//! One thread writes. It is fed through a bounded channel, so nothing on the request path ever
//! waits for the disk: when the channel is full an entry stays in memory alone and is counted.
//! Writes go through the write-ahead log without a sync; closing syncs it.
//!
//! What deleting a data key promises: when [`Disk::destroy`] returns, the key has left the log and
//! the table files (the deletion is synced, both families are flushed, so that the old log goes, and
//! the family of keys is rewritten), and no running node can read it again. Not promised: that the
//! file system or the drive has overwritten the blocks it stood in. Those hold it wrapped, so whoever
//! digs them up needs `cache.key` as well. A backup that holds the keys' family and `cache.key` is a
//! copy of the keys; back up neither, or destroy both.

mod codec;
mod secret;
mod vault;
mod writer;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use rocksdb::{
    BottommostLevelCompaction, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB,
    DEFAULT_COLUMN_FAMILY_NAME, IteratorMode, Options, WriteBatch, WriteOptions,
};

pub(crate) use codec::{Record, plain, unplain};
pub(crate) use secret::load_or_create as secret;
pub(crate) use writer::{Doomed, Sweep, Writer};

use super::compact::Compact;
use super::entry::Entry;
use crate::types::TenantId;
use vault::{KeyId, Owner, Vault};

/// The column family of the wrapped data keys.
const KEYS: &str = "keys";

/// Why the cache on disk cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The node's secret cannot be read or made.
    #[error("cache secret cannot be read or created")]
    Secret(#[source] std::io::Error),
    /// RocksDB cannot be opened or read.
    #[error("cache database cannot be used")]
    Database(#[from] rocksdb::Error),
    /// What was learnt cannot be written.
    #[error("what the cache has learnt cannot be written")]
    Learning(#[source] std::io::Error),
    /// How far the cache has forgotten cannot be written.
    #[error("what the cache has forgotten cannot be noted")]
    Forgotten(#[source] std::io::Error),
    /// The writer thread cannot be started.
    #[error("cache writer cannot be started")]
    Thread(#[source] std::io::Error),
    /// The writer has stopped.
    #[error("cache writer has stopped")]
    Stopped,
    /// A column family or the cipher is missing.
    #[error("cache database cannot be unlocked")]
    Locked,
}

impl From<vault::Sealed> for StoreError {
    fn from(_: vault::Sealed) -> Self {
        StoreError::Locked
    }
}

/// Everything found on disk.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Readable entries with their vectors, oldest first.
    pub(crate) records: Vec<Record>,
    /// Keys of values that could not be read: damaged, moved, or their data key is gone.
    pub(crate) corrupt: Vec<u64>,
}

/// The open database and the keys to it.
#[derive(Debug)]
pub(crate) struct Disk {
    db: DB,
    vault: Vault,
}

/// One entry on its way to disk.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) entry: Arc<Entry>,
    pub(crate) space: Arc<str>,
    pub(crate) vector: Option<Compact>,
}

/// Opens the database and reads all of it. Rows of earlier formats are dropped and taken out of the
/// files.
///
/// # Errors
/// [`StoreError::Database`] and [`StoreError::Locked`]; damaged rows and keys are no error.
pub(crate) fn open(dir: &Path, secret: &[u8; 32]) -> Result<(Disk, Found), StoreError> {
    let families = [DEFAULT_COLUMN_FAMILY_NAME, KEYS].map(|name| {
        let mut options = Options::default();
        options.set_write_buffer_size(if name == KEYS { 1 << 20 } else { 16 << 20 });
        ColumnFamilyDescriptor::new(name, options)
    });
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_open_files(256);
    options.set_keep_log_file_num(2);
    options.set_max_total_wal_size(64 << 20);
    let db = DB::open_cf_descriptors(&options, dir, families)?;
    let mut disk = Disk {
        db,
        vault: Vault::new(secret)?,
    };
    disk.load_keys()?;
    let found = disk.load_rows()?;
    disk.drop_idle_keys(&found)?;
    Ok((disk, found))
}

impl Disk {
    fn keys(&self) -> Result<&ColumnFamily, StoreError> {
        self.db.cf_handle(KEYS).ok_or(StoreError::Locked)
    }

    /// Reads the data keys; those of another secret, or damaged, go.
    fn load_keys(&mut self) -> Result<(), StoreError> {
        let mut kept = Vec::new();
        for item in self.db.iterator_cf(self.keys()?, IteratorMode::Start) {
            kept.push(item?);
        }
        for (name, wrapped) in kept {
            let id = <[u8; 16]>::try_from(&*name).map(KeyId);
            let read = id.map(|id| self.vault.unwrap(id, &wrapped));
            if !matches!(read, Ok(Ok(()))) {
                self.db.delete_cf(self.keys()?, &name)?;
            }
        }
        Ok(())
    }

    fn load_rows(&self) -> Result<Found, StoreError> {
        let (mut found, mut outdated) = (Found::default(), 0usize);
        for item in self.db.iterator(IteratorMode::Start) {
            let (key, value) = item?;
            let Ok(serial) = <[u8; 8]>::try_from(&*key).map(u64::from_be_bytes) else {
                continue;
            };
            if value.first().is_some_and(|v| codec::OUTDATED.contains(v)) {
                outdated += 1;
                self.db.delete(&key)?;
                continue;
            }
            match codec::decode(serial, &value, &self.vault) {
                Ok(record) => found.records.push(record),
                Err(codec::Corrupt) => found.corrupt.push(serial),
            }
        }
        if outdated > 0 {
            tracing::info!(
                rows = outdated,
                "cache rows of an earlier format are dropped"
            );
            self.db.flush()?;
            compact(&self.db, None);
        }
        Ok(found)
    }

    /// Keys no row is sealed with would only add up over the years.
    fn drop_idle_keys(&mut self, found: &Found) -> Result<(), StoreError> {
        let used: HashSet<KeyId> = found
            .records
            .iter()
            .flat_map(|record| codec::key_ids(&record.entry, &self.vault))
            .collect();
        for id in self.vault.ids() {
            if !used.contains(&id) {
                self.vault.forget(id);
                self.db.delete_cf(self.keys()?, id.0)?;
            }
        }
        Ok(())
    }

    /// Writes an entry, and before it the data keys it is the first to need.
    pub(crate) fn put(&mut self, put: &Put) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for id in codec::key_ids(&put.entry, &self.vault) {
            if let Some(wrapped) = self.vault.ensure(id)? {
                batch.put_cf(self.keys()?, id.0, wrapped);
            }
        }
        let row = codec::encode(put, &self.vault).map_err(|_| StoreError::Locked)?;
        batch.put(put.entry.serial.to_be_bytes(), row);
        Ok(self.db.write_opt(batch, &unsynced())?)
    }

    /// Deletes rows.
    pub(crate) fn delete(&self, serials: &[u64]) -> Result<(), StoreError> {
        if serials.is_empty() {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        serials
            .iter()
            .for_each(|serial| batch.delete(serial.to_be_bytes()));
        Ok(self.db.write_opt(batch, &unsynced())?)
    }

    /// Destroys a tenant's data key, or all of them. See the module on what that promises.
    pub(crate) fn destroy(&mut self, doomed: &Doomed) -> Result<(), StoreError> {
        let ids = match doomed {
            Doomed::Tenant(tenant) => vec![self.key_of(tenant)],
            Doomed::All => self.vault.ids(),
        };
        let mut batch = WriteBatch::default();
        for id in ids {
            self.vault.forget(id);
            batch.delete_cf(self.keys()?, id.0);
        }
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        self.db.write_opt(batch, &synced)?;
        self.db.flush_cf(self.keys()?)?;
        self.db.flush()?;
        compact(&self.db, Some(self.keys()?));
        Ok(())
    }

    fn key_of(&self, tenant: &TenantId) -> KeyId {
        self.vault.id(Owner::Tenant(tenant))
    }

    /// Writes anything anywhere, as damage would.
    #[cfg(test)]
    pub(crate) fn damage(&self, key: &[u8], value: &[u8]) {
        self.db.put(key, value).unwrap();
    }

    /// Every row as it stands on disk.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rows = self.db.iterator(IteratorMode::Start).map(Result::unwrap);
        rows.map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect()
    }

    /// Hands the log to the operating system, or to the drive.
    pub(crate) fn flush_log(&self, sync: bool) -> Result<(), StoreError> {
        Ok(self.db.flush_wal(sync)?)
    }
}

/// Rewrites a column family, so that deleted values leave its files.
fn compact(db: &DB, family: Option<&ColumnFamily>) {
    let mut options = CompactOptions::default();
    options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    let all = (None::<&[u8]>, None::<&[u8]>);
    match family {
        Some(family) => db.compact_range_cf_opt(family, all.0, all.1, &options),
        None => db.compact_range_opt(all.0, all.1, &options),
    }
}

fn unsynced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(false);
    options
}

#[cfg(test)]
mod tests;
