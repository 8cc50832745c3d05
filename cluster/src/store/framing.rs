//! A look at RocksDB's write-ahead logs and manifests before it opens them.
//!
//! RocksDB 11.8 reads one damaged byte of theirs for ever: a record whose type says that its file
//! was recycled, behind one whose type says that it was not, is neither skipped nor reported. We
//! never recycle files, so a record of such a type is damage, and is refused here. Everything else
//! is left to RocksDB, which also has the checksums.
//!
//! ```text
//! block   32768 bytes of records; what is left at its end is too short for a head
//! record  checksum 4 | length 2 | type 1 | data
//! ```

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::frame::bad;

const BLOCK: usize = 32 << 10;
const HEAD: usize = 7;

/// Refuses a directory with a log or manifest that RocksDB would not come back from.
pub(super) fn check(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if (name.ends_with(".log") || name.starts_with("MANIFEST-"))
            && !is_sound(File::open(entry.path())?)?
        {
            return Err(bad(format!("{name} is damaged")));
        }
    }
    Ok(())
}

fn is_sound(file: impl Read) -> io::Result<bool> {
    let mut file = file;
    let mut block = Vec::with_capacity(BLOCK);
    loop {
        block.clear();
        let read = file.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        if read == 0 {
            return Ok(true);
        }
        if types(&block).any(is_recycled) {
            return Ok(false);
        }
    }
}

/// The types of a block's records, as far as their lengths lead.
fn types(block: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = block;
    std::iter::from_fn(move || {
        let [_, _, _, _, low, high, kind] = *rest.first_chunk::<HEAD>()?;
        let length = usize::from(u16::from_le_bytes([low, high]));
        rest = rest.get(HEAD + length..).unwrap_or_default();
        Some(kind)
    })
}

/// The recyclable twins of: full, first, middle, last; timestamp size; predecessor.
fn is_recycled(kind: u8) -> bool {
    matches!(kind, 5..=8 | 11 | 131)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, is_sound};

    fn record(kind: u8, data: &[u8]) -> Vec<u8> {
        let mut record = vec![0; 4];
        record.extend_from_slice(&u16::try_from(data.len()).unwrap().to_le_bytes());
        record.push(kind);
        record.extend_from_slice(data);
        record
    }

    #[test]
    fn a_record_of_a_recycled_file_is_found_in_any_block() {
        for blocks in 0..3 {
            let mut file = record(1, &vec![9; BLOCK - 7]).repeat(blocks);
            file.extend(record(1, b"data"));
            assert!(is_sound(file.as_slice()).unwrap());
            file.extend(record(5, b"data"));
            assert!(
                !is_sound(file.as_slice()).unwrap(),
                "{blocks} blocks before it"
            );
        }
    }

    #[test]
    fn what_an_unclean_stop_leaves_is_sound() {
        let mut file = record(1, b"data");
        file.extend(record(1, b"cut short"));
        for length in 0..file.len() {
            assert!(is_sound(&file[..length]).unwrap());
        }
        file.resize(BLOCK * 2, 0);
        assert!(is_sound(file.as_slice()).unwrap());
    }
}
