//! Certificates and keys as files: a key is its owner's alone, and nothing is there in part.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Who may read a file.
#[derive(Clone, Copy)]
pub(super) enum Readers {
    /// Everybody: certificates.
    All,
    /// The owner: keys.
    Owner,
}

/// Writes beside it, then renames: a node that looks meanwhile sees the old file or the new one.
pub(super) fn write(path: &Path, text: &str, readers: Readers) -> io::Result<()> {
    let mode = match readers {
        Readers::All => 0o644,
        Readers::Owner => 0o600,
    };
    let beside = beside(path);
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // whatever the umask said
    fs::set_permissions(&beside, Permissions::from_mode(mode))?;
    fs::rename(&beside, path)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}
