//! Where snapshots lie: the one in force, the one being built, those that are coming in.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::entry::EntryId;
use super::frame::bad;
use super::snapshot::{self, Contents, Meta, SnapshotFile};

/// Most incoming files at once: one leader sends one, and a leader before it may have left one.
/// The oldest gives way, so that one left behind never keeps a node from catching up.
const MAX_INCOMING: usize = 4;

/// A snapshot in force.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) meta: Meta,
    pub(super) file: SnapshotFile,
}

/// The directories, and what is in force.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
    incoming: PathBuf,
    /// The publish lock: a build that took long never takes the place of a newer snapshot.
    current: Mutex<Option<Published>>,
    next: AtomicU64,
}

impl Shelf {
    /// Opens it, and reads the newest snapshot. One that is there but damaged is refused, even
    /// where the state's own rows are whole: what else that disk holds cannot be trusted either,
    /// and the next node to be brought up would have been given it.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Option<Contents>)> {
        let shelf = Shelf {
            dir: dir.join("snapshots"),
            incoming: dir.join("receiving"),
            current: Mutex::new(None),
            next: AtomicU64::new(0),
        };
        fs::create_dir_all(&shelf.dir)?;
        fs::create_dir_all(&shelf.incoming)?;
        for path in files(&shelf.incoming)? {
            fs::remove_file(path)?;
        }
        let newest = shelf.newest()?;
        if let Some((path, contents)) = &newest {
            *shelf.current.lock() = Some(Published {
                meta: contents.meta.clone(),
                file: SnapshotFile {
                    path: path.clone(),
                    bytes: contents.bytes,
                    sha256: contents.sha256,
                },
            });
        }
        Ok((shelf, newest.map(|(_, contents)| contents)))
    }

    /// The one in force.
    pub(super) fn current(&self) -> Option<Published> {
        self.current.lock().clone()
    }

    /// A fresh file for a snapshot that comes in.
    pub(super) fn receiving(&self) -> io::Result<PathBuf> {
        let mut there = files(&self.incoming)?;
        there.sort();
        let surplus = (there.len() + 1).saturating_sub(MAX_INCOMING);
        for old in there.iter().take(surplus) {
            fs::remove_file(old)?;
        }
        let path = self.fresh(&self.incoming);
        let mut options = OpenOptions::new();
        options.create_new(true).write(true).open(&path)?;
        Ok(path)
    }

    /// A name for a file that is being built.
    pub(super) fn building(&self) -> PathBuf {
        self.fresh(&self.dir)
    }

    /// Puts a snapshot, whole and durable in a file of ours, in force. Where a newer one is in
    /// force already that one stays, and is returned.
    pub(super) fn publish(&self, meta: &Meta, file: &SnapshotFile) -> io::Result<Published> {
        let mut current = self.current.lock();
        if let Some(newer) = newer(current.as_ref(), meta) {
            let newer = newer.clone();
            fs::remove_file(&file.path)?;
            return Ok(newer);
        }
        let path = self.dir.join(name(meta.last_log_id));
        fs::rename(&file.path, &path)?;
        File::open(&self.dir)?.sync_all()?;
        let published = Published {
            meta: meta.clone(),
            file: SnapshotFile {
                path,
                ..file.clone()
            },
        };
        let before = current.replace(published.clone());
        // the one before it is needed no more, now that this one is durable
        if let Some(before) = before
            && before.file.path != published.file.path
        {
            fs::remove_file(before.file.path)?;
        }
        Ok(published)
    }

    /// Puts a snapshot that came in in force, unless it already is.
    pub(super) fn take(&self, meta: &Meta, file: &SnapshotFile) -> io::Result<()> {
        if let Some(current) = self.current() {
            if current.file.path == file.path {
                return Ok(());
            }
            if newer(Some(&current), meta).is_some() {
                return Err(bad("a newer snapshot than this is in force"));
            }
        }
        let ours = self.building();
        if file.path.starts_with(&self.incoming) {
            fs::rename(&file.path, &ours)?;
        } else {
            fs::copy(&file.path, &ours)?;
        }
        File::open(&ours)?.sync_all()?;
        let file = SnapshotFile {
            path: ours,
            ..file.clone()
        };
        self.publish(meta, &file).map(|_| ())
    }

    /// A snapshot that came in could not be used.
    pub(super) fn discard(&self, file: &SnapshotFile) {
        if file.path.starts_with(&self.incoming) {
            let _ = fs::remove_file(&file.path);
        }
    }

    fn fresh(&self, dir: &Path) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        dir.join(format!("{number:020}.part"))
    }

    /// The newest one on disk. What a crash left half-written, or one before it, goes.
    fn newest(&self) -> io::Result<Option<(PathBuf, Contents)>> {
        let mut found: Option<(PathBuf, Contents)> = None;
        for path in files(&self.dir)? {
            if path.extension().is_some_and(|kind| kind == "part") {
                fs::remove_file(path)?;
                continue;
            }
            let contents = snapshot::read(&path)?;
            if path.file_name() != Some(name(contents.meta.last_log_id).as_ref()) {
                let path = path.display();
                return Err(bad(format!("snapshot {path} is not what its name says")));
            }
            let replaced = match &found {
                Some((_, best)) if best.meta.last_log_id >= contents.meta.last_log_id => Some(path),
                Some(_) | None => found.replace((path, contents)).map(|(path, _)| path),
            };
            if let Some(older) = replaced {
                fs::remove_file(older)?;
            }
        }
        Ok(found)
    }
}

fn newer<'a>(current: Option<&'a Published>, meta: &Meta) -> Option<&'a Published> {
    current.filter(|current| current.meta.last_log_id > meta.last_log_id)
}

fn name(last: Option<EntryId>) -> String {
    let (index, term, node) = last.map_or((0, 0, 0), |last| {
        (last.index, last.leader_id.term, last.leader_id.node_id)
    });
    format!("{index:020}-{term}-{node}.snapshot")
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect()
}
