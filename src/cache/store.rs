//! The cache on disk: RocksDB in `dir/cache`, the node's secret in `dir/cache.key`.
//!
//! One thread writes. It is fed through a bounded channel, so nothing on the request path ever
//! waits for the disk: when the channel is full an entry stays in memory alone and is counted.
//! Writes go through the write-ahead log without a sync; closing syncs it.

mod codec;
mod secret;
mod writer;

use std::path::Path;
use std::sync::Arc;

use rocksdb::{DB, DBCompressionType, IteratorMode, Options};

pub(crate) use codec::Record;
pub(crate) use secret::load_or_create as secret;
pub(crate) use writer::{Sweep, Writer};

use super::entry::Entry;

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
    /// The writer thread cannot be started.
    #[error("cache writer cannot be started")]
    Thread(#[source] std::io::Error),
    /// The writer has stopped.
    #[error("cache writer has stopped")]
    Stopped,
}

/// Everything found on disk.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Readable entries with their vectors, oldest first.
    pub(crate) records: Vec<Record>,
    /// Keys of values that could not be read.
    pub(crate) corrupt: Vec<u64>,
}

/// Opens the database and reads all of it.
pub(crate) fn open(dir: &Path) -> Result<(DB, Found), StoreError> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(16 << 20);
    options.set_max_open_files(256);
    options.set_keep_log_file_num(2);
    options.set_max_total_wal_size(64 << 20);
    let db = DB::open(&options, dir)?;
    let mut found = Found::default();
    for item in db.iterator(IteratorMode::Start) {
        let (key, value) = item?;
        let Ok(serial) = <[u8; 8]>::try_from(&*key).map(u64::from_be_bytes) else {
            continue;
        };
        match codec::decode(serial, &value) {
            Ok(record) => found.records.push(record),
            Err(codec::Corrupt) => found.corrupt.push(serial),
        }
    }
    Ok((db, found))
}

/// One entry on its way to disk.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) entry: Arc<Entry>,
    pub(crate) space: Arc<str>,
    pub(crate) vector: Option<Arc<[f32]>>,
}
