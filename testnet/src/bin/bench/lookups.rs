//! What a lookup in the semantic tier costs: the embedder's forward pass, then the index.

use std::time::Duration;

use hdrhistogram::Histogram;
use llm_router::cache::embed::Embedder;
use llm_router::cache::index::FlatIndex;
use llm_router::types::Moment;
use llm_router_testnet::node;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use llm_router_testnet::table::Table;

const DIMENSIONS: usize = 384;
const QUERIES: usize = 300;
const SEED: u64 = 7;

/// Measures and prints one table.
///
/// # Errors
/// When the embedder does not load.
pub(crate) async fn run() -> anyhow::Result<()> {
    println!("\nsemantic lookups, one at a time");
    let mut table = Table::new(&["", "p50 us", "p99 us"]);
    match node::weights() {
        Some(folder) => {
            let embedder = Embedder::load(&folder, 1)?;
            let took = embedding(&embedder).await?;
            table.row(row("embed a text of at most 16 tokens, one worker", &took));
        }
        None => println!("no weights: the embedder is left out (llm-router model pull)"),
    }
    for entries in [1_000, 10_000, 100_000] {
        table.row(row(
            &format!("search {entries} entries"),
            &searches(entries)?,
        ));
    }
    println!("{table}");
    Ok(())
}

async fn embedding(embedder: &Embedder) -> anyhow::Result<Histogram<u64>> {
    let mut took = Histogram::new(3)?;
    for number in 0..QUERIES {
        // Ten word pieces and the two around them.
        let text = format!("What is the capital of country {number} in Europe?");
        let started = Instant::now();
        let deadline = Moment::now() + Duration::from_secs(5);
        let vector = embedder.embed_uncached(&text, deadline).await?;
        took.record(micros(started.elapsed()))?;
        anyhow::ensure!(vector.is_some(), "a short text has no vector");
    }
    Ok(took)
}

fn searches(entries: u64) -> anyhow::Result<Histogram<u64>> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut index = FlatIndex::new(DIMENSIONS);
    for label in 0..entries {
        anyhow::ensure!(
            index.insert(label, &direction(&mut random)),
            "a vector was refused"
        );
    }
    let mut took = Histogram::new(3)?;
    for _ in 0..QUERIES {
        let query = direction(&mut random);
        let started = Instant::now();
        let found = index.search(&query, 8);
        took.record(micros(started.elapsed()))?;
        anyhow::ensure!(found.len() == 8, "the index found {} of 8", found.len());
    }
    Ok(took)
}

fn direction(random: &mut StdRng) -> Vec<f32> {
    let mut vector: Vec<f32> = (0..DIMENSIONS)
        .map(|_| random.random_range(-1.0..1.0))
        .collect();
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|x| *x /= norm);
    vector
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn row(name: &str, took: &Histogram<u64>) -> Vec<String> {
    let at = |percentile| took.value_at_percentile(percentile).to_string();
    vec![name.to_owned(), at(50.0), at(99.0)]
}
