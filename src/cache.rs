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
//! let cache = AnswerCache::open(Settings { dir: None, embedder: None, config })?;
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
//! Deliberately not here: anything that crosses the network.

pub mod agree;
pub mod answer;
mod canonical;
pub mod compare;
pub mod decide;
pub mod embed;
pub mod embedding;
mod entry;
pub mod evaluate;
pub mod explain;
mod flight;
pub mod guard;
pub mod index;
mod insert;
pub mod key;
pub mod learn;
mod lookup;
pub mod policy;
mod semantic;
mod shelf;
mod stats;
mod store;
pub mod verifier;
mod verify;
mod weigh;
mod witness;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::config::routing::CacheConfig;
use crate::types::report::CacheStats;
use crate::types::{ChatRequest, RouteName, unix_millis};

pub use answer::{
    Attached, Candidate, Hit, Insertion, Lookup, Pair, Purge, StoredAnswer, Ticket, Tier,
};
pub use compare::Comparison;
pub use embedding::{EmbeddingError, TextEmbedder};
pub use explain::{Explained, Weighed};
pub use index::PartitionIndex;
pub use key::{EntryId, PartitionId};
pub use learn::{TierState, Verdict};
pub use store::StoreError;

use decide::Budget;
pub(crate) use flight::{Break, Event, Follower, Lead, Wants};

use flight::Flights;
use key::Keys;
use learn::Learner;
use shelf::{Limits, Removed, Shelf};
use stats::Counters;
use store::{Doomed, Found, Record, Writer};
use witness::Statements;

/// Inserts that may wait for a vector or the index; beyond it entries stay exact-only. Below the
/// size of tokio's blocking pool, so that a stalled disk cannot take all of it.
const MAX_BACKGROUND: usize = 256;
/// Longest wait for background work at close.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// Most expired entries taken out in one go.
const SWEEP_BATCH: usize = 1024;

/// Why a cache operation failed. Lookups and inserts never fail: they miss.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The semantic tier has no embedder.
    #[error("the semantic tier has no embedder")]
    NoEmbedder,
    /// The embedder failed.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    /// Background work was stopped.
    #[error("the cache is shutting down")]
    Stopped,
}

/// What a cache is opened with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where entries and the node's secret are kept; `None` keeps them in memory only.
    pub dir: Option<PathBuf>,
    /// Makes vectors; `None` leaves the exact tier alone.
    pub embedder: Option<Arc<dyn TextEmbedder>>,
    /// Limits; may change later.
    pub config: CacheConfig,
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
    flights: Arc<Flights>,
    statements: Mutex<Statements>,
    embedder: Option<Arc<dyn TextEmbedder>>,
    writer: Option<Writer>,
    counters: Arc<Counters>,
    learner: Arc<Learner>,
    tasks: TaskTracker,
    background: Arc<Semaphore>,
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
        } = settings;
        let Some(dir) = dir else {
            return Ok(AnswerCache::assemble(
                Keys::new(rand::random()),
                embedder,
                config,
            ));
        };
        std::fs::create_dir_all(&dir).map_err(StoreError::Secret)?;
        let secret = store::secret(&dir.join("cache.key"))?;
        let (disk, found) = store::open(&dir.join("cache"), &secret)?;
        let mut cache = AnswerCache::assemble(Keys::new(secret), embedder, config);
        let dead = cache.inner.load(found);
        let inner = Arc::get_mut(&mut cache.inner).ok_or(Error::Stopped)?;
        inner.learner = Arc::new(Learner::open(dir.join("cache.learnt")));
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
        let mut shelf = Shelf::default();
        shelf.configure(Limits::from(&config));
        shelf.upkeep().set_kind(config.index);
        AnswerCache {
            inner: Arc::new(Inner {
                config: ArcSwap::from_pointee(config),
                keys,
                shelf: Arc::new(Mutex::new(shelf)),
                flights: Arc::default(),
                statements: Mutex::default(),
                embedder,
                writer: None,
                counters: Arc::default(),
                learner: Arc::default(),
                tasks: TaskTracker::new(),
                background: Arc::new(Semaphore::new(MAX_BACKGROUND)),
            }),
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
        }
    }

    /// Forgets entries, in memory and on disk, and keeps answers to requests already in flight
    /// from bringing them back. Returns how many there were.
    ///
    /// [`Purge::Tenant`] and [`Purge::All`] also destroy the data keys the entries were sealed with:
    /// when this returns, rows copied back from a backup of the value files do not open any more.
    ///
    /// # Errors
    /// [`Error::Store`] when the disk did not take it; memory has forgotten all the same.
    pub async fn purge(&self, what: Purge) -> Result<u64, Error> {
        let inner = Arc::clone(&self.inner);
        let purged = self
            .inner
            .tasks
            .spawn_blocking(move || inner.purge(what))
            .await;
        purged.map_err(|_| Error::Stopped)?
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
    /// What a route allows, in the embedder's space, with the least cosine a caller asks for.
    fn budget(&self, config: &CacheConfig, least: Option<f32>) -> Budget {
        let budget = Budget::of(config, least);
        match &self.embedder {
            Some(embedder) => budget.within(embedder.calibration()),
            None => budget,
        }
    }

    /// Puts what was on disk on the shelf; returns the keys that may go.
    fn load(&self, found: Found) -> Vec<u64> {
        let now = unix_millis();
        let space = self.embedder.as_ref().map(|embedder| embedder.space());
        Counters::add_many(&self.counters.corrupt, found.corrupt.len());
        let mut dead = found.corrupt;
        let mut shelf = self.shelf.lock();
        for Record { entry, vector } in found.records {
            let serial = entry.serial;
            shelf.seen(serial);
            if entry.expires <= now {
                dead.push(serial);
                continue;
            }
            let epoch = shelf.epoch();
            let removed = shelf.insert(Arc::new(entry), epoch);
            let Some(removed) = removed else { continue };
            dead.extend(Inner::drop_rows(removed));
            let Some((made_in, vector)) = vector else {
                continue;
            };
            if Some(made_in.as_str()) == space
                && let Some(index) = shelf.attach(serial, vector.len())
            {
                index.insert(serial, &vector);
            }
        }
        dead
    }

    fn sweeper(&self) -> store::Sweep {
        let (shelf, counters) = (Arc::downgrade(&self.shelf), Arc::clone(&self.counters));
        Box::new(move || {
            let Some(shelf) = shelf.upgrade() else {
                return Vec::new();
            };
            let removed = shelf.lock().sweep(unix_millis(), SWEEP_BATCH);
            Counters::add_many(&counters.evictions, removed.len());
            Inner::drop_rows(removed)
        })
    }

    /// Takes rows out of their indexes; returns their serials.
    fn drop_rows(removed: Vec<Removed>) -> Vec<u64> {
        let mut serials = Vec::with_capacity(removed.len());
        for Removed { serial, index } in removed {
            if let Some(index) = index {
                index.remove(serial);
            }
            serials.push(serial);
        }
        serials
    }

    /// Takes what left the shelf out of the indexes and off the disk. Blocks.
    fn take_out(&self, removed: Vec<Removed>) {
        let serials = Inner::drop_rows(removed);
        if let Some(Err(error)) = self.writer.as_ref().map(|writer| writer.delete(serials)) {
            tracing::debug!(%error, "evicted entries stay on disk until they expire");
        }
    }

    fn purge(&self, what: Purge) -> Result<u64, Error> {
        let entry = match &what {
            Purge::Entry(id) => Some(*id),
            Purge::All | Purge::Tenant(_) | Purge::Tag(..) => None,
        };
        let doomed = match &what {
            Purge::All => Some(Doomed::All),
            Purge::Tenant(tenant) => Some(Doomed::Tenant(tenant.clone())),
            Purge::Tag(..) | Purge::Entry(_) => None,
        };
        let removed = {
            // both at once, or an answer could become everyone's in between
            let mut shelf = self.shelf.lock();
            self.statements.lock().purge(&what);
            shelf.purge(what)
        };
        match entry {
            Some(id) => self.flights.detach(id),
            None => self.flights.detach_all(),
        }
        let serials = Inner::drop_rows(removed);
        let count = serials.len() as u64;
        if let Some(writer) = &self.writer {
            writer.delete(serials)?;
            match doomed {
                Some(doomed) => writer.destroy(doomed)?,
                None => writer.flush()?,
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
