//! Makes the cells that all-MiniLM-L6-v2 begins with.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use llm_router::cache::embed::Embedder;
use llm_router_cluster::placement::{STARTING_CELLS, encode, kmeans};

use super::{texts, topics};

/// Texts of a file that are learnt from, spread over it.
const OF_A_FILE: usize = 1000;
/// Rounds of k-means.
const ROUNDS: usize = 30;

/// The content of the file that ships, from our own questions and some texts of each file.
///
/// # Errors
/// Files that cannot be read, an embedder that fails, fewer texts than cells.
pub async fn make(embedder: &Embedder, files: &[PathBuf], seed: u64) -> Result<(Vec<u8>, String)> {
    let mut learnt = topics::questions();
    for file in files {
        learnt.extend(some_of(file)?);
    }
    let vectors = texts::embed(embedder, &learnt).await?;
    let trained = kmeans::train(
        &vectors.numbers,
        vectors.dimensions,
        STARTING_CELLS,
        seed,
        ROUNDS,
    );
    let file = encode(&trained, vectors.dimensions).context("fewer texts than cells")?;
    let report = format!(
        "{} cells of {} from {} texts, {} bytes",
        trained.shares.len(),
        embedder.space(),
        learnt.len(),
        file.len()
    );
    Ok((file, report))
}

fn some_of(file: &Path) -> Result<Vec<String>> {
    let texts = texts::read([file])?;
    let step = texts.len().div_ceil(OF_A_FILE).max(1);
    Ok(texts.into_iter().step_by(step).collect())
}
