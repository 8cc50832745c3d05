//! How far a node has forgotten, over restarts: what was called off while it was away is destroyed
//! when it comes back, and what was before is not destroyed again.

use std::fs;
use std::path::PathBuf;

use crate::cache::StoreError;

/// The epoch up to which everything called off was forgotten; 0 where that was never written, or
/// cannot be read: forgetting twice costs hits alone.
pub(super) fn read(file: &PathBuf) -> u64 {
    let text = fs::read_to_string(file);
    text.ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// Writes it, beside and renamed.
pub(super) fn write(file: &PathBuf, epoch: u64) -> Result<(), StoreError> {
    let part = file.with_extension("part");
    fs::write(&part, epoch.to_string())
        .and_then(|()| fs::rename(&part, file))
        .map_err(StoreError::Forgotten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_a_damaged_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mark");
        assert_eq!(read(&file), 0);
        write(&file, 7).unwrap();
        assert_eq!(read(&file), 7);
        fs::write(&file, "seven").unwrap();
        assert_eq!(read(&file), 0);
    }
}
