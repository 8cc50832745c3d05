//! A file on its way in: written beside its place, hashed as it comes, moved there when it is whole.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Part, WeightsError, hex};

/// An unfinished file. Dropped before [`Staged::commit`] it leaves nothing behind.
///
/// Its name is fixed, so a process that was killed leaves one file at most, which the next one
/// overwrites. Whoever stages holds the directory's lock.
pub(super) struct Staged {
    part: Part,
    place: PathBuf,
    partial: PathBuf,
    file: File,
    hasher: Sha256,
    written: u64,
}

impl Staged {
    pub(super) fn new(dir: &Path, part: Part) -> Result<Self, WeightsError> {
        let partial = dir.join(format!(".{}.partial", part.name));
        let file = File::create(&partial).map_err(WeightsError::io(&partial))?;
        let place = dir.join(part.name);
        Ok(Staged {
            part,
            place,
            partial,
            file,
            hasher: Sha256::new(),
            written: 0,
        })
    }

    /// Bytes so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), WeightsError> {
        self.written += bytes.len() as u64;
        if self.written > self.part.limit {
            return Err(WeightsError::TooLarge {
                path: self.place.clone(),
                limit: self.part.limit,
            });
        }
        self.hasher.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(WeightsError::io(&self.partial))
    }

    /// Checks the digest, waits for the disk, and moves the file to its place. Blocking.
    pub(super) fn commit(mut self) -> Result<(), WeightsError> {
        let found = hex(&self.hasher.finalize_reset());
        if let Some(expected) = self.part.sha256.filter(|expected| *expected != found) {
            return Err(WeightsError::Mismatch {
                path: self.place.clone(),
                expected,
                found,
            });
        }
        self.file
            .sync_all()
            .map_err(WeightsError::io(&self.partial))?;
        fs::rename(&self.partial, &self.place).map_err(WeightsError::io(&self.place))?;
        if let Some(dir) = self.place.parent() {
            File::open(dir)
                .and_then(|dir| dir.sync_all())
                .map_err(WeightsError::io(dir))?;
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a commit there is nothing under this name any more.
        let _ = fs::remove_file(&self.partial);
    }
}

/// Copies `part` from one directory to another through a staged file. Blocking.
pub(super) fn copy(from: &Path, dest: &Path, part: Part) -> Result<(), WeightsError> {
    let path = from.join(part.name);
    let mut file = File::open(&path).map_err(WeightsError::io(&path))?;
    let mut staged = Staged::new(dest, part)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(WeightsError::io(&path))? {
            0 => return staged.commit(),
            read => staged.write(&buffer[..read])?,
        }
    }
}
