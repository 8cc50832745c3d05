//! What this machine lets a run do, found out before it begins.

use std::path::{Path, PathBuf};

use super::wires;
use crate::compose::disk;

/// What is missing for a kind of fault; `None` where nothing is.
#[derive(Clone, Debug, Default)]
pub(super) struct Means {
    /// Rules inside of a container's network.
    pub(super) wires: Option<String>,
    /// File systems of a node's own.
    pub(super) disks: Option<String>,
    /// Clocks of a node's own.
    pub(super) clocks: Option<String>,
    /// The library that sets clocks.
    pub(super) faketime: Option<PathBuf>,
}

impl Means {
    pub(super) async fn find() -> Self {
        let faketime = faketime();
        let clocks = match &faketime {
            Some(_) => None,
            None => {
                Some("libfaketime is not installed: sudo apt-get install libfaketime".to_owned())
            }
        };
        Means {
            wires: wires::lacks().await,
            disks: disks().await,
            clocks,
            faketime,
        }
    }

    /// What cannot be done, in words.
    pub(super) fn lacks(&self) -> Vec<&str> {
        [&self.wires, &self.disks, &self.clocks]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect()
    }
}

async fn disks() -> Option<String> {
    if !wires::is_root() {
        return Some("not root: no file system can be mounted".to_owned());
    }
    disk::lacks().await
}

/// The library for programs with several threads, where Debian, Fedora or Arch put it.
fn faketime() -> Option<PathBuf> {
    const NAME: &str = "libfaketimeMT.so.1";
    let machine = std::env::consts::ARCH;
    let folders = [
        format!("/usr/lib/{machine}-linux-gnu/faketime"),
        "/usr/lib64/faketime".to_owned(),
        "/usr/lib/faketime".to_owned(),
    ];
    let files = folders.iter().map(|folder| Path::new(folder).join(NAME));
    files.into_iter().find(|file| file.is_file())
}
