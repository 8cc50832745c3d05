//! How every row is kept: a version, a checksum over key and value, then the value. RocksDB checks
//! its blocks; this also catches what was damaged on its way there, and a row under another's key.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version written. A row of another one is refused, never guessed at.
const VERSION: u8 = 1;
/// Version and checksum.
const HEAD: usize = 5;

/// A value as it is kept under a key.
pub(super) fn wrap(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(HEAD + value.len());
    row.push(VERSION);
    row.extend_from_slice(&checksum(key, value).to_le_bytes());
    row.extend_from_slice(value);
    row
}

/// Back again.
pub(super) fn unwrap<'a>(key: &[u8], row: &'a [u8]) -> io::Result<&'a [u8]> {
    let damaged = |problem: &str| bad(format!("row {} {problem}", key.escape_ascii()));
    let Some((head, value)) = row.split_at_checked(HEAD) else {
        return Err(damaged("is cut short"));
    };
    if head.first() != Some(&VERSION) {
        return Err(damaged("is of an unknown version"));
    }
    if head.get(1..) != Some(checksum(key, value).to_le_bytes().as_slice()) {
        return Err(damaged("does not match its checksum"));
    }
    Ok(value)
}

/// A value as JSON, kept under a key.
pub(super) fn wrap_json(key: &[u8], value: &impl Serialize) -> io::Result<Vec<u8>> {
    Ok(wrap(key, &serde_json::to_vec(value)?))
}

/// Back again.
pub(super) fn unwrap_json<T: DeserializeOwned>(key: &[u8], row: &[u8]) -> io::Result<T> {
    serde_json::from_slice(unwrap(key, row)?)
        .map_err(|problem| bad(format!("row {}: {problem}", key.escape_ascii())))
}

/// What is there cannot be right.
pub(super) fn bad(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::{unwrap, wrap};

    #[test]
    fn a_row_with_any_bit_flipped_is_refused() {
        let row = wrap(b"key", b"value");
        for at in 0..row.len() * 8 {
            let mut bad = row.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(unwrap(b"key", &bad).is_err(), "bit {at}");
        }
        for len in 0..row.len() {
            assert!(unwrap(b"key", &row[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_row_under_the_key_of_another_is_refused() {
        assert!(unwrap(b"other", &wrap(b"key", b"value")).is_err());
        assert_eq!(unwrap(b"key", &wrap(b"key", b"value")).unwrap(), b"value");
    }
}
