//! What the machine itself gives: disk, weights, clock, open files.

use std::fs;
use std::path::Path;

use super::Check;
use crate::types::clock::unix_seconds;

/// Fewest open files a busy node gets by with: two per request, and RocksDB's tables.
const OPEN_FILES: u64 = 4096;
/// 2025-01-01: a clock before it was never set.
const NOT_BEFORE: u64 = 1_735_689_600;
/// 2100-01-01: a clock after it was set wrongly.
const NOT_AFTER: u64 = 4_102_444_800;

/// State can be written to `dir`, or to where it would be made.
pub(super) fn data_dir(dir: &Path) -> Check {
    let name = "data";
    let existing = dir
        .ancestors()
        .find(|at| at.is_dir())
        .unwrap_or_else(|| Path::new("."));
    let probe = existing.join(format!(".llm-router-doctor-{}", std::process::id()));
    let tried = fs::write(&probe, b"probe").and_then(|()| fs::remove_file(&probe));
    match tried {
        Ok(()) if existing == dir => Check::good(name, format!("{}: writable", dir.display())),
        Ok(()) => Check::good(name, format!("{}: will be made", dir.display())),
        Err(error) => {
            let found = format!("{}: {error}", existing.display());
            Check::bad(name, found, "choose another directory with --data DIR")
        }
    }
}

/// The embedding weights are there. Without them the cache has its exact tier alone.
pub(super) fn weights(dir: &Path) -> Check {
    let missing: Vec<&str> = ["model.safetensors", "tokenizer.json"]
        .into_iter()
        .filter(|file| !dir.join(file).is_file())
        .collect();
    if missing.is_empty() {
        return Check::good("weights", format!("{}: present", dir.display()));
    }
    let found = format!("{}: no {}", dir.display(), missing.join(", no "));
    Check::bad(
        "weights",
        found,
        "`llm-router model pull` fetches them; until then the cache is exact only",
    )
}

/// The wall clock was set.
pub(super) fn clock() -> Check {
    let now = unix_seconds();
    if (NOT_BEFORE..NOT_AFTER).contains(&now) {
        return Check::good("clock", "set");
    }
    Check::bad(
        "clock",
        format!("says {now} seconds since 1970"),
        "set the time, best with NTP",
    )
}

/// Enough files may be open at once.
pub(super) fn open_files() -> Check {
    let name = "open files";
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    match soft_limit(&limits) {
        None => Check::good(name, "limit not known on this system"),
        Some(limit) if limit >= OPEN_FILES => Check::good(name, format!("limit {limit}")),
        Some(limit) => {
            let found = format!("limit {limit}, a busy node wants {OPEN_FILES}");
            Check::bad(
                name,
                found,
                "ulimit -n 65536, or LimitNOFILE= in the service file",
            )
        }
    }
}

/// The soft limit in a `/proc/self/limits`; no limit counts as the largest.
pub(super) fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}
