//! Who asks for answers meanwhile: both tenants, through every door, whole and streamed. What comes back
//! is held against what was asked, and against how the node stood all the while.

mod apart;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::crew::Crew;
use crate::doors::{At, Door, Ended, Heard, Outcome, Question};
use crate::nemesis::Board;
use crate::openloop::Report;

pub(super) use apart::Apart;

/// Askers on each node.
const ON_EACH: usize = 2;
/// Between two questions, so that two processors have some left for the nodes.
const BREATH: Duration = Duration::from_millis(40);
/// No answer takes longer, or it hangs: above the node's own patience with an upstream, and below that
/// of the HTTP client, which would call it broken.
const LIMIT: Duration = Duration::from_secs(50);
/// Of all questions so many are long, so that their streams last seconds.
const LONG: f64 = 0.2;
/// Words of a long question.
const WORDS: usize = 120;
/// Times kept of each door: those of an hour and more.
const MOST_TIMES: usize = 1_000_000;
/// Failures told in full.
const MOST_TOLD: usize = 20;

/// What became of requests while one thing was done to the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Answered as they should.
    pub(super) good: u64,
    /// Failed on a node that was whole all the while.
    pub(super) failed: u64,
    /// Ended otherwise on a node that was down, stood still, or was being harmed itself.
    pub(super) excused: u64,
    /// Refused in order while more was asked than can be answered.
    pub(super) refused: u64,
    /// Carried on by another model after theirs had died.
    pub(super) recovered: u64,
}

/// All that was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By what was being done when the request began.
    pub(super) counts: BTreeMap<&'static str, Count>,
    /// The first failures, in full.
    pub(super) told: Vec<String>,
    /// Requests without an end, whatever was being done.
    pub(super) hung: u64,
    /// How long good answers took, by door.
    pub(super) doors: BTreeMap<&'static str, Vec<Duration>>,
}

/// What is being done now, and how it goes; shared by all who ask.
#[derive(Clone, Debug)]
pub(super) struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    now: Mutex<&'static str>,
    crowded: AtomicBool,
    serial: AtomicU64,
    seen: Mutex<Seen>,
}

impl Log {
    pub(super) fn new() -> Self {
        Log(Arc::new(Shared {
            now: Mutex::new(QUIET),
            crowded: AtomicBool::new(false),
            serial: AtomicU64::new(0),
            seen: Mutex::default(),
        }))
    }

    /// From now on this is being done.
    pub(super) fn now(&self, what: &'static str) {
        *self.0.now.lock() = what;
    }

    /// From now on requests may be refused in order, or no longer.
    pub(super) fn crowd(&self, crowded: bool) {
        self.0.crowded.store(crowded, Ordering::SeqCst);
    }

    /// A number that no other question has.
    fn serial(&self) -> u64 {
        self.0.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// What was seen so far; nothing of it stays.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut *self.0.seen.lock())
    }

    /// What came of far too many requests.
    pub(super) fn add_crowd(&self, what: &'static str, report: &Report) {
        let mut seen = self.0.seen.lock();
        seen.hung += report.hung();
        let wrong = report.failures() - report.refusals();
        if wrong > 0 {
            let told = report.told().iter().take(MOST_TOLD);
            seen.told.extend(told.map(|told| format!("{what}: {told}")));
        }
        let count = seen.counts.entry(what).or_default();
        count.good += report.sent() - report.failures();
        count.refused += report.refusals();
        count.failed += wrong;
    }

    fn add(&self, what: &'static str, came: Came, (node, door): (usize, Door), took: Duration) {
        let mut seen = self.0.seen.lock();
        if let Came::Failed(told) | Came::Hung(told) = &came
            && seen.told.len() < MOST_TOLD
        {
            let told = format!("{what}: {}: n{node}: {told}", door.name());
            seen.told.push(told);
        }
        seen.hung += u64::from(matches!(came, Came::Hung(_)));
        let count = seen.counts.entry(what).or_default();
        match came {
            Came::Good { recovered } => {
                count.good += 1;
                count.recovered += u64::from(recovered);
                let times = seen.doors.entry(door.name()).or_default();
                if times.len() < MOST_TIMES {
                    times.push(took);
                }
            }
            Came::Failed(_) | Came::Hung(_) => count.failed += 1,
            Came::Excused => count.excused += 1,
            Came::Refused => count.refused += 1,
        }
    }
}

/// What is being done while nothing is.
pub(super) const QUIET: &str = "quiet";

/// What became of one request.
#[derive(Debug)]
enum Came {
    Good { recovered: bool },
    Failed(String),
    Hung(String),
    Excused,
    Refused,
}

/// Those who ask.
#[derive(Debug)]
pub(super) struct Askers {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    apart: Arc<Mutex<Apart>>,
}

/// What one of them has.
#[derive(Clone)]
struct Seat {
    crew: Arc<Crew>,
    board: Board,
    log: Log,
    stop: Arc<AtomicBool>,
}

impl Askers {
    pub(super) fn start(crew: &Crew, board: &Board, log: &Log, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seat = Seat {
            crew: Arc::new(crew.clone()),
            board: board.clone(),
            log: log.clone(),
            stop: Arc::clone(&stop),
        };
        let apart = Arc::new(Mutex::new(Apart::default()));
        let mut tasks = JoinSet::new();
        let mut next = seed;
        for node in crew.ids() {
            for _ in 0..ON_EACH {
                next = next.wrapping_add(1);
                tasks.spawn(seat.clone().ask(node, SmallRng::seed_from_u64(next)));
            }
        }
        tasks.spawn(apart::watch(
            seat,
            Arc::clone(&apart),
            SmallRng::seed_from_u64(!seed),
        ));
        Askers { stop, tasks, apart }
    }

    /// Lets each finish what it is at.
    ///
    /// # Errors
    /// One of them has panicked.
    pub(super) async fn finish(mut self) -> anyhow::Result<Apart> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        let apart = std::mem::take(&mut *self.apart.lock());
        Ok(apart)
    }
}

impl Seat {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    async fn ask(self, node: usize, mut random: SmallRng) {
        while self.goes_on() {
            sleep(BREATH).await;
            if !self.board.may_be_asked(node) {
                continue;
            }
            let door = Door::ALL[random.random_range(0..Door::ALL.len())];
            let tenant = random.random_range(0..2);
            let mut prompt = format!("question {} of chaos", self.log.serial());
            if random.random_bool(LONG) {
                prompt.push_str(&" and so on".repeat(WORDS / 3));
            }
            let question = Question {
                limit: LIMIT,
                ..Question::new("auto", prompt).streamed(random.random_bool(0.5))
            };
            self.once(node, door, &self.crew.tenants[tenant][node - 1], &question)
                .await;
        }
    }

    /// Asks, and counts what comes of it; gives what was heard where that was right.
    async fn once(&self, node: usize, door: Door, at: &At, question: &Question) -> Option<Heard> {
        let (mark, what) = (self.board.mark(node), *self.log.0.now.lock());
        let crowded = self.log.0.crowded.load(Ordering::SeqCst);
        let began = Instant::now();
        let heard = door.ask_at(at, question).await;
        let took = began.elapsed();
        let crowded = crowded || self.log.0.crowded.load(Ordering::SeqCst);
        let whole = self.board.was_whole(mark);
        // it left for the door that was just being shut: who balances loads asks another node
        let turned = heard.unsent && !self.board.may_be_asked(node);
        let came = judge(&heard, question, (whole && !turned, crowded));
        let right = matches!(came, Came::Good { .. });
        self.log.add(what, came, (node, door), took);
        right.then_some(heard)
    }
}

fn judge(heard: &Heard, question: &Question, (whole, crowded): (bool, bool)) -> Came {
    let outcome = heard.outcome();
    let right = heard.text == question.prompt && heard.ended == Some(Ended::Stop);
    match outcome {
        Outcome::Answered if right => Came::Good {
            recovered: heard.recovered_by.is_some(),
        },
        Outcome::Hung => Came::Hung(heard.told()),
        // whole by its own word, and wrong: no fault of a node excuses that
        Outcome::Answered => Came::Failed(format!("another answer: {}", heard.told())),
        Outcome::Refused if crowded => Came::Refused,
        Outcome::Refused | Outcome::Broken if !whole => Came::Excused,
        Outcome::Refused | Outcome::Broken => Came::Failed(heard.told()),
    }
}

#[cfg(test)]
mod tests;
