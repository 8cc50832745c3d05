//! The semantic cache: admission → exact tier → hard partition → candidates → guards → decision.
//!
//! A wrong answer is worse than a miss: whatever is in doubt is a miss.
//!
//! ```no_run
//! # async fn example(request: llm_router::types::ChatRequest) -> Result<(), llm_router::cache::Error> {
//! use llm_router::cache::{AnswerCache, Lookup, Settings};
//! use llm_router::config::routing::CacheConfig;
//!
//! let config = CacheConfig::default();
//! let cache = AnswerCache::open(Settings { dir: None, embedder: None, config, secret: None })?;
//! match cache.lookup(&request, &config).await {
//!     Lookup::Hit(hit) => drop(hit.answer.completion()),
//!     Lookup::Attached(running) => drop(running), // the engine relays it
//!     Lookup::Miss(ticket) => drop(ticket), // ask upstream, then cache.insert(ticket, candidate)
//!     Lookup::Bypass(_reason) => {}         // ask upstream, store nothing
//! }
//! # Ok(())
//! # }
//! ```
//!
//! In a cluster the cache is one over all nodes (`peers.rs`); on its own it is complete as well.

pub mod agree;
pub mod answer;
mod canonical;
mod compact;
pub mod compare;
pub mod decide;
pub mod embed;
pub mod embedding;
mod entry;
mod epochs;
mod error;
pub mod evaluate;
pub mod explain;
mod flight;
mod forget;
pub mod guard;
pub mod index;
mod insert;
pub mod key;
pub mod learn;
mod lookup;
mod peers;
pub mod policy;
mod semantic;
mod shelf;
mod stats;
mod store;
pub mod verifier;
mod verify;
mod weigh;
mod wire;
mod witness;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use llm_router_cluster::Handle;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::config::routing::CacheConfig;
use crate::types::report::CacheStats;
use crate::types::{ChatRequest, Moment, RouteName};

pub use answer::{
    Attached, Candidate, Hit, Insertion, Lookup, Pair, Purge, Purged, StoredAnswer, Ticket, Tier,
};
pub use compare::Comparison;
pub use embedding::{EmbeddingError, TextEmbedder};
pub use error::Error;
pub use explain::{Explained, Weighed};
pub use index::PartitionIndex;
pub use key::{EntryId, PartitionId};
pub use learn::{TierState, Verdict};
pub use store::StoreError;

use decide::Budget;
use epochs::Epochs;
pub(crate) use flight::{Break, Event, Follower, Lead, Wants};

use flight::Flights;
use key::Keys;
use learn::Learner;
use peers::Peers;
use peers::link::Link;
use peers::train;
use shelf::{Limits, Shelf};
use stats::Counters;
use store::Writer;
use wire::ClusterLink;
use witness::Statements;

/// Inserts that may wait for a vector or the index; beyond it entries stay exact-only. Below the
/// size of tokio's blocking pool, so that a stalled disk cannot take all of it.
const MAX_BACKGROUND: usize = 256;
/// Longest wait at close for answers that have no vector yet.
const SETTLED_WITHIN: Duration = Duration::from_secs(2);
/// Longest wait for background work at close.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for the embedder to show what its vectors are like.
const DIMENSIONS_WITHIN: Duration = Duration::from_secs(10);
/// So often it is asked.
const DIMENSIONS_TRIES: usize = 3;
/// Most expired entries taken out in one go.
const SWEEP_BATCH: usize = 1024;

/// What a cache is opened with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where entries and the node's secret are kept; `None` keeps them in memory only.
    pub dir: Option<PathBuf>,
    /// Makes vectors; `None` leaves the exact tier alone.
    pub embedder: Option<Arc<dyn TextEmbedder>>,
    /// Limits; may change later.
    pub config: CacheConfig,
    /// The secret that ids are made with, the same on every node of a cluster; the cache's own when
    /// it stands alone.
    pub secret: Option<[u8; 32]>,
}

/// The cache's handle. Cheap to clone; all clones are the same cache.
#[derive(Clone)]
pub struct AnswerCache {
    inner: Arc<Inner>,
}

struct Inner {
    config: ArcSwap<CacheConfig>,
    keys: Keys,
    shelf: Arc<Mutex<Shelf>>,
    epochs: Arc<Epochs>,
    flights: Arc<Flights>,
    statements: Mutex<Statements>,
    embedder: Option<Arc<dyn TextEmbedder>>,
    writer: Option<Writer>,
    counters: Arc<Counters>,
    learner: Arc<Learner>,
    tasks: TaskTracker,
    background: Arc<Semaphore>,
    peers: OnceLock<Arc<Peers>>,
    /// Where it is noted how far was forgotten what the cluster called off.
    forgotten: Option<PathBuf>,
}

impl fmt::Debug for AnswerCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerCache")
            .field("semantic", &self.inner.embedder.is_some())
            .field("persistent", &self.inner.writer.is_some())
            .finish_non_exhaustive()
    }
}

impl Default for AnswerCache {
    fn default() -> Self {
        AnswerCache::disabled()
    }
}

impl AnswerCache {
    /// Opens the cache and loads what is on disk. Blocks; called at start.
    ///
    /// # Errors
    /// [`Error::Store`] when the secret or the database cannot be used. Damaged entries are
    /// skipped and counted.
    pub fn open(settings: Settings) -> Result<AnswerCache, Error> {
        let Settings {
            dir,
            embedder,
            config,
            secret: agreed,
        } = settings;
        let Some(dir) = dir else {
            let secret = agreed.unwrap_or_else(rand::random);
            return Ok(AnswerCache::assemble(Keys::new(secret), embedder, config));
        };
        std::fs::create_dir_all(&dir).map_err(StoreError::Secret)?;
        let secret = store::secret(&dir.join("cache.key"))?;
        let (disk, found) = store::open(&dir.join("cache"), &secret)?;
        let keys = Keys::new(agreed.unwrap_or(secret));
        let mut cache = AnswerCache::assemble(keys, embedder, config);
        let dead = cache.inner.load(found, agreed.is_some());
        let inner = Arc::get_mut(&mut cache.inner).ok_or(Error::Stopped)?;
        inner.learner = Arc::new(Learner::open(dir.join("cache.learnt")));
        inner.forgotten = Some(dir.join("cache.forgotten"));
        let writer = Writer::start(disk, Arc::clone(&inner.counters), inner.sweeper())?;
        writer.delete(dead)?;
        inner.writer = Some(writer);
        Ok(cache)
    }

    /// A cache that bypasses every request until [`AnswerCache::reconfigure`] is called. Keeps
    /// nothing on disk and has no embedder.
    pub fn disabled() -> AnswerCache {
        let config = CacheConfig {
            enabled: false,
            ..CacheConfig::default()
        };
        AnswerCache::assemble(Keys::new(rand::random()), None, config)
    }

    fn assemble(keys: Keys, embedder: Option<Arc<dyn TextEmbedder>>, config: CacheConfig) -> Self {
        let epochs = Arc::<Epochs>::default();
        let mut shelf = Shelf::new(Arc::clone(&epochs));
        shelf.configure(Limits::from(&config));
        shelf.upkeep().set_kind(config.index);
        AnswerCache {
            inner: Arc::new(Inner {
                config: ArcSwap::from_pointee(config),
                keys,
                shelf: Arc::new(Mutex::new(shelf)),
                epochs,
                flights: Arc::default(),
                statements: Mutex::default(),
                embedder,
                writer: None,
                counters: Arc::default(),
                learner: Arc::default(),
                tasks: TaskTracker::new(),
                background: Arc::new(Semaphore::new(MAX_BACKGROUND)),
                peers: OnceLock::new(),
                forgotten: None,
            }),
        }
    }

    /// Becomes one cache with those of the other nodes. Other nodes reach it through the cluster's
    /// door from then on. To be called once, within the runtime that does the cache's work.
    pub(crate) async fn join(&self, cluster: &Handle, secret: [u8; 32]) {
        let link = Arc::new(ClusterLink::new(cluster.clone()));
        self.join_by(link, &secret).await;
        if !cluster.host(wire::guest(Arc::clone(&self.inner))) {
            tracing::error!("another cache is behind the node-to-node door already");
        }
    }

    async fn join_by(&self, link: Arc<dyn Link>, secret: &[u8; 32]) {
        let inner = &self.inner;
        inner.epochs.adopt(link.epochs());
        let dimensions = inner.dimensions().await;
        let peers = Peers::new(link, secret, (inner.space(), dimensions));
        if inner.peers.set(Arc::new(peers)).is_ok() {
            Peers::start(inner).await;
        }
    }

    /// Draws the cells of the embedding space anew from what the nodes hold, without waiting until
    /// they have become uneven. `false` when there is nothing to go by, or others were agreed on
    /// meanwhile, or this cache stands alone.
    pub async fn draw_cells(&self) -> bool {
        match self.inner.peers() {
            Some(peers) => train::look(&self.inner, peers, train::When::Ordered).await,
            None => false,
        }
    }

    /// What other nodes may weigh in the placement of entries, by name; 1 where nothing is said.
    pub(crate) fn weigh_nodes(&self, weights: BTreeMap<String, u32>) {
        if let Some(peers) = self.inner.peers() {
            peers.weigh(weights);
        }
    }

    /// Changes the limits live; a smaller `max_entries` or quota takes effect at once.
    pub fn reconfigure(&self, config: CacheConfig) {
        self.inner.config.store(Arc::new(config));
        let removed = {
            let mut shelf = self.inner.shelf.lock();
            shelf.upkeep().set_kind(config.index);
            shelf.configure(Limits::from(&config))
        };
        Counters::add_many(&self.inner.counters.evictions, removed.len());
        if removed.is_empty() {
            return;
        }
        let inner = Arc::clone(&self.inner);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                _ = self
                    .inner
                    .tasks
                    .spawn_blocking_on(move || inner.take_out(removed), &runtime)
            }
            Err(_) => inner.take_out(removed),
        }
    }

    /// Looks for an answer that may be reused. `config` is the one of the request's route.
    ///
    /// Attaches to an identical request in flight: one that asks for a stream as soon as that answer
    /// has begun, any other waits for it to end, both at most until the request's own deadline.
    pub async fn lookup(&self, request: &ChatRequest, config: &CacheConfig) -> Lookup {
        self.lookup_for(request, config, None).await
    }

    /// As [`AnswerCache::lookup`], for a request of this route: what was learnt on it counts.
    pub async fn lookup_for(
        &self,
        request: &ChatRequest,
        config: &CacheConfig,
        route: Option<&RouteName>,
    ) -> Lookup {
        lookup::lookup(&self.inner, request, (config, learn::name_of(route))).await
    }

    /// Offers the answer to a missed request. Returns at once: the exact tier has the answer now,
    /// whoever waits for it is served, and vector and disk follow in the background.
    pub fn insert(&self, ticket: Ticket, answer: Candidate) -> Insertion {
        insert::insert(&self.inner, ticket, answer)
    }

    /// What makes the cache's vectors, whether or not the cache is on.
    pub fn embedder(&self) -> Option<&Arc<dyn TextEmbedder>> {
        self.inner.embedder.as_ref()
    }

    /// The counters.
    pub fn stats(&self) -> CacheStats {
        let inner = &self.inner;
        let config = inner.config.load();
        let (entries, partitions) = {
            let shelf = inner.shelf.lock();
            (shelf.len(), shelf.partitions())
        };
        let counters = &inner.counters;
        CacheStats {
            enabled: config.enabled,
            semantic: inner.embedder.is_some(),
            entries: entries as u64,
            max_entries: config.max_entries,
            partitions: partitions as u64,
            lookups: Counters::get(&counters.lookups),
            exact_hits: Counters::get(&counters.exact_hits),
            semantic_hits: Counters::get(&counters.semantic_hits),
            guard_refusals: Counters::get(&counters.guard_refusals),
            inserts: Counters::get(&counters.inserts),
            evictions: Counters::get(&counters.evictions),
            single_flight_shared: Counters::get(&counters.shared),
            promoted: Counters::get(&counters.promoted),
            not_persisted: Counters::get(&counters.not_persisted),
            corrupt: Counters::get(&counters.corrupt),
            learning: self.learning(),
            peers: inner.peers().map(|peers| peers.shown()),
        }
    }

    /// Forgets entries, in memory and on disk, and keeps answers to requests already in flight
    /// from bringing them back. In a cluster that is agreed on, and when this returns no node that
    /// could be reached serves them any more.
    ///
    /// [`Purge::Tenant`] and [`Purge::All`] also destroy the data keys the entries were sealed with:
    /// when this returns, rows copied back from a backup of the value files do not open any more.
    ///
    /// # Errors
    /// [`Error::Store`] when the disk did not take it; memory has forgotten all the same.
    /// [`Error::Cluster`] when the nodes have not agreed; what timed out may yet be agreed on.
    pub async fn purge(&self, what: Purge) -> Result<Purged, Error> {
        if self.inner.peers().is_some() {
            return peers::called_off::call_off(&self.inner, &what).await;
        }
        let inner = Arc::clone(&self.inner);
        let purged = self
            .inner
            .tasks
            .spawn_blocking(move || inner.purge(what))
            .await;
        let removed = purged.map_err(|_| Error::Stopped)??;
        Ok(Purged {
            removed,
            unreached: Vec::new(),
        })
    }

    /// Says whether `a` and `b` would share an answer and why; without `b`, which stored questions
    /// of the default tenant come nearest to `a`.
    ///
    /// # Errors
    /// [`Error::NoEmbedder`] and [`Error::Embedding`] when there is no vector to compare.
    pub async fn compare(&self, a: &str, b: Option<&str>) -> Result<Comparison, Error> {
        compare::compare(&self.inner, a, b).await
    }

    /// Finishes what is under way, at most five seconds, and closes the disk. Later inserts stay in
    /// memory.
    pub async fn close(&self) {
        let inner = &self.inner;
        inner.learner.close();
        if let Some(peers) = inner.peers() {
            peers.stop();
            // answers on their way to their owners are handed over before nothing is any more
            let all = u32::try_from(MAX_BACKGROUND).unwrap_or(u32::MAX);
            let settled = inner.background.acquire_many(all);
            _ = tokio::time::timeout(SETTLED_WITHIN, settled).await;
            peers.outboxes.close();
        }
        inner.tasks.close();
        if tokio::time::timeout(CLOSE_WITHIN, inner.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("cache closed before its background work was done");
        }
        let closing = Arc::clone(inner);
        let stopped = tokio::task::spawn_blocking(move || {
            if let Err(error) = closing.learner.write_now() {
                tracing::warn!(%error, "what the cache has learnt was not written");
            }
            let upkeep = closing.shelf.lock().upkeep();
            upkeep.stop();
            closing.writer.as_ref().map(Writer::stop)
        });
        match tokio::time::timeout(CLOSE_WITHIN, stopped).await {
            Ok(Ok(Some(Err(StoreError::Stopped)) | Some(Ok(())) | None)) => {}
            Ok(Ok(Some(Err(error)))) => tracing::warn!(%error, "cache not closed cleanly"),
            Ok(Err(_)) | Err(_) => tracing::warn!("cache writer did not stop in time"),
        }
    }
}

impl Inner {
    /// The caches of the other nodes, where there are any.
    fn peers(&self) -> Option<&Arc<Peers>> {
        self.peers.get()
    }

    /// The space of the embedder's vectors; empty without one.
    fn space(&self) -> &str {
        let embedder = self.embedder.as_ref();
        embedder.map_or("", |embedder| embedder.space())
    }

    /// Numbers of its vectors; 1 where there are none.
    async fn dimensions(&self) -> usize {
        let Some(embedder) = &self.embedder else {
            return 1;
        };
        for _ in 0..DIMENSIONS_TRIES {
            let deadline = Moment::now() + DIMENSIONS_WITHIN;
            match embedder.embed("", "how long is a vector?", deadline).await {
                Ok(Some(vector)) => return vector.len(),
                Ok(None) => break,
                Err(error) => tracing::warn!(%error, "the embedder does not show its vectors"),
            }
        }
        tracing::error!("entries are divided among the nodes by their keys alone: no vectors");
        1
    }

    /// What a route allows, in the embedder's space, with the least cosine a caller asks for.
    fn budget(&self, config: &CacheConfig, least: Option<f32>) -> Budget {
        let budget = Budget::of(config, least);
        match &self.embedder {
            Some(embedder) => budget.within(embedder.calibration()),
            None => budget,
        }
    }
}

#[cfg(test)]
mod tests;
