//! Who asks what, what the answers must be, and what is known to be called off.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::cache::answer::{Attached, Candidate, Hit, Lookup, Purge, Ticket, Tier};
use crate::cache::key::Scope;
use crate::cache::peers::tests::net::Net;
use crate::cache::tests::{answer, config, raw_request, settings};
use crate::cache::{Break, Event, Settings};
use crate::config::duration::Span;
use crate::config::routing::{CacheConfig, CacheScope, SingleFlight};
use crate::dialect::openai::build::Head;
use crate::error::Kind;
use crate::types::{CacheMode, ChatRequest, Moment, TenantId};

pub(super) const NODES: u64 = 5;
/// Nodes that keep entries on disk, die and come back.
pub(super) const MORTAL: [u64; 2] = [4, 5];
const TENANTS: usize = 3;
const PARTITIONS: usize = 4;
const QUESTIONS: [[&str; 2]; 4] = [
    [
        "How do I reset my account password?",
        "How can I reset my account password?",
    ],
    [
        "How do I count the animals in this picture?",
        "How can I count the animals in this picture?",
    ],
    [
        "What is the capital of France?",
        "What was the capital of France?",
    ],
    [
        "How do I bake bread without yeast?",
        "How can I bake bread without yeast?",
    ],
];
/// Spaces at the end make another request of the same question.
const SPACES: usize = 4;
const WORDINGS: usize = 2 * SPACES;
pub(super) const CASES: usize = TENANTS * PARTITIONS * QUESTIONS.len() * WORDINGS;

/// One request of one tenant in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) tenant: usize,
    pub(super) partition: usize,
    pub(super) question: usize,
    pub(super) wording: usize,
}

impl Case {
    pub(super) fn of(number: usize) -> Self {
        let (rest, wording) = (number / WORDINGS, number % WORDINGS);
        let (rest, question) = (rest / QUESTIONS.len(), rest % QUESTIONS.len());
        Case {
            tenant: rest / PARTITIONS,
            partition: rest % PARTITIONS,
            question,
            wording,
        }
    }

    fn number(self) -> usize {
        let rest = self.tenant * PARTITIONS + self.partition;
        (rest * QUESTIONS.len() + self.question) * WORDINGS + self.wording
    }

    pub(super) fn tenant(self) -> TenantId {
        format!("tenant {}", self.tenant).into()
    }

    /// The deployment that answers it.
    pub(super) fn model(self) -> String {
        format!("model {}", self.partition % 2)
    }

    pub(super) fn tag(self) -> (String, String) {
        ("team".to_owned(), format!("{}", self.question))
    }

    pub(super) fn request(self) -> ChatRequest {
        let words = QUESTIONS[self.question][self.wording / SPACES];
        let text = format!("{words}{}", " ".repeat(self.wording % SPACES));
        let body = serde_json::json!({
            "model": "auto",
            "messages": [
                {"role": "system", "content": format!("you are number {}", self.partition)},
                {"role": "user", "content": text},
            ],
        });
        let mut request = raw_request(&body.to_string());
        request.tenant = self.tenant();
        request.tags = vec![self.tag()];
        request
    }
}

/// What an answer says of itself.
#[derive(Clone, Copy, Debug)]
struct Canary {
    case: Case,
    /// Purges that had begun when its upstream was asked.
    purges: u64,
}

impl Canary {
    fn write(self) -> String {
        let number = self.case.number();
        format!("canary {number} {} of {:?}", self.purges, self.case)
    }

    fn read(text: &str) -> Self {
        let mut words = text.split(' ').skip(1);
        let mut next = || words.next().and_then(|word| word.parse().ok());
        let (Some(case), Some(purges)) = (next(), next()) else {
            panic!("no canary: {text:?}")
        };
        Canary {
            case: Case::of(usize::try_from(case).unwrap()),
            purges,
        }
    }
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) lookups: AtomicU64,
    pub(super) exact: AtomicU64,
    pub(super) semantic: AtomicU64,
    pub(super) streams: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) purges: AtomicU64,
}

/// The net and what is known about it.
pub(super) struct World {
    pub(super) net: Arc<Net>,
    lookups: u64,
    pub(super) seen: Seen,
    /// Every kind of trouble has been made once.
    pub(super) troubled: AtomicBool,
    /// Purges begun.
    begun: AtomicU64,
    /// By case, the last acknowledged purge that means it.
    called_off: Vec<AtomicU64>,
    /// Nodes that ask.
    pub(super) there: Mutex<BTreeSet<u64>>,
    /// Nodes that have not been reached by a purge.
    pub(super) unreached: Mutex<BTreeSet<u64>>,
}

/// A node's settings; mortal ones have a disk.
pub(super) fn settings_of(node: u64, dirs: &Path) -> Settings {
    Settings {
        dir: MORTAL.contains(&node).then(|| dirs.join(node.to_string())),
        config: CacheConfig {
            max_entries: 300,
            ..config()
        },
        ..settings()
    }
}

impl World {
    pub(super) fn new(net: Arc<Net>, lookups: u64) -> Self {
        World {
            net,
            lookups,
            seen: Seen::default(),
            troubled: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            called_off: (0..CASES).map(|_| AtomicU64::new(0)).collect(),
            there: Mutex::new((1..=NODES).collect()),
            unreached: Mutex::default(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.seen.lookups.load(Ordering::Relaxed) >= self.lookups
            && self.troubled.load(Ordering::Relaxed)
    }

    /// Calls something off, and notes it once that is acknowledged.
    pub(super) async fn purge(&self, what: Purge, meant: impl Fn(Case) -> bool) {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let purged = self.net.cache(1).purge(what).await.unwrap();
        let unreached = purged.unreached.iter();
        let unreached = unreached.map(|name| name[1..].parse::<u64>().unwrap());
        self.unreached.lock().extend(unreached);
        for (at, epoch) in self.called_off.iter().enumerate() {
            if meant(Case::of(at)) {
                epoch.fetch_max(number, Ordering::SeqCst);
            }
        }
        self.seen.purges.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn entry_of(&self, case: Case) -> crate::cache::EntryId {
        let keys = &self.net.cache(1).inner.keys;
        keys.entry(&case.request(), Scope::Tenant)
    }

    fn known_off(&self) -> Vec<u64> {
        let epochs = self.called_off.iter();
        epochs.map(|epoch| epoch.load(Ordering::SeqCst)).collect()
    }
}

/// One who asks and asks.
pub(super) async fn client(world: Arc<World>, mut rng: StdRng) {
    while !world.is_over() {
        let node = {
            let there: Vec<u64> = world.there.lock().iter().copied().collect();
            there[rng.random_range(0..there.len())]
        };
        // many ask the same at the same time
        let now = world.seen.lookups.load(Ordering::Relaxed) / 64;
        let common = usize::try_from(now * 7).unwrap_or(0) % CASES;
        let case = match rng.random_ratio(1, 3) {
            true => Case::of(common),
            false => Case::of(rng.random_range(0..CASES)),
        };
        // both before the question is put: what is acknowledged later may still be served
        let known_off = world.known_off();
        let reached = !world.unreached.lock().contains(&node);
        let asked = Asked {
            world: &world,
            node,
            case,
            known_off,
            reached,
        };
        asked.ask(&mut rng).await;
        world.seen.lookups.fetch_add(1, Ordering::Relaxed);
    }
}

/// One question on its way.
struct Asked<'a> {
    world: &'a World,
    node: u64,
    case: Case,
    known_off: Vec<u64>,
    reached: bool,
}

impl Asked<'_> {
    async fn ask(self, rng: &mut StdRng) {
        let mut request = self.case.request();
        request.stream = rng.random_ratio(1, 3);
        request.cache = match rng.random_range(0..60) {
            0 => CacheMode::Refresh,
            1..3 => CacheMode::Exact,
            _ => CacheMode::On,
        };
        let cache = self.world.net.cache(self.node);
        let patient = Duration::from_secs(30);
        request.deadline = Moment::now() + patient;
        let config = route(rng);
        let lookup = cache.lookup(&request, &config);
        let found = tokio::time::timeout(2 * patient, lookup).await;
        match found.expect("a look-up ends") {
            Lookup::Hit(hit) => self.served(&hit),
            Lookup::Attached(attached) => self.read(attached).await,
            Lookup::Miss(ticket) => self.answer(ticket, rng).await,
            Lookup::Bypass(reason) => panic!("bypassed: {reason}"),
        }
    }

    fn served(&self, hit: &Hit) {
        self.check(&hit.answer.text);
        let seen = &self.world.seen;
        let count = match hit.tier {
            Tier::Exact => &seen.exact,
            Tier::Semantic => &seen.semantic,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if hit.tier == Tier::Exact {
            // one that waited may have been given the answer to other words of the same question
            let canary = Canary::read(&hit.answer.text);
            assert!(
                hit.shared || canary.case == self.case,
                "{canary:?} for {:?}",
                self.case
            );
        }
    }

    fn check(&self, text: &str) {
        let canary = Canary::read(text);
        let (own, its) = (self.case, canary.case);
        assert_eq!(
            (its.tenant, its.partition),
            (own.tenant, own.partition),
            "an answer crossed a wall on node {}: {canary:?} for {own:?}",
            self.node
        );
        let off = self.known_off[its.number()];
        assert!(
            !self.reached || canary.purges >= off,
            "an answer came back on node {}: {canary:?}, called off by purge {off}",
            self.node
        );
    }

    async fn read(&self, mut attached: Attached) {
        let mut text = String::new();
        loop {
            let until = Moment::now() + Duration::from_secs(30);
            let event = attached.follower.next_until(until).await;
            match event.expect("a stream ends") {
                Event::Begun(_) | Event::Recovered(_) => {}
                Event::Piece(piece) => text.push_str(&piece.tap.text),
                Event::Landed(answer) => {
                    self.check(&answer.text);
                    break;
                }
                Event::Ended | Event::Broken(_) | Event::Abandoned => break,
            }
        }
        // a piece that is cut says whose it is as well, once it is long enough
        if text.split(' ').count() > 3 {
            self.check(&text);
            self.world.seen.streams.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn answer(&self, mut ticket: Ticket, rng: &mut StdRng) {
        self.world.seen.misses.fetch_add(1, Ordering::Relaxed);
        let canary = Canary {
            case: self.case,
            purges: self.world.begun.load(Ordering::SeqCst),
        };
        let text = canary.write();
        let cache = self.world.net.cache(self.node);
        let whole = Candidate {
            model: self.case.model().as_str().into(),
            ..answer(&text)
        };
        let Some(lead) = ticket.take_lead() else {
            cache.insert(ticket, whole);
            return;
        };
        if rng.random_ratio(1, 20) {
            return;
        }
        if rng.random_ratio(1, 2) {
            lead.begin(&whole.model);
            let head = Head::new("shown");
            let (first, second) = text.split_at(text.len() / 2);
            for piece in [first, second] {
                lead.piece(head.text(piece)).await;
                if rng.random_ratio(1, 4) {
                    tokio::time::sleep(Duration::from_millis(rng.random_range(0..8))).await;
                }
            }
        }
        match rng.random_range(0..20) {
            0 => lead.end(),
            1 => lead.broke(Break {
                kind: Kind::UpstreamFailed,
                message: "it broke".to_owned(),
            }),
            2 => drop(lead),
            _ => _ = cache.insert(ticket.leading(lead), whole),
        }
    }
}

/// Some route's settings. Owners that do not answer are not waited for long.
fn route(rng: &mut StdRng) -> CacheConfig {
    let scope = match rng.random() {
        true => CacheScope::Shared,
        false => CacheScope::Tenant,
    };
    let single_flight = match rng.random() {
        true => SingleFlight::Meaning,
        false => SingleFlight::Exact,
    };
    CacheConfig {
        scope,
        single_flight,
        attach_budget: Span::from_millis(100),
        probes: rng.random_range(1..=3),
        ..config()
    }
}
