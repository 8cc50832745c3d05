//! Who uses the nodes meanwhile: writers that compare and set, readers, and inference.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::seen::Seen;
use super::watch;
use crate::check::history::{Answer, Call, Recorder};
use crate::client::{Client, chat};
use crate::cluster::admin::{Fresh, Put, put, put_surely, read};
use crate::nemesis::{Board, frail};

const WRITERS: u64 = 4;
const READERS: u64 = 2;
/// Serial numbers a writer has for itself; a run of hours needs fewer.
const PER_WRITER: u64 = 10_000_000;
/// Clients of inference on each node.
const ASKERS: usize = 2;
/// A breath between two operations, so that two cores have some left for the nodes.
const BREATH: Duration = Duration::from_millis(25);
/// Between two looks at a node's breaker, which cost it more than a request.
const WATCH: Duration = Duration::from_millis(200);
/// The name under which clients ask for the frail model, with the whole one behind it.
const FRAIL_FIRST: &str = "frail-first";
/// Failed requests that are kept in full.
const MOST_TOLD: usize = 20;

/// The configuration that carries a serial number: [`serial`] reads it out again.
pub type Text = Arc<dyn Fn(u64) -> String + Send + Sync>;

/// Whom clients meet, and what they write.
#[derive(Clone)]
pub struct Stage {
    /// The nodes' doors, in order.
    pub nodes: Vec<Client>,
    /// Who is excused.
    pub board: Board,
    /// What writers write.
    pub text: Text,
    /// The models whose breakers are watched.
    pub watched: &'static [&'static str],
    /// Ask for answers too; else the caller has askers of its own.
    pub asks: bool,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stage(of {} nodes)", self.nodes.len())
    }
}

/// The clients.
#[derive(Debug)]
pub struct Clients {
    stop: Arc<AtomicBool>,
    recorder: Recorder,
    tasks: JoinSet<Seen>,
}

/// What one client has.
#[derive(Clone)]
struct Seat {
    /// From 1; serial numbers of different writers differ by it.
    number: u64,
    stage: Stage,
    recorder: Recorder,
    stop: Arc<AtomicBool>,
    started: Instant,
}

impl Clients {
    /// Starts them all. `recorder` has what was done before, and `started` is when its time began.
    pub fn start(stage: Stage, (recorder, started): (Recorder, Instant)) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (nodes, asks) = (stage.nodes.len(), stage.asks);
        let mut seat = Seat {
            number: 0,
            stage,
            recorder: recorder.clone(),
            stop: Arc::clone(&stop),
            started,
        };
        let mut tasks = JoinSet::new();
        for number in 1..=WRITERS + READERS {
            seat.number = number;
            let seat = seat.clone();
            match number <= WRITERS {
                true => tasks.spawn(seat.write()),
                false => tasks.spawn(seat.read()),
            };
        }
        for node in 1..=nodes {
            for _ in 0..if asks { ASKERS } else { 0 } {
                tasks.spawn(seat.clone().ask(node));
            }
            tasks.spawn(seat.clone().watch(node));
        }
        Clients {
            stop,
            recorder,
            tasks,
        }
    }

    /// Lets each finish what it is at, and gives what they saw, in the order of the calls.
    ///
    /// # Errors
    /// When one of them has panicked.
    pub async fn finish(mut self) -> anyhow::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        while let Some(seen) = self.tasks.join_next().await {
            let seen = seen?;
            all.good += seen.good;
            all.failures += seen.failures;
            all.excused += seen.excused;
            all.failed.extend(seen.failed);
            all.looks.extend(seen.looks);
        }
        all.failed.truncate(MOST_TOLD);
        all.history = self.recorder.history();
        Ok(all)
    }
}

/// A configuration that carries this serial number.
pub fn with_serial(base: &str, serial: u64) -> String {
    let frail = frail::MODEL;
    format!(
        "{base}routes:\n  - {{ name: s-{serial}, match: {{ model: s-{serial} }}, targets: [gpt] }}\n  \
         - {{ name: {FRAIL_FIRST}, match: {{ model: {FRAIL_FIRST} }}, targets: [{frail}], fallback: \
         [gpt] }}\n"
    )
}

/// The serial number in a configuration; 0 for one without.
pub fn serial(config: &Value) -> u64 {
    let name = config.pointer("/routes/0/name").and_then(Value::as_str);
    name.and_then(|name| name.strip_prefix("s-")?.parse().ok())
        .unwrap_or(0)
}

/// The serial number among the paths of routes, as `routes.s-17`; 0 where there is none.
pub fn serial_in(paths: &str) -> u64 {
    paths
        .split(['.', ' '])
        .find_map(|part| part.strip_prefix("s-")?.parse().ok())
        .unwrap_or(0)
}

/// Writes a serial number and records it.
async fn write(
    client: &Client,
    text: &str,
    (expected, serial): (Option<u64>, u64),
    record: (&Recorder, Instant),
) -> Answer {
    let proposed = put(client, text, expected);
    answer_of(&recorded(proposed, (expected, serial), record).await)
}

/// The first write of all, which everything else needs: sent until it is known to be agreed.
///
/// # Errors
/// When it is refused, or left open for too long.
pub async fn write_first(
    client: &Client,
    text: &str,
    serial: u64,
    record: (&Recorder, Instant),
) -> anyhow::Result<()> {
    let proposed = async {
        let told = put_surely(client, text).await;
        told.unwrap_or_else(|error| Put::Unknown(format!("{error:#}")))
    };
    let told = recorded(proposed, (None, serial), record).await;
    anyhow::ensure!(told.agreed().is_some(), "the first change: {told:?}");
    Ok(())
}

async fn recorded(
    proposed: impl Future<Output = Put>,
    (expected, serial): (Option<u64>, u64),
    (recorder, started): (&Recorder, Instant),
) -> Put {
    let call = Call::Set {
        expected,
        value: serial,
    };
    let writer = serial / PER_WRITER;
    let ticket = recorder.call(writer, call, started.elapsed());
    let told = proposed.await;
    recorder.answer(ticket, answer_of(&told), started.elapsed());
    told
}

const fn answer_of(told: &Put) -> Answer {
    match told {
        Put::Done(revision) => Answer::Set {
            revision: *revision,
        },
        Put::Stale(current) => Answer::Stale { current: *current },
        Put::Refused(_) => Answer::Refused,
        Put::Unknown(_) => Answer::Unknown,
    }
}

impl Seat {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn random(&self) -> StdRng {
        StdRng::seed_from_u64(self.number)
    }

    async fn write(self) -> Seen {
        let mut random = self.random();
        let (mut known, mut count) = (None, 0);
        while self.goes_on() {
            let node = random.random_range(1..=self.stage.nodes.len());
            let Some(expected) = known else {
                known = self.look(node, Fresh::Linearizable).await;
                sleep(BREATH).await;
                continue;
            };
            count += 1;
            let serial = self.number * PER_WRITER + count;
            let client = &self.stage.nodes[node - 1];
            let (what, text) = ((Some(expected), serial), (self.stage.text)(serial));
            let told = write(client, &text, what, (&self.recorder, self.started)).await;
            known = match told {
                Answer::Set { revision } => Some(revision),
                Answer::Stale { current } => Some(current),
                Answer::Refused => Some(expected),
                Answer::Read { .. } | Answer::Unknown => None,
            };
            sleep(BREATH).await;
        }
        Seen::default()
    }

    async fn read(self) -> Seen {
        let mut random = self.random();
        while self.goes_on() {
            let node = random.random_range(1..=self.stage.nodes.len());
            let fresh = match random.random_range(0..2) {
                0 => Fresh::Local,
                _ => Fresh::Linearizable,
            };
            self.look(node, fresh).await;
            sleep(BREATH).await;
        }
        Seen::default()
    }

    /// Reads, records it, and gives the revision.
    async fn look(&self, node: usize, fresh: Fresh) -> Option<u64> {
        let call = match fresh {
            Fresh::Local => Call::ReadLocal {
                run: format!("n{node}/{}", self.stage.board.boot(node)),
            },
            Fresh::Lease | Fresh::Linearizable => Call::Read,
        };
        let ticket = self
            .recorder
            .call(self.number, call, self.started.elapsed());
        let seen = read(&self.stage.nodes[node - 1], fresh).await.ok();
        let answer = match &seen {
            Some((revision, config)) => Answer::Read {
                revision: *revision,
                value: serial(config),
            },
            None => Answer::Unknown,
        };
        self.recorder.answer(ticket, answer, self.started.elapsed());
        seen.map(|(revision, _)| revision)
    }

    async fn watch(self, node: usize) -> Seen {
        let mut seen = Seen::default();
        let client = &self.stage.nodes[node - 1];
        while self.goes_on() {
            for model in self.stage.watched {
                let look = watch::look(client, &self.stage.board, node, model).await;
                seen.looks.extend(look);
            }
            sleep(WATCH).await;
        }
        seen
    }

    async fn ask(self, node: usize) -> Seen {
        let mut seen = Seen::default();
        let client = &self.stage.nodes[node - 1];
        let questions = ["gpt", FRAIL_FIRST].map(|model| chat(model, "are you there?"));
        for question in questions.iter().cycle() {
            if !self.goes_on() {
                break;
            }
            let mark = self.stage.board.mark(node);
            let asked = client.chat_with(&[("cache", "off")], question).await;
            let problem = match asked {
                Ok(reply) if reply.status == 200 => None,
                Ok(reply) => Some(format!("n{node}: {} {}", reply.status, reply.text())),
                Err(error) => Some(format!("n{node}: {error:#}")),
            };
            match problem {
                None => seen.good += 1,
                Some(problem) if self.stage.board.was_whole(mark) => {
                    seen.failures += 1;
                    if seen.failed.len() < MOST_TOLD {
                        seen.failed.push(problem);
                    }
                }
                Some(_) => seen.excused += 1,
            }
            sleep(BREATH).await;
        }
        seen
    }
}
