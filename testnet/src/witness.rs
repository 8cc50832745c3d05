//! An upstream that remembers who asked and when, and fails for some and not for others.
//!
//! Nodes share one configuration, so what tells them apart here is the credential: the
//! configuration names an environment variable, and each node of a [`crate::Cluster`] finds its own
//! name in it.

mod answer;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The environment variable in which each node finds its own name.
pub const CALLER: &str = "LLM_ROUTER_TESTNET_CALLER";

/// Most visits remembered; later ones are counted only.
const MOST_VISITS: usize = 500_000;

/// How it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    #[default]
    Good,
    /// With this status.
    Status(u16),
    /// By closing the connection without a word.
    Sever,
}

/// One chat request that reached it.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The node it came from.
    pub caller: String,
    /// When it came.
    pub at: Instant,
    /// When its answer was ready; `None` while it waits, and for a client that left.
    pub answered: Option<Instant>,
    /// How it was answered.
    pub manner: Manner,
}

/// The upstream. Dropping it closes its port.
#[derive(Debug)]
pub struct Witness {
    address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Memory {
    everyone: Manner,
    callers: BTreeMap<String, Manner>,
    delay: Duration,
    visits: Vec<Visit>,
    in_flight: u64,
    most_in_flight: u64,
    total: u64,
}

impl Witness {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("upstream")?;
        let address = listener.local_addr()?;
        let memory = Arc::new(Mutex::new(Memory::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(answer::serve(listener, Arc::clone(&memory)));
        Ok(Witness {
            address,
            memory,
            _tasks: tasks,
        })
    }

    /// One line of a configuration's `models`; `keys` are further keys, as `max_concurrency: 4`.
    pub fn model(&self, name: &str, keys: &str) -> String {
        let address = self.address;
        format!(
            "  {name}: {{ provider: openai, model: scripted, base_url: \"http://{address}/v1\", \
             api_key: {{ env: {CALLER} }}, {keys} }}\n"
        )
    }

    /// How it answers every node from now on.
    pub fn behave(&self, manner: Manner) {
        let mut memory = self.memory.lock();
        memory.callers.clear();
        memory.everyone = manner;
    }

    /// How it answers one node from now on.
    pub fn behave_to(&self, caller: &str, manner: Manner) {
        self.memory.lock().callers.insert(caller.to_owned(), manner);
    }

    /// How long every answer takes from now on.
    pub fn take(&self, delay: Duration) {
        self.memory.lock().delay = delay;
    }

    /// Forgets the visits and the most that were in flight.
    pub fn forget(&self) {
        let mut memory = self.memory.lock();
        memory.visits.clear();
        memory.most_in_flight = memory.in_flight;
    }

    /// Visits since [`Witness::forget`], in order of arrival.
    pub fn visits(&self) -> Vec<Visit> {
        self.memory.lock().visits.clone()
    }

    /// How many, in all.
    pub fn total(&self) -> u64 {
        self.memory.lock().total
    }

    /// How many since [`Witness::forget`].
    pub fn count(&self) -> usize {
        self.memory.lock().visits.len()
    }

    /// How many are being answered.
    pub fn in_flight(&self) -> u64 {
        self.memory.lock().in_flight
    }

    /// Most that were being answered at once since [`Witness::forget`].
    pub fn most_in_flight(&self) -> u64 {
        self.memory.lock().most_in_flight
    }
}
