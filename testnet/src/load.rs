//! Steady load beside a story: every answer is kept, so that a story can say "none failed".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};

use crate::client::{Client, chat};

/// Clients that ask one question after the other until told to stop.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    workers: JoinSet<Tally>,
    answered: Arc<AtomicU64>,
}

/// What one load saw.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answers with status 200.
    pub good: u64,
    /// Everything else.
    pub failures: u64,
    /// The first of those, as `status: body` or as the error of the connection.
    pub bad: Vec<String>,
}

/// Failures of one client that are kept in full.
const MOST_TOLD: usize = 20;
/// A breath after a failure: a node that refuses connections is not asked as fast as it refuses.
const BREATH: Duration = Duration::from_millis(5);

impl Load {
    /// `clients` clients of one node asking `model`.
    pub fn start(node: &Client, model: &str, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let mut workers = JoinSet::new();
        for number in 0..clients {
            let (client, model) = (node.clone(), model.to_owned());
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
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Stops and counts.
    ///
    /// # Errors
    /// When a client has panicked.
    pub async fn finish(mut self) -> anyhow::Result<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = Tally::default();
        while let Some(tally) = self.workers.join_next().await {
            let tally = tally?;
            total.good += tally.good;
            total.failures += tally.failures;
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
) -> Tally {
    let mut tally = Tally::default();
    let mut question = 0u64;
    while !stop.load(Ordering::Relaxed) {
        question += 1;
        let prompt = format!("client {number}, question {question}");
        let asked = client
            .chat_with(&[("cache", "off")], &chat(&model, &prompt))
            .await;
        let problem = match asked {
            Ok(reply) if reply.status == 200 => {
                tally.good += 1;
                answered.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Ok(reply) => format!("{}: {}", reply.status, reply.text()),
            Err(error) => format!("{error:#}"),
        };
        tally.failures += 1;
        if tally.bad.len() < MOST_TOLD {
            tally.bad.push(problem);
        }
        sleep(BREATH).await;
    }
    tally
}
