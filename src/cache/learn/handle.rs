//! What the cache's handle offers to those who check its hits, and to operators.

use std::sync::Arc;
use std::time::Duration;

use super::judge::judge;
use super::{About, NO_ROUTE, Verdict};
use crate::cache::answer::{Pair, Purge};
use crate::cache::index::dot;
use crate::cache::key::EntryId;
use crate::cache::{AnswerCache, Error, Inner, StoreError};
use crate::config::routing::CacheConfig;
use crate::types::report::{CacheLearning, CachePeers, CacheRoute};
use crate::types::{Moment, RouteName, unix_millis};

/// Longest wait for the vectors of two answers; nobody waits for the verdict.
const EMBED_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of an answer that are embedded: its beginning, less of it when the model's window is
/// smaller.
const EMBEDDED: [usize; 3] = [900, 450, 200];

impl AnswerCache {
    /// The share of a route's semantic hits to check, in [0, 1].
    pub fn shadow_share(&self, route: Option<&RouteName>, config: &CacheConfig) -> f64 {
        let now = unix_millis();
        self.inner
            .learner
            .share(name_of(route), (config.shadow_rate, now))
    }

    /// Do two answers tell the same? By their embeddings, numbers and polarity; unsure where they
    /// could not be embedded and nothing else decides.
    pub async fn judge(&self, served: &str, fresh: &str) -> Verdict {
        let inner = &self.inner;
        let (one, other) = (opening(inner, served).await, opening(inner, fresh).await);
        let cosine = one
            .zip(other)
            .map(|(one, other)| dot(&one, &other).clamp(-1.0, 1.0));
        judge(served, fresh, cosine)
    }

    /// Takes in the verdict on a semantic hit. A wrong one never hits again, and its entry is
    /// withdrawn, from disk as well. `config` is the one of the request's route.
    ///
    /// # Errors
    /// [`Error::Store`] when the disk did not take it; memory has forgotten all the same.
    pub async fn judged(
        &self,
        pair: &Pair,
        verdict: Verdict,
        (route, config): (Option<&RouteName>, &CacheConfig),
    ) -> Result<(), Error> {
        let inner = &self.inner;
        let about = About {
            route: name_of(route),
            partition: pair.partition,
            entry: pair.entry,
        };
        let when = (unix_millis(), config.max_error_rate);
        let wrong = inner.learner.judged(&about, (pair.id, verdict), when);
        if verdict != Verdict::Unsure {
            inner.learner.write_soon(&inner.tasks);
        }
        if wrong {
            self.purge(Purge::Entry(pair.entry)).await?;
        }
        Ok(())
    }

    /// The answer of `entry` was wrong for `question`: it is never given for it again by meaning,
    /// over restarts. Returns once that is on disk. Bounded: beyond ten thousand vetoes the one
    /// that was not asked for the longest goes.
    ///
    /// # Errors
    /// [`Error::Store`] when the disk did not take it; it holds until the restart all the same.
    pub async fn veto(&self, entry: EntryId, question: &str) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        let pair = inner.keys.pair(entry, question);
        inner.learner.veto(pair);
        let written = self
            .inner
            .tasks
            .spawn_blocking(move || inner.learner.write_now())
            .await;
        let written = written.map_err(|_| Error::Stopped)?;
        Ok(written.map_err(StoreError::Learning)?)
    }

    /// What was learnt.
    pub fn learning(&self) -> CacheLearning {
        self.inner.learner.shown(unix_millis())
    }

    /// Reads what goes between this cache and the others, for as long as the cache lives; keeps it not
    /// alive.
    pub fn watch_peers(&self) -> impl Fn() -> Option<CachePeers> + Send + Sync + 'static {
        let inner = Arc::downgrade(&self.inner);
        move || Some(inner.upgrade()?.peers()?.shown())
    }

    /// Reads the routes' tiers for as long as the cache lives; keeps it not alive.
    pub fn watch_routes(&self) -> impl Fn() -> (Vec<CacheRoute>, u64) + Send + Sync + 'static {
        let inner = Arc::downgrade(&self.inner);
        move || {
            let Some(inner) = inner.upgrade() else {
                return (Vec::new(), 0);
            };
            let shown = inner.learner.shown(unix_millis());
            (shown.routes, shown.vetoes)
        }
    }
}

/// The name a route is learnt under.
pub(crate) fn name_of(route: Option<&RouteName>) -> &str {
    route.map_or(NO_ROUTE, RouteName::as_str)
}

/// The vector of an answer's beginning.
async fn opening(inner: &Inner, answer: &str) -> Option<Arc<[f32]>> {
    let embedder = inner.embedder.as_ref()?;
    let deadline = Moment::now() + EMBED_WITHIN;
    for bytes in EMBEDDED {
        let end = answer.floor_char_boundary(bytes);
        let beginning = answer.get(..end)?;
        // an operator's own scope: no tenant id is empty
        match embedder.embed("", beginning, deadline).await {
            Ok(Some(vector)) => return Some(vector),
            Ok(None) => {}
            Err(_) => return None,
        }
    }
    None
}
