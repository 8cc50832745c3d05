//! Texts from tab-separated files, and their vectors.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use llm_router::cache::embed::Embedder;
use llm_router::types::Moment;

/// Columns that hold texts.
const COLUMNS: [&str; 4] = ["text", "text_a", "text_b", "english"];
/// Texts on their way through the embedder at once.
const AT_ONCE: usize = 64;
/// Longest wait for one text.
const EMBED_WITHIN: Duration = Duration::from_secs(10);

/// Unit vectors, row after row.
#[derive(Clone, Debug)]
pub struct Vectors {
    /// All numbers.
    pub numbers: Vec<f32>,
    /// Numbers per row; at least 1.
    pub dimensions: usize,
}

impl Vectors {
    /// How many rows.
    pub fn count(&self) -> usize {
        self.numbers.len() / self.dimensions
    }

    /// One row.
    pub fn row(&self, at: usize) -> &[f32] {
        &self.numbers[at * self.dimensions..][..self.dimensions]
    }

    /// The rows at these places.
    #[must_use]
    pub fn only(&self, places: &[usize]) -> Self {
        Vectors {
            numbers: places
                .iter()
                .flat_map(|at| self.row(*at))
                .copied()
                .collect(),
            dimensions: self.dimensions,
        }
    }
}

/// Texts of the columns `text`, `text_a`, `text_b` and `english` of tab-separated files with a
/// header, each text once, in the order of the files.
///
/// # Errors
/// A file that cannot be read, a header without any of the columns, a row of another length.
pub fn read<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<Vec<String>> {
    let mut seen = HashSet::new();
    let mut texts = Vec::new();
    for file in files {
        let content =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut lines = content.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
        let columns: Vec<usize> = (0..header.len())
            .filter(|at| COLUMNS.contains(&header[*at]))
            .collect();
        ensure!(!columns.is_empty(), "{}: no text column", file.display());
        for (at, line) in lines.enumerate() {
            let row: Vec<&str> = line.split('\t').collect();
            let name = file.display();
            ensure!(row.len() == header.len(), "{name}: row {} is short", at + 2);
            for column in &columns {
                if seen.insert(row[*column].to_owned()) {
                    texts.push(row[*column].to_owned());
                }
            }
        }
    }
    Ok(texts)
}

/// The vector of every text the model takes, in order.
///
/// # Errors
/// An embedder that fails.
pub async fn embed(embedder: &Embedder, texts: &[String]) -> Result<Vectors> {
    let mut rows = futures::stream::iter(texts)
        .map(|text| async move {
            let deadline = Moment::now() + EMBED_WITHIN;
            embedder.embed_uncached(text, deadline).await
        })
        .buffered(AT_ONCE);
    let mut numbers = Vec::with_capacity(texts.len() * embedder.dimensions());
    while let Some(vector) = rows.next().await {
        if let Some(vector) = vector? {
            numbers.extend_from_slice(vector.as_slice());
        }
    }
    Ok(Vectors {
        numbers,
        dimensions: embedder.dimensions().max(1),
    })
}
