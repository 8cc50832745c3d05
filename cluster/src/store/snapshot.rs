//! A snapshot as a file. A data format: its changes get their own commit prefix.
//!
//! ```text
//! magic 8 | length 4 | JSON: meta | rows … | 0 4 | number of rows 8 | sha256 of all before 32
//! row: length of key 4 | length of value 4 | key | value
//! ```

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use openraft::type_config::alias::SnapshotMetaOf;
use sha2::{Digest, Sha256};

use super::frame::bad;
use crate::raft::TypeConfig;

pub(super) type Meta = SnapshotMetaOf<TypeConfig>;

const MAGIC: &[u8; 8] = b"LLMRSNP1";
/// Largest snapshot written or taken: many times what the state's own bounds come to in practice,
/// and still read into memory at once.
const MAX_BYTES: u64 = 512 << 20;

/// A whole snapshot in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotFile {
    /// Where.
    pub(crate) path: PathBuf,
    /// How long.
    pub(crate) bytes: u64,
    /// Over the whole file.
    pub(crate) sha256: [u8; 32],
}

/// What is in one.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) meta: Meta,
    pub(super) rows: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
}

/// Writes one; durable on return, though its name in the directory is not.
pub(super) fn write(
    path: &Path,
    meta: &Meta,
    rows: impl Iterator<Item = io::Result<(Vec<u8>, Vec<u8>)>>,
) -> io::Result<SnapshotFile> {
    let mut sink = Sink {
        file: BufWriter::new(File::create(path)?),
        hasher: Sha256::new(),
        bytes: 0,
    };
    let head = serde_json::to_vec(meta)?;
    sink.put(MAGIC)?;
    sink.put(&length(&head)?)?;
    sink.put(&head)?;
    let mut count = 0_u64;
    for row in rows {
        let (key, value) = row?;
        if key.is_empty() {
            return Err(bad("a row of the state has no key"));
        }
        sink.put(&length(&key)?)?;
        sink.put(&length(&value)?)?;
        sink.put(&key)?;
        sink.put(&value)?;
        count += 1;
    }
    sink.put(&0_u32.to_le_bytes())?;
    sink.put(&count.to_le_bytes())?;
    let inner: [u8; 32] = sink.hasher.clone().finalize().into();
    sink.put(&inner)?;
    let file = sink.file.into_inner().map_err(io::Error::from)?;
    file.sync_all()?;
    Ok(SnapshotFile {
        path: path.to_path_buf(),
        bytes: sink.bytes,
        sha256: sink.hasher.finalize().into(),
    })
}

/// Reads one and checks everything about it that can be checked without its state machine.
pub(super) fn read(path: &Path) -> io::Result<Contents> {
    let length = fs::metadata(path)?.len();
    if length > MAX_BYTES {
        return Err(bad(format!("a snapshot of {length} bytes is too large")));
    }
    let bytes = fs::read(path)?;
    parse(&bytes).ok_or_else(|| bad(format!("snapshot {} is damaged", path.display())))
}

fn parse(bytes: &[u8]) -> Option<Contents> {
    let (body, inner) = bytes.split_last_chunk::<32>()?;
    let mut hasher = Sha256::new_with_prefix(body);
    if hasher.clone().finalize().as_slice() != inner {
        return None;
    }
    hasher.update(inner);

    let (magic, mut rest) = body.split_first_chunk::<8>()?;
    if magic != MAGIC {
        return None;
    }
    let head = take_length(&mut rest)?;
    let meta = serde_json::from_slice(take(&mut rest, head)?).ok()?;
    let mut rows = Vec::new();
    loop {
        let key = take_length(&mut rest)?;
        if key == 0 {
            break;
        }
        let value = take_length(&mut rest)?;
        let key = take(&mut rest, key)?.to_vec();
        rows.push((key, take(&mut rest, value)?.to_vec()));
    }
    let count = u64::from_le_bytes(*rest.first_chunk::<8>()?);
    (rest.len() == 8 && u64::try_from(rows.len()).ok()? == count).then(|| Contents {
        meta,
        rows,
        bytes: bytes.len() as u64,
        sha256: hasher.finalize().into(),
    })
}

struct Sink {
    file: BufWriter<File>,
    hasher: Sha256,
    bytes: u64,
}

impl Sink {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        if self.bytes > MAX_BYTES {
            return Err(bad("the state is too large for a snapshot"));
        }
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }
}

fn length(bytes: &[u8]) -> io::Result<[u8; 4]> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    Ok(length.to_le_bytes())
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let bytes = take(rest, 4)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}
