//! Room on the disk: how much is left, and a reserve to give up.
//!
//! A full disk must not take a node's vote away. So proposals are refused while there is still some
//! room, and a ballast file lies ready to be deleted when a write finds none.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// How much room is kept, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserve {
    /// Size of the ballast file: enough for RocksDB to come back and to write many votes.
    pub(crate) ballast_bytes: u64,
    /// No ballast where less than this is free: it would take what it is to protect.
    pub(crate) ballast_needs_bytes: u64,
    /// Proposals are refused below this: four full write-ahead logs.
    pub(crate) floor_bytes: u64,
}

impl Default for Reserve {
    fn default() -> Self {
        Reserve {
            ballast_bytes: 64 << 20,
            ballast_needs_bytes: 1 << 30,
            floor_bytes: 256 << 20,
        }
    }
}

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Free for this process, in MiB.
    pub(crate) free_mib: u64,
    /// Too little to take proposals.
    pub(crate) full: bool,
}

impl Room {
    /// There is none.
    pub(super) const NONE: Room = Room {
        free_mib: 0,
        full: true,
    };
}

/// The disk the data lies on.
#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    reserve: Reserve,
}

impl Disk {
    /// Lays the ballast down where it is missing and there is room for it.
    pub(super) fn open(dir: &Path, reserve: Reserve) -> io::Result<Self> {
        let disk = Disk {
            dir: dir.to_path_buf(),
            reserve,
        };
        let path = disk.ballast();
        let there = fs::metadata(&path).is_ok_and(|found| found.len() == reserve.ballast_bytes);
        if !there && disk.free_bytes()? >= reserve.ballast_needs_bytes {
            lay(&path, reserve.ballast_bytes)?;
        }
        Ok(disk)
    }

    /// What is left.
    pub(super) fn room(&self) -> Room {
        // a disk that cannot even be asked is no place for a proposal
        let free = self.free_bytes().unwrap_or(0);
        Room {
            free_mib: free >> 20,
            full: free < self.reserve.floor_bytes,
        }
    }

    /// Looks at what went wrong; gives the ballast up when it was the lack of room.
    pub(super) fn relieve(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::StorageFull {
            self.give_up();
        }
        error
    }

    /// Gives the ballast up where something went wrong, nobody knows what, and room is short.
    pub(super) fn relieve_if_full(&self) {
        if self.room().full {
            self.give_up();
        }
    }

    fn give_up(&self) {
        match fs::remove_file(self.ballast()) {
            Ok(()) => tracing::error!("the disk is full; the reserve was given up"),
            Err(_) => tracing::error!("the disk is full, and there is no reserve left"),
        }
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.dir)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

/// Reserves the bytes for good: an empty file of that length would hold nothing back.
fn lay(path: &Path, bytes: u64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(true).write(true).open(path)?;
    reserve(&file, bytes)
}

#[cfg(target_os = "linux")]
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let flags = rustix::fs::FallocateFlags::empty();
    Ok(rustix::fs::fallocate(file, flags, 0, bytes)?)
}

#[cfg(not(target_os = "linux"))]
fn reserve(mut file: &File, bytes: u64) -> io::Result<()> {
    use std::io::{Read, Write};
    io::copy(&mut io::repeat(0).take(bytes), &mut file)?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{Disk, Reserve};

    const SMALL: Reserve = Reserve {
        ballast_bytes: 1 << 16,
        ballast_needs_bytes: 0,
        floor_bytes: 0,
    };

    #[test]
    fn the_ballast_is_given_up_when_the_disk_is_full_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), SMALL).unwrap();
        let ballast = dir.path().join("ballast");
        assert_eq!(ballast.metadata().unwrap().len(), 1 << 16);

        let _ = disk.relieve(io::Error::other("something else"));
        assert!(ballast.exists());
        let _ = disk.relieve(io::Error::new(io::ErrorKind::StorageFull, "full"));
        assert!(!ballast.exists());

        Disk::open(dir.path(), SMALL).unwrap();
        assert!(ballast.exists(), "laid down again once there is room");
    }

    #[test]
    fn no_ballast_is_laid_where_room_is_short() {
        let dir = tempfile::tempdir().unwrap();
        let short = Reserve {
            ballast_needs_bytes: u64::MAX,
            floor_bytes: u64::MAX,
            ..SMALL
        };
        let disk = Disk::open(dir.path(), short).unwrap();
        assert!(!dir.path().join("ballast").exists());
        assert!(disk.room().full);
    }
}
