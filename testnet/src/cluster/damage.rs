//! Damage to the data of a node that does not run.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::Cluster;

/// Which of a node's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// RocksDB's write-ahead log: the newest one with anything in it.
    Log,
    /// A table of RocksDB.
    Table,
    /// RocksDB's list of its files.
    Manifest,
    /// The newest snapshot.
    Snapshot,
    /// The mark that tells how far the log reached.
    Watermark,
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// One bit in the middle is another.
    Flip,
    /// The second half is gone.
    Truncate,
    /// All of it is gone.
    Remove,
}

impl Cluster {
    /// Damages a node's data and says which file it was; `None` where the node has none such.
    ///
    /// # Errors
    /// When the node runs, or the file cannot be changed.
    pub fn damage(&self, id: usize, what: What, how: How) -> anyhow::Result<Option<PathBuf>> {
        if self.member(id)?.is_running() {
            bail!("n{id} runs");
        }
        let folder = self.data(id).join("cluster");
        let mut files = Vec::new();
        collect(&folder, &mut files)?;
        files.retain(|(path, length)| *length > 0 && is(what, path));
        files.sort();
        let Some((path, length)) = files.pop() else {
            return Ok(None);
        };
        harm(&path, length, how).with_context(|| path.display().to_string())?;
        Ok(Some(path))
    }

    /// A node loses everything it ever kept.
    ///
    /// # Errors
    /// When the node runs.
    pub fn wipe(&self, id: usize) -> anyhow::Result<()> {
        if self.member(id)?.is_running() {
            bail!("n{id} runs");
        }
        match fs::remove_dir_all(self.data(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn is(what: What, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let below = |part: &str| {
        path.components()
            .any(|c| c.as_os_str().to_string_lossy().contains(part))
    };
    match what {
        What::Log => name.ends_with(".log"),
        What::Table => name.ends_with(".sst"),
        What::Manifest => name.starts_with("MANIFEST-"),
        What::Snapshot => below("snapshot") && !name.ends_with(".log"),
        What::Watermark => name.contains("watermark"),
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, u64)>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => collect(&entry.path(), files)?,
            false => files.push((entry.path(), entry.metadata()?.len())),
        }
    }
    Ok(())
}

fn harm(path: &Path, length: u64, how: How) -> anyhow::Result<()> {
    match how {
        How::Remove => fs::remove_file(path)?,
        How::Truncate => File::options()
            .write(true)
            .open(path)?
            .set_len(length / 2)?,
        How::Flip => {
            let mut file = File::options().read(true).write(true).open(path)?;
            let mut byte = [0];
            file.seek(SeekFrom::Start(length / 2))?;
            file.read_exact(&mut byte)?;
            file.seek(SeekFrom::Start(length / 2))?;
            file.write_all(&[byte[0] ^ 0x10])?;
        }
    }
    Ok(())
}
