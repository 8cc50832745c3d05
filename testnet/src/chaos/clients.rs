//! Who uses the nodes meanwhile: writers that compare and set, readers, and inference.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::check::{Operation, Outcome, What};
use crate::client::{Client, chat};
use crate::cluster::Cluster;
use crate::cluster::admin::{Fresh, Put, put, read};
use crate::nemesis::Board;

const WRITERS: usize = 4;
const READERS: usize = 2;
/// Clients of inference on each node.
const ASKERS: usize = 2;
/// A breath between two operations, so that two cores have some left for the nodes.
const BREATH: Duration = Duration::from_millis(25);
/// Failed requests that are kept in full.
const MOST_TOLD: usize = 20;

/// What all clients did and saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every operation on the configuration.
    pub operations: Vec<Operation>,
    /// Inference requests that were answered as they should.
    pub good: u64,
    /// Those that failed on a node that was whole all the while; the first few in full.
    pub failed: Vec<String>,
    /// How many those were.
    pub failures: u64,
    /// Those that failed on a node that was down, or stood still, at some time meanwhile.
    pub excused: u64,
}

/// The clients.
#[derive(Debug)]
pub struct Clients {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Seen>,
}

/// What one client has.
#[derive(Clone)]
struct Seat {
    number: usize,
    nodes: Vec<Client>,
    board: Board,
    stop: Arc<AtomicBool>,
    started: Instant,
    base: String,
}

impl Clients {
    /// Starts them all.
    pub fn start(cluster: &Cluster, board: &Board, base: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut seat = Seat {
            number: 0,
            nodes: cluster.ids().map(|id| cluster.http(id).clone()).collect(),
            board: board.clone(),
            stop: Arc::clone(&stop),
            started: Instant::now(),
            base: base.to_owned(),
        };
        let mut tasks = JoinSet::new();
        for number in 0..WRITERS + READERS {
            seat.number = number;
            let seat = seat.clone();
            match number < WRITERS {
                true => tasks.spawn(seat.write()),
                false => tasks.spawn(seat.read()),
            };
        }
        for node in cluster.ids() {
            for _ in 0..ASKERS {
                tasks.spawn(seat.clone().ask(node));
            }
        }
        Clients { stop, tasks }
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
            all.operations.extend(seen.operations);
            all.good += seen.good;
            all.failures += seen.failures;
            all.excused += seen.excused;
            all.failed.extend(seen.failed);
        }
        all.failed.truncate(MOST_TOLD);
        all.operations.sort_by_key(|operation| operation.called);
        Ok(all)
    }
}

/// A configuration that carries `serial`.
pub fn with_serial(base: &str, serial: &str) -> String {
    format!(
        "{base}routes:\n  - {{ name: {serial}, match: {{ model: {serial} }}, targets: [gpt] }}\n"
    )
}

/// The serial in a configuration; empty for one without.
pub fn serial(config: &Value) -> String {
    let name = config.pointer("/routes/0/name").and_then(Value::as_str);
    name.unwrap_or("").to_owned()
}

impl Seat {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn random(&self) -> StdRng {
        StdRng::seed_from_u64(self.number as u64)
    }

    /// Does one operation and records it.
    async fn record(
        &self,
        node: usize,
        what: What,
        operation: impl Future<Output = Outcome>,
    ) -> Operation {
        let boot = self.board.boot(node);
        let called = self.started.elapsed();
        let outcome = operation.await;
        Operation {
            client: self.number,
            node,
            boot,
            called,
            ended: self.started.elapsed(),
            what,
            outcome,
        }
    }

    async fn write(self) -> Seen {
        let (mut seen, mut random) = (Seen::default(), self.random());
        let (mut known, mut count) = (None, 0_u64);
        while self.goes_on() {
            let node = random.random_range(1..=self.nodes.len());
            let Some(expected) = known else {
                let operation = self.look(node, Fresh::Linearizable).await;
                known = operation.proves().map(|(revision, _)| revision);
                seen.operations.push(operation);
                sleep(BREATH).await;
                continue;
            };
            count += 1;
            let serial = format!("w{}-{count}", self.number);
            let text = with_serial(&self.base, &serial);
            let client = &self.nodes[node - 1];
            let what = What::Write { expected, serial };
            let writing = async {
                match put(client, &text, Some(expected)).await {
                    Put::Done(revision) => Outcome::Written(revision),
                    Put::Conflict => Outcome::Stale,
                    Put::Refused(status) => Outcome::Refused(status),
                    Put::Unknown(_) => Outcome::Unknown,
                }
            };
            let operation = self.record(node, what, writing).await;
            known = match operation.outcome {
                Outcome::Written(revision) => Some(revision),
                Outcome::Refused(_) => Some(expected),
                Outcome::Seen(..) | Outcome::Stale | Outcome::Unknown => None,
            };
            seen.operations.push(operation);
            sleep(BREATH).await;
        }
        seen
    }

    async fn read(self) -> Seen {
        let (mut seen, mut random) = (Seen::default(), self.random());
        while self.goes_on() {
            let node = random.random_range(1..=self.nodes.len());
            let fresh = match random.random_range(0..2) {
                0 => Fresh::Local,
                _ => Fresh::Linearizable,
            };
            seen.operations.push(self.look(node, fresh).await);
            sleep(BREATH).await;
        }
        seen
    }

    async fn look(&self, node: usize, fresh: Fresh) -> Operation {
        let what = match fresh {
            Fresh::Local => What::ReadHere,
            Fresh::Lease | Fresh::Linearizable => What::ReadLatest,
        };
        let reading = async {
            match read(&self.nodes[node - 1], fresh).await {
                Ok((revision, config)) => Outcome::Seen(revision, serial(&config)),
                Err(_) => Outcome::Unknown,
            }
        };
        self.record(node, what, reading).await
    }

    async fn ask(self, node: usize) -> Seen {
        let mut seen = Seen::default();
        let client = &self.nodes[node - 1];
        let question = chat("gpt", "are you there?");
        while self.goes_on() {
            let mark = self.board.mark(node);
            let asked = client.chat_with(&[("cache", "off")], &question).await;
            let problem = match asked {
                Ok(reply) if reply.status == 200 => None,
                Ok(reply) => Some(format!("n{node}: {} {}", reply.status, reply.text())),
                Err(error) => Some(format!("n{node}: {error:#}")),
            };
            match problem {
                None => seen.good += 1,
                Some(problem) if self.board.was_whole(mark) => {
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
