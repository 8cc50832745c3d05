//! The README's map: one line per folder or file, its path first.

use std::collections::BTreeSet;

use anyhow::Context;

use crate::sources::{root, visible};

const HEADING: &str = "## Map";

/// Paths the README draws: the first word of every line in the code block below its heading.
pub(crate) fn drawn() -> anyhow::Result<BTreeSet<String>> {
    let readme = std::fs::read_to_string(root().join("README.md"))?;
    let (_, below) = readme
        .split_once(HEADING)
        .context("the README has no map")?;
    let block = below
        .split("```")
        .nth(1)
        .context("the map is not a code block")?;
    Ok(block
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect())
}

/// The same from the disk: the four crates, every room of `src`, every folder of `testnet`.
pub(crate) fn on_disk() -> anyhow::Result<BTreeSet<String>> {
    let mut paths: BTreeSet<String> = ["proto/", "cluster/", "src/", "testnet/"]
        .map(str::to_owned)
        .into();
    for room in rooms()? {
        let folder = root().join("src").join(&room).is_dir();
        paths.insert(if folder {
            format!("src/{room}/")
        } else {
            format!("src/{room}.rs")
        });
    }
    let testnet = root().join("testnet");
    for name in visible(&testnet)? {
        if testnet.join(&name).is_dir() {
            paths.insert(format!("testnet/{name}/"));
        }
    }
    Ok(paths)
}

/// Rooms of `src`: `foo.rs` and `foo/` are one.
pub(crate) fn rooms() -> anyhow::Result<BTreeSet<String>> {
    let names = visible(&root().join("src"))?;
    Ok(names
        .iter()
        .map(|name| name.trim_end_matches(".rs").to_owned())
        .collect())
}
