//! Steady load beside a story: every answer is kept, so that a story can say "none failed".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use llm_router_testnet::client::chat;
use llm_router_testnet::{Client, Node};
use tokio::task::JoinSet;

/// Clients that ask one question after the other until told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    workers: JoinSet<anyhow::Result<Tally>>,
    answered: Arc<AtomicU64>,
}

/// What one load saw.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Answers with status 200.
    pub(crate) good: u64,
    /// Everything else, as `status: body`.
    pub(crate) bad: Vec<String>,
}

impl Load {
    /// `clients` clients asking `model`.
    pub(crate) fn start(node: &Node, model: &str, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let mut workers = JoinSet::new();
        for number in 0..clients {
            let (client, model) = (node.http().clone(), model.to_owned());
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            workers.spawn(async move { ask(client, model, number, stop, answered).await });
        }
        Load {
            stop,
            workers,
            answered,
        }
    }

    /// Good answers so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Stops and counts.
    pub(crate) async fn finish(mut self) -> anyhow::Result<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = Tally::default();
        while let Some(tally) = self.workers.join_next().await {
            let tally = tally??;
            total.good += tally.good;
            total.bad.extend(tally.bad);
        }
        Ok(total)
    }
}

async fn ask(
    client: Client,
    model: String,
    number: usize,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let mut question = 0u64;
    while !stop.load(Ordering::Relaxed) {
        question += 1;
        let prompt = format!("client {number}, question {question}");
        let reply = client
            .chat_with(&[("cache", "off")], &chat(&model, &prompt))
            .await?;
        if reply.status == 200 {
            tally.good += 1;
            answered.fetch_add(1, Ordering::Relaxed);
        } else {
            tally
                .bad
                .push(format!("{}: {}", reply.status, reply.text()));
        }
    }
    Ok(tally)
}
