//! What a lookup costs: an identical request's, and the embedder's forward pass for one by meaning.

use std::time::Duration;

use std::sync::Arc;

use hdrhistogram::Histogram;
use llm_router::Priority;
use llm_router::cache::embed::Embedder;
use llm_router::cache::{AnswerCache, Candidate, Lookup, Settings};
use llm_router::config::routing::CacheConfig;
use llm_router::dialect::openai::ChatBody;
use llm_router::types::{CacheMode, ChatRequest, Finish, Moment, RequestId, TenantId, Usage};
use llm_router_testnet::node;
use tokio::time::Instant;

use llm_router_testnet::table::Table;

const QUERIES: usize = 300;
const STORED: usize = 10_000;

/// Measures and prints one table.
///
/// # Errors
/// When the embedder does not load.
pub(crate) async fn run() -> anyhow::Result<()> {
    println!("\nlookups, one at a time");
    let mut table = Table::new(&["", "p50 us", "p99 us"]);
    table.row(row(
        "an identical request, of 10,000 stored",
        &identical().await?,
    ));
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

/// Every stored request once more.
async fn identical() -> anyhow::Result<Histogram<u64>> {
    let config = CacheConfig::default();
    let cache = AnswerCache::open(Settings {
        dir: None,
        embedder: None,
        config,
        secret: None,
    })?;
    for number in 0..STORED {
        if let Lookup::Miss(ticket) = cache.lookup(&asking(number)?, &config).await {
            cache.insert(ticket, answer());
        }
    }
    let mut took = Histogram::new(3)?;
    for number in 0..STORED {
        let request = asking(number)?;
        let started = Instant::now();
        let found = cache.lookup(&request, &config).await;
        took.record(micros(started.elapsed()))?;
        anyhow::ensure!(
            matches!(found, Lookup::Hit(_)),
            "a stored answer was not found"
        );
    }
    Ok(took)
}

fn asking(number: usize) -> anyhow::Result<ChatRequest> {
    let text = format!("What is the capital of country {number} in Europe?");
    let body = ChatBody::from_messages("auto", &[("user".to_owned(), text)])?;
    Ok(ChatRequest {
        id: RequestId::generate(),
        tenant: TenantId::default(),
        priority: Priority::Normal,
        model: "auto".into(),
        tags: Vec::new(),
        cache: CacheMode::On,
        min_similarity: None,
        deadline: Moment::now() + Duration::from_secs(5),
        features: body.features(),
        body: Arc::new(body),
        stream: false,
        include_usage: false,
    })
}

fn answer() -> Candidate {
    Candidate {
        text: "It is its largest city. ".repeat(20),
        finish: Some(Finish::Stop),
        usage: Usage::new(12, 100),
        model: "m".into(),
        shown_model: "auto".to_owned(),
        beyond_text: false,
        complete: true,
    }
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
