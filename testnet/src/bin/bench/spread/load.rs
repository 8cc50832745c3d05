//! Clients that ask as fast as they are answered, and what they saw second by second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::asker::Asker;

/// Clients of each node.
const CLIENTS: usize = 2;
/// A breath after a failure.
const BREATH: Duration = Duration::from_millis(5);
/// Failures that are shown.
const TOLD: usize = 5;

/// The clients.
#[derive(Debug)]
pub(super) struct Load {
    began: Instant,
    stop: Arc<AtomicBool>,
    clients: JoinSet<Seen>,
}

/// What they saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Requests and hits in each second.
    pub(super) seconds: Vec<(u64, u64)>,
    /// Requests that failed.
    pub(super) failed: u64,
    /// The first of them.
    pub(super) told: Vec<String>,
}

impl Load {
    /// Begins to ask these questions at random through these doors.
    pub(super) fn start(doors: &[String], questions: &Arc<Vec<String>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS * doors.len() {
            let asker = Asker::of(&doors[number % doors.len()]);
            let (questions, stop) = (Arc::clone(questions), Arc::clone(&stop));
            let random = StdRng::seed_from_u64(number as u64);
            clients.spawn(ask((asker, random), questions, stop, began));
        }
        Load {
            began,
            stop,
            clients,
        }
    }

    /// Seconds since the beginning.
    pub(super) fn second(&self) -> usize {
        second(self.began)
    }

    /// Stops.
    pub(super) async fn finish(mut self) -> anyhow::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        while let Some(seen) = self.clients.join_next().await {
            all.absorb(seen?);
        }
        Ok(all)
    }
}

impl Seen {
    fn absorb(&mut self, other: Seen) {
        let longer = self.seconds.len().max(other.seconds.len());
        self.seconds.resize(longer, (0, 0));
        for (all, one) in self.seconds.iter_mut().zip(other.seconds) {
            *all = (all.0 + one.0, all.1 + one.1);
        }
        self.failed += other.failed;
        self.told.extend(other.told);
        self.told.truncate(TOLD);
    }

    /// All requests.
    pub(super) fn requests(&self) -> u64 {
        self.seconds.iter().map(|(asked, _)| asked).sum()
    }
}

async fn ask(
    (mut asker, mut random): (Asker, StdRng),
    questions: Arc<Vec<String>>,
    stop: Arc<AtomicBool>,
    began: Instant,
) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let question = &questions[random.random_range(0..questions.len())];
        match asker.ask(question).await {
            Ok(told) => {
                let now = second(began);
                if seen.seconds.len() <= now {
                    seen.seconds.resize(now + 1, (0, 0));
                }
                let (asked, hits) = &mut seen.seconds[now];
                *asked += 1;
                *hits += u64::from(told.part.is_hit());
            }
            Err(error) => {
                seen.failed += 1;
                if seen.told.len() < TOLD {
                    seen.told.push(format!("{error:#}"));
                }
                sleep(BREATH).await;
            }
        }
    }
    seen
}

fn second(began: Instant) -> usize {
    usize::try_from(began.elapsed().as_secs()).unwrap_or(usize::MAX)
}
