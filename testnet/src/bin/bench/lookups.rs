//! What a lookup in the semantic tier costs: the embedder's forward pass.

use std::time::Duration;

use hdrhistogram::Histogram;
use llm_router::cache::embed::Embedder;
use llm_router::types::Moment;
use llm_router_testnet::node;
use tokio::time::Instant;

use llm_router_testnet::table::Table;

const QUERIES: usize = 300;

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

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn row(name: &str, took: &Histogram<u64>) -> Vec<String> {
    let at = |percentile| took.value_at_percentile(percentile).to_string();
    vec![name.to_owned(), at(50.0), at(99.0)]
}
