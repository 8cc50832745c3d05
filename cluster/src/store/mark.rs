//! The watermark: what this node is known to have made durable, kept beside the database.
//!
//! RocksDB may lose the end of its write-ahead log and come up looking whole. A node that forgot
//! what it acknowledged must not vote, so on start the log is held against this file. It may lag
//! behind the log, never run ahead of it.
//!
//! ```text
//! magic 8 | length 4 | JSON | zeros … | crc32 4          4096 bytes
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use openraft::type_config::alias::VoteOf;
use serde::{Deserialize, Serialize};

use super::entry::Tail;
use super::frame::bad;
use crate::identity::{MemberId, NodeId};
use crate::raft::TypeConfig;

const MAGIC: &[u8; 8] = b"LLMRMRK1";
const SIZE: usize = 4096;
const NAME: &str = "watermark";

/// What was durable when it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The last entry, with the chain up to it.
    pub(super) tail: Tail,
    /// The last vote.
    pub(super) vote: Option<VoteOf<TypeConfig>>,
    /// The member this directory is of, and its name.
    pub(super) owner: Option<(MemberId, NodeId)>,
}

impl Mark {
    /// The one in a directory; `None` where there is none.
    pub(super) fn read(dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(dir.join(NAME)) {
            Ok(bytes) => decode(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the place of the one in a directory: durable on return, and never half of each.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let fresh = dir.join("watermark.part");
        let mut file = File::create(&fresh)?;
        file.write_all(&encode(self)?)?;
        file.sync_data()?;
        fs::rename(&fresh, dir.join(NAME))?;
        File::open(dir)?.sync_all()
    }
}

fn encode(mark: &Mark) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(mark)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(SIZE);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&json);
    if bytes.len() > SIZE - 4 {
        return Err(bad("the watermark does not fit into its file"));
    }
    bytes.resize(SIZE - 4, 0);
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> io::Result<Mark> {
    let damaged = || bad("the watermark is damaged");
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
    if bytes.len() != SIZE || crc32fast::hash(body).to_le_bytes() != *checksum {
        return Err(damaged());
    }
    let (magic, rest) = body.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| damaged())?;
    if magic != MAGIC {
        return Err(bad("the watermark is of an unknown version"));
    }
    let json = rest.get(..length).ok_or_else(damaged)?;
    Ok(serde_json::from_slice(json)?)
}

#[cfg(test)]
mod tests {
    use super::{Mark, NAME, SIZE};
    use crate::identity::{MemberId, NodeId};
    use crate::store::entry::{Tail, entry_id};

    #[test]
    fn a_watermark_with_any_byte_changed_or_missing_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Mark::read(dir.path()).unwrap(), None);
        let mark = Mark {
            tail: Tail::after_gap(entry_id(3, 1, 77)),
            vote: None,
            owner: Some((MemberId(9), NodeId::parse("n9").unwrap())),
        };
        mark.write(dir.path()).unwrap();
        assert_eq!(Mark::read(dir.path()).unwrap(), Some(mark));

        let path = dir.path().join(NAME);
        let good = std::fs::read(&path).unwrap();
        assert_eq!(good.len(), SIZE);
        for at in 0..SIZE {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            Mark::read(dir.path()).unwrap_err();
        }
        for length in [0, 1, 11, SIZE - 1] {
            std::fs::write(&path, &good[..length]).unwrap();
            Mark::read(dir.path()).unwrap_err();
        }
    }
}
