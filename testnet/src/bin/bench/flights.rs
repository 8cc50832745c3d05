//! What leading a flight costs a miss that nobody joins: its upstream is read by a task of its own,
//! and its pieces are kept while it runs.
//!
//! Compared with the same request beside a running identical one that it may not join: it is read
//! in its client's own task, and nothing is kept for others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use hdrhistogram::Histogram;
use llm_router::dialect::openai::ChatBody;
use llm_router::dialect::openai::build::Head;
use llm_router::inference::ReplyBody;
use llm_router::provider::{Answer, Call, Failure, Provider};
use llm_router::types::{CacheMode, ChatRequest, Finish, Moment, RequestId, TenantId};
use llm_router::{Cache, Priority, Router};
use llm_router_testnet::table::Table;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Requests of each kind and length, in turns.
const REQUESTS: usize = 400;
/// Pieces of an answer.
const LENGTHS: [usize; 2] = [1, 1000];
/// Answers with as many words as the request's `max_tokens`, each handed over by the runtime once.
#[derive(Clone, Default)]
struct Words {
    /// The next answer never ends.
    endless: Arc<AtomicBool>,
}

#[async_trait]
impl Provider for Words {
    fn kind(&self) -> &'static str {
        "words"
    }

    async fn generate(&self, call: Call) -> Result<Answer, Failure> {
        let head = Head::new("words");
        let words = call.body.max_tokens().unwrap_or(1);
        let mut chunks = vec![head.role()];
        chunks.extend((0..words).map(|_| head.text("word ")));
        chunks.push(head.finish(Finish::Stop));
        let chunks = stream::iter(chunks).then(|chunk| async move {
            tokio::task::yield_now().await;
            Ok(chunk)
        });
        if self.endless.swap(false, Ordering::Relaxed) {
            return Ok(Answer::Stream(
                chunks.take(2).chain(stream::pending()).boxed(),
            ));
        }
        Ok(Answer::Stream(chunks.boxed()))
    }

    async fn health(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Measures and prints one table.
///
/// # Errors
/// When a request fails.
pub(crate) async fn run() -> anyhow::Result<()> {
    println!("\na streamed miss, in process, from the request to the last piece");
    // in a task, as a door's connections are
    let mut measuring = JoinSet::new();
    measuring.spawn(measure());
    while let Some(table) = measuring.join_next().await {
        println!("{}", table??);
    }
    Ok(())
}

async fn measure() -> anyhow::Result<Table> {
    let words = Words::default();
    let router = Router::builder()
        .model("m", words.clone())
        .cache(Cache::default())
        .build()
        .await?;
    let mut table = Table::new(&["pieces", "alone p50", "leading p50"]);
    for length in LENGTHS {
        let (alone, leading) = compare(&router, &words, length).await?;
        let medians = [alone, leading].map(|took| took.value_at_quantile(0.5));
        let mut row = vec![length.to_string()];
        row.extend(medians.map(|nanos| format!("{:?}", Duration::from_nanos(nanos))));
        table.row(row);
    }
    router.stop().await;
    Ok(table)
}

/// Nanoseconds of either kind, taken in turns.
async fn compare(
    router: &Router,
    words: &Words,
    length: usize,
) -> anyhow::Result<(Histogram<u64>, Histogram<u64>)> {
    let (mut alone, mut leading) = (Histogram::new(3)?, Histogram::new(3)?);
    // a less urgent one runs, so that an urgent identical one goes alone
    words.endless.store(true, Ordering::Relaxed);
    let held = asking("the same", length, Priority::Low)?;
    let held = router.engine().chat(held).await?;
    for number in 0..REQUESTS {
        let prompt = format!("question {number}");
        leading.record(ask(router, asking(&prompt, length, Priority::High)?).await?)?;
        alone.record(ask(router, asking("the same", length, Priority::High)?).await?)?;
    }
    drop(held);
    Ok((alone, leading))
}

async fn ask(router: &Router, request: ChatRequest) -> anyhow::Result<u64> {
    let started = Instant::now();
    let reply = router.engine().chat(request).await?;
    let ReplyBody::Stream(mut chunks) = reply.body else {
        anyhow::bail!("not a stream");
    };
    while let Some(chunk) = chunks.next().await {
        chunk?;
    }
    Ok(u64::try_from(started.elapsed().as_nanos())?)
}

/// A request that reads nothing from the cache and is stored, as every miss is.
fn asking(prompt: &str, words: usize, priority: Priority) -> anyhow::Result<ChatRequest> {
    let body = json!({
        "model": "auto", "stream": true, "max_tokens": words,
        "messages": [{"role": "user", "content": prompt}],
    });
    let body = ChatBody::parse(body.to_string().as_bytes())?;
    Ok(ChatRequest {
        id: RequestId::generate(),
        tenant: TenantId::default(),
        priority,
        model: "auto".into(),
        tags: Vec::new(),
        cache: CacheMode::Refresh,
        min_similarity: None,
        deadline: Moment::now() + Duration::from_secs(60),
        features: body.features(),
        body: Arc::new(body),
        stream: true,
        include_usage: false,
    })
}
