//! One cache over several nodes: what is found through any of them, where it lies, what asking
//! another node costs, and what becomes of it when nodes come and go and answers are called off.

mod asker;
mod board;
mod echo;
mod fleet;
mod latency;
mod load;
mod moves;
mod recall;
mod stale;
mod stream;
mod texts;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use llm_router_testnet::node;

use board::Board;
use texts::Texts;

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    /// Questions in classes, tab-separated: `class_id`, `class_size`, `text`.
    pub(crate) texts: Option<PathBuf>,
    /// Numbers of nodes.
    pub(crate) nodes: Vec<usize>,
    /// Most classes.
    pub(crate) classes: usize,
    /// Only these; everything when empty.
    pub(crate) only: Vec<Chapter>,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Chapter {
    /// Hit rate, recall, nodes asked and entries of each node.
    Stream,
    /// What an answer on another node adds to a hit.
    Latency,
    /// A node killed at full load.
    Kill,
    /// A node joining at full load.
    Join,
    /// Look-ups after purges.
    Stale,
}

/// Measures and prints one table each.
///
/// # Errors
/// When nodes fail, or a number of nodes is none that can be measured.
pub(crate) async fn run(extent: &Extent) -> anyhow::Result<()> {
    let several = extent.nodes.iter().all(|nodes| (2..=16).contains(nodes));
    anyhow::ensure!(several, "from 2 to 16 nodes can be measured");
    if node::weights().is_none() {
        println!("\nno weights: the cache over several nodes is left out (llm-router model pull)");
        return Ok(());
    }
    let wanted = |chapter| extent.only.is_empty() || extent.only.contains(&chapter);
    let nodes = &extent.nodes;
    if wanted(Chapter::Stale) {
        print("after a purge", &stale::run(nodes).await?);
    }
    let all = [
        Chapter::Stream,
        Chapter::Latency,
        Chapter::Kill,
        Chapter::Join,
    ];
    if !all.into_iter().any(wanted) {
        return Ok(());
    }
    let Some(file) = &extent.texts else {
        println!("\nwithout --texts, only purges of the cache over several nodes are measured");
        return Ok(());
    };
    let texts = Texts::read(file, extent.classes).context("--texts")?;
    if wanted(Chapter::Stream) {
        let board = stream::run(nodes, &texts).await?;
        print("one member of each class stored, the others asked", &board);
    }
    if wanted(Chapter::Latency) {
        print("hits, one at a time", &latency::run(nodes, &texts).await?);
    }
    if wanted(Chapter::Kill) {
        let board = moves::kill(nodes, &texts).await?;
        print("a node killed (-9) at full load", &board);
    }
    if wanted(Chapter::Join) {
        let board = moves::join(nodes, &texts).await?;
        print("a node joining at full load", &board);
    }
    Ok(())
}

fn print(name: &str, board: &Board) {
    println!("\n{name}\n{}", board.table());
}
