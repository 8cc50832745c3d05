//! The files, as the tests see them.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// One Rust file.
pub(crate) struct Source {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

impl Source {
    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// The same without comments and without the tests at the end of the file.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests_alone = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        self.lines()
            .take_while(move |(_, line)| !tests_alone && !line.starts_with("#[cfg(test)]"))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of the four crates.
pub(crate) fn rust_sources() -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for folder in ["src", "cluster", "proto", "testnet"] {
        collect(&root().join(folder), folder, &mut sources)?;
    }
    Ok(sources)
}

fn collect(folder: &Path, shown: &str, sources: &mut Vec<Source>) -> anyhow::Result<()> {
    for name in visible(folder)? {
        let (path, shown) = (folder.join(&name), format!("{shown}/{name}"));
        if path.is_dir() {
            collect(&path, &shown, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).with_context(|| shown.clone())?;
            sources.push(Source { path: shown, text });
        }
    }
    Ok(())
}

/// Names in a folder, sorted, without dotfiles and without what `.gitignore` names.
pub(crate) fn visible(folder: &Path) -> anyhow::Result<Vec<String>> {
    let ignored = std::fs::read_to_string(root().join(".gitignore"))?;
    let ignored: Vec<&str> = ignored.lines().map(|line| line.trim_matches('/')).collect();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !ignored.contains(&name.as_str()) && name != "__pycache__" {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
