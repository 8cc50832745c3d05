//! The node's secret: 32 random bytes, made once, readable by the owner alone.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use super::StoreError;

/// Reads the secret at `path`, or makes one. A file of another length is an error and is left alone:
/// replacing it would orphan every entry.
pub(crate) fn load_or_create(path: &Path) -> Result<[u8; 32], StoreError> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)
            .and_then(|()| read(path))
            .map_err(StoreError::Secret),
        result => result.map_err(StoreError::Secret),
    }
}

fn read(path: &Path) -> io::Result<[u8; 32]> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(64).read_to_end(&mut bytes)?;
    <[u8; 32]>::try_from(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a secret of 32 bytes"))
}

/// Written beside and renamed, so that a crash never leaves half a secret.
fn create(path: &Path) -> io::Result<()> {
    let beside = path.with_extension("key.new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    file.write_all(&rand::random::<[u8; 32]>())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_secret_is_an_error_and_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache.key");
        fs::write(&path, b"short").unwrap();
        assert!(load_or_create(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }

    #[test]
    fn the_secret_is_made_once_and_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache.key");
        let first = load_or_create(&path).unwrap();
        assert_eq!(first, load_or_create(&path).unwrap());
        assert_ne!(first, [0; 32]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }
}
