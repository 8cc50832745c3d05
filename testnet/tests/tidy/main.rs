//! Holds the shape of the sources: layers, sizes, names, and the README's map.
//!
//! Nothing is compiled or run here; the tests read files. A rule that turns out wrong is changed
//! here, in the open, with its reason.

mod layers;
mod map;
mod sources;

use anyhow::Context;

use sources::{Source, root, rust_sources};

/// Most lines of one file.
const MOST_LINES: usize = 500;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 9] = [
    "util", "utils", "common", "helper", "helpers", "misc", "manager", "shared", "mod",
];

/// Everything visible at the root; dotfiles and ignored names aside.
const VISIBLE_ROOT: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "cluster",
    "proto",
    "src",
    "testnet",
];

fn complain(problems: &[String]) {
    assert!(problems.is_empty(), "\n  {}\n", problems.join("\n  "));
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() -> anyhow::Result<()> {
    let problems: Vec<String> = rust_sources()?
        .iter()
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(source, lines)| format!("{}: {lines} lines, at most {MOST_LINES}", source.path))
        .collect();
    complain(&problems);
    Ok(())
}

#[test]
fn no_file_or_folder_has_an_empty_name() -> anyhow::Result<()> {
    let empty = |part: &str| EMPTY_NAMES.contains(&part.trim_end_matches(".rs"));
    let problems: Vec<String> = rust_sources()?
        .iter()
        .filter(|source| source.path.split('/').any(empty))
        .map(|source| format!("{}: name it by what is inside", source.path))
        .collect();
    complain(&problems);
    Ok(())
}

#[test]
fn nothing_unfinished_is_left_behind() -> anyhow::Result<()> {
    // Written in halves, so that this file passes its own test.
    let marks = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("#[ig", "nore"),
    ];
    let mut problems = Vec::new();
    for source in rust_sources()? {
        for (number, line) in source.lines() {
            for mark in marks.iter().filter(|mark| line.contains(**mark)) {
                problems.push(format!("{}:{number}: {mark}", source.path));
            }
        }
    }
    complain(&problems);
    Ok(())
}

#[test]
fn every_import_points_down_the_layers() -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for source in rust_sources()?
        .iter()
        .filter(|source| source.path.starts_with("src/"))
    {
        problems.extend(layers::upward_imports(source));
    }
    complain(&problems);
    Ok(())
}

#[test]
fn no_exception_outlives_its_reason() -> anyhow::Result<()> {
    let sources = rust_sources()?;
    let arrows: Vec<layers::Arrow> = sources
        .iter()
        .filter(|s| s.path.starts_with("src/"))
        .flat_map(layers::arrows)
        .collect();
    let problems: Vec<String> = layers::EXCEPTIONS
        .iter()
        .filter(|(from, to, _)| {
            !arrows
                .iter()
                .any(|arrow| arrow.from == *from && arrow.to == *to)
        })
        .map(|(from, to, _)| format!("{from} → {to} is not needed any more: remove it"))
        .collect();
    complain(&problems);
    Ok(())
}

#[test]
fn every_room_has_a_place_in_the_layers() -> anyhow::Result<()> {
    let rooms = map::rooms()?;
    let problems: Vec<String> = rooms
        .iter()
        .filter(|room| !layers::is_known(room))
        .map(|room| format!("src/{room}: give it a place in testnet/tests/tidy/layers.rs"))
        .collect();
    complain(&problems);
    Ok(())
}

#[test]
fn pure_files_know_no_clock_and_no_network() -> anyhow::Result<()> {
    const EFFECTS: [&str; 6] = [
        "tokio::",
        "reqwest::",
        "std::fs",
        "std::net",
        "Moment::now",
        "unix_millis",
    ];
    const PURE: [&str; 6] = [
        "src/routing",
        "src/ledger",
        "src/queue/buffer",
        "src/breaker/machine",
        "src/dialect",
        "src/api/status",
    ];
    let mut problems = Vec::new();
    for source in rust_sources()? {
        if !PURE.iter().any(|pure| source.path.starts_with(pure)) {
            continue;
        }
        for (number, line) in source.code_lines() {
            for effect in EFFECTS.iter().filter(|effect| line.contains(**effect)) {
                problems.push(format!("{}:{number}: {effect} in pure code", source.path));
            }
        }
    }
    complain(&problems);
    Ok(())
}

#[test]
fn generated_types_stay_in_the_room_by_the_door() -> anyhow::Result<()> {
    let outside = |source: &&Source| {
        let path = source.path.as_str();
        (path.starts_with("src/") || path.starts_with("cluster/"))
            && !path.starts_with("src/api/grpc")
            && !path.contains("/wire/")
            // the node-to-node door itself: it serves and calls the generated services
            && !path.starts_with("cluster/src/transport")
    };
    let mut problems = Vec::new();
    for source in rust_sources()?.iter().filter(outside) {
        for (number, line) in source.code_lines() {
            if line.contains("llm_router_proto") {
                problems.push(format!("{}:{number}: generated type", source.path));
            }
        }
    }
    complain(&problems);
    Ok(())
}

#[test]
fn the_root_shows_what_the_plan_says_and_nothing_else() -> anyhow::Result<()> {
    let found = sources::visible(&root())?;
    assert_eq!(found, VISIBLE_ROOT.map(str::to_owned));
    Ok(())
}

#[test]
fn the_readmes_map_is_the_disk() -> anyhow::Result<()> {
    assert_eq!(map::drawn()?, map::on_disk()?);
    Ok(())
}

#[test]
fn the_readme_stays_short_enough_to_be_read() -> anyhow::Result<()> {
    let lines = std::fs::read_to_string(root().join("README.md"))?
        .lines()
        .count();
    assert!(lines <= 200, "{lines} lines");
    Ok(())
}

/// What a reader copies is what rustdoc compiles.
#[test]
fn the_readmes_rust_is_an_example_of_the_library() -> anyhow::Result<()> {
    let readme = std::fs::read_to_string(root().join("README.md"))?;
    let (_, after) = readme
        .split_once("```rust\n")
        .context("no Rust in the README")?;
    let (example, _) = after.split_once("```").context("it does not end")?;
    let library = std::fs::read_to_string(root().join("src/library.rs"))?;
    let docs: Vec<&str> = library
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    assert!(docs.join("\n").contains(example), "{example}");
    Ok(())
}
