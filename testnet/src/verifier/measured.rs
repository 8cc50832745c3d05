//! Pairs of texts, read from a file and measured with the real embedder.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use llm_router::cache::decide::{Budget, Decision, Grounds, decide};
use llm_router::cache::embed::{Embedder, States};
use llm_router::cache::guard::Features;
use llm_router::cache::verifier::{self, Measures};
use llm_router::types::Moment;

use super::grammar::Pair;

/// Texts on their way through the embedder at once.
const AT_ONCE: usize = 8;
/// Longest wait for one text.
const EMBED_WITHIN: Duration = Duration::from_secs(10);
/// Pairs whose rows are held in memory together.
const BLOCK: usize = 2000;

/// The words alone settle nothing at these thresholds, so every pair within reach is open.
const BUDGET: Budget = Budget {
    similarity_threshold: 1.1,
    verified_threshold: 0.75,
    max_error_rate: 0.01,
};

/// A pair and what the verifier sees of it.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The pair.
    pub pair: Pair,
    /// The cosine of the two.
    pub similarity: f32,
    /// `None` when a text is too long to be judged.
    pub measures: Option<Measures>,
    /// The words leave it open, so the verifier would be asked.
    pub open: bool,
}

/// Reads tab-separated pairs with a header naming `text_a`, `text_b` and, if the pairs differ, `label`.
///
/// # Errors
/// A file that cannot be read, a header without the columns, a row that is short of them.
pub fn read(file: &Path) -> Result<Vec<Pair>> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let column = |name: &str| header.iter().position(|column| *column == name);
    let (a, b) = (column("text_a"), column("text_b"));
    let (a, b) = a.zip(b).context("the header names no text_a and text_b")?;
    let label = column("label");
    lines
        .enumerate()
        .map(|(at, line)| {
            let row: Vec<&str> = line.split('\t').collect();
            ensure!(
                row.len() == header.len(),
                "row {} has {} columns",
                at + 2,
                row.len()
            );
            Ok(Pair {
                a: row[a].to_owned(),
                b: row[b].to_owned(),
                same: label.is_none_or(|label| row[label] == "1"),
            })
        })
        .collect()
}

/// Measures every pair, in order.
///
/// # Errors
/// An embedder that fails.
pub async fn measure(embedder: &Embedder, pairs: Vec<Pair>) -> Result<Vec<Measured>> {
    let mut measured = Vec::with_capacity(pairs.len());
    for block in pairs.chunks(BLOCK) {
        let texts = block.iter().flat_map(|pair| [&pair.a, &pair.b]);
        let mut unique: Vec<&String> = texts.collect();
        unique.sort_unstable();
        unique.dedup();
        let states: HashMap<&String, Option<Arc<States>>> = futures::stream::iter(unique)
            .map(|text| async move {
                let deadline = Moment::now() + EMBED_WITHIN;
                anyhow::Ok((text, embedder.states("", text, deadline).await?))
            })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect::<Result<_>>()?;
        measured.extend(block.iter().map(|pair| one(pair, &states)));
    }
    Ok(measured)
}

fn one(pair: &Pair, states: &HashMap<&String, Option<Arc<States>>>) -> Measured {
    let of = |text: &String| states.get(text).and_then(Option::as_ref);
    let both = of(&pair.a).zip(of(&pair.b));
    let similarity = both.map_or(0.0, |(a, b)| a.vector.dot(&b.vector));
    let (x, y) = (Features::of(&pair.a), Features::of(&pair.b));
    let grounds = Grounds {
        similarity,
        a: &x,
        b: &y,
        verified: None,
    };
    Measured {
        pair: pair.clone(),
        similarity,
        open: decide(grounds, BUDGET) == Decision::Unsettled,
        measures: both.and_then(|(a, b)| verifier::measure(similarity, (&x, a), (&y, b))),
    }
}
