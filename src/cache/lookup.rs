//! One lookup: admission, exact tier, single flight, semantic tier.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::answer::{Hit, Lookup, Question, StoredAnswer, Ticket, Tier};
use super::decide::{Budget, Decision};
use super::entry::Entry;
use super::explain::{Explained, Weighed};
use super::flight::{Lead, Part};
use super::guard::Features;
use super::index::Neighbour;
use super::key::EntryId;
use super::learn::TierState;
use super::policy::{self, Admission};
use super::shelf::SharedIndex;
use super::stats::Counters;
use super::weigh::{Asking, Outcome, weigh};
use crate::config::routing::CacheConfig;
use crate::types::{CacheMode, ChatRequest, Moment, unix_millis};

/// Candidates looked at, nearest first.
pub(super) const CANDIDATES: usize = 8;
/// Longest wait for a vector during a lookup. Asking upstream takes far longer, but a busy
/// embedder must not hold up everyone.
const EMBED_WITHIN: Duration = Duration::from_millis(150);
/// Rows an async thread may scan itself, under 100 µs; larger indexes are scanned elsewhere.
const INLINE_ROWS: usize = 2000;
/// Bytes of messages an async thread may hash itself.
const INLINE_BYTES: usize = 32 << 10;

struct Prepared {
    id: EntryId,
    question: Option<Question>,
    /// Why there is no question.
    exact_only: &'static str,
    epoch: u64,
}

pub(super) async fn lookup(
    inner: &Arc<Inner>,
    request: &ChatRequest,
    (config, route): (&CacheConfig, &str),
) -> Lookup {
    let tier = inner.learner.tier(route, unix_millis());
    let mut found = look(inner, request, config, (route, tier)).await;
    if let Lookup::Hit(hit) = &mut found {
        hit.explained.tier = tier;
    }
    found
}

async fn look(
    inner: &Arc<Inner>,
    request: &ChatRequest,
    config: &CacheConfig,
    (route, tier): (&str, TierState),
) -> Lookup {
    let prepared = match prepare(inner, request, config).await {
        Ok(prepared) => prepared,
        Err(reason) => return Lookup::Bypass(reason),
    };
    Counters::add(&inner.counters.lookups);
    let reads = request.cache != CacheMode::Refresh;
    if reads && let Some(hit) = exact(inner, prepared.id, config) {
        return Lookup::Hit(hit);
    }
    let lead = match join(inner, &prepared, reads, request, config).await {
        Ok(lead) => lead,
        Err(hit) => return Lookup::Hit(hit),
    };
    let (mut vector, mut explained) = (None, Explained::plain(tier, prepared.exact_only));
    if let Some(question) = prepared
        .question
        .as_ref()
        .filter(|_| request.cache == CacheMode::On)
    {
        let asking = Asking {
            question,
            route,
            tier,
            budget: Budget::from(config),
            now: unix_millis(),
        };
        match by_meaning(inner, asking, (request, config), &mut vector).await {
            Ok(hit) => return Lookup::Hit(hit),
            Err(why_not) => explained = why_not,
        }
    }
    Lookup::Miss(Ticket {
        id: prepared.id,
        question: prepared.question,
        vector,
        tenant: request.tenant.clone(),
        tags: request.tags.clone(),
        epoch: prepared.epoch,
        config: *config,
        lead,
        explained: Box::new(explained),
    })
}

/// The semantic tier's hit, or why there is none. Leaves the question's vector in `vector`.
async fn by_meaning(
    inner: &Arc<Inner>,
    asking: Asking<'_>,
    asked: (&ChatRequest, &CacheConfig),
    vector: &mut Option<Arc<[f32]>>,
) -> Result<Hit, Explained> {
    if asking.tier == TierState::ExactOnly {
        let reason = "over the error budget, exact answers only";
        return Err(Explained::plain(asking.tier, reason));
    }
    *vector = embed(inner, asking.question, asked.0).await;
    match vector {
        Some(vector) => semantic(inner, asking, vector, asked).await,
        None => Err(Explained::plain(
            asking.tier,
            "too long or no time to embed",
        )),
    }
}

/// Admission, key, partition and features; large requests are worked on elsewhere.
async fn prepare(
    inner: &Arc<Inner>,
    request: &ChatRequest,
    config: &CacheConfig,
) -> Result<Prepared, &'static str> {
    let size = request
        .body
        .object()
        .get("messages")
        .map_or(0, |messages| messages.get().len());
    if size <= INLINE_BYTES {
        return prepare_now(inner, request, config);
    }
    let (worker, request, config) = (Arc::clone(inner), request.clone(), *config);
    let prepared = inner
        .tasks
        .spawn_blocking(move || prepare_now(&worker, &request, &config));
    prepared.await.unwrap_or(Err("shutting down"))
}

fn prepare_now(
    inner: &Inner,
    request: &ChatRequest,
    config: &CacheConfig,
) -> Result<Prepared, &'static str> {
    let (text, exact_only) = match policy::admit(request, config) {
        Admission::Bypass(reason) => return Err(reason),
        Admission::Exact(reason) => (None, reason),
        Admission::Both(text) if inner.embedder.is_some() => (Some(text), "asked for"),
        Admission::Both(_) => (None, "no embedder"),
    };
    // before anything is read, so that a purge from here on applies to the answer
    let epoch = inner.shelf.lock().epoch();
    let question = text.map(|text| Question {
        features: Arc::new(Features::of(&text)),
        partition: inner.keys.partition(request),
        text: text.into(),
    });
    Ok(Prepared {
        id: inner.keys.entry(request),
        question,
        exact_only,
        epoch,
    })
}

fn exact(inner: &Inner, id: EntryId, config: &CacheConfig) -> Option<Hit> {
    let now = unix_millis();
    let entry = inner.shelf.lock().get(id, now, millis(config.ttl.get()))?;
    Counters::add(&inner.counters.exact_hits);
    Some(hit(&entry, now))
}

/// Leads the flight of identical requests, or waits for its answer.
async fn join(
    inner: &Arc<Inner>,
    prepared: &Prepared,
    reads: bool,
    request: &ChatRequest,
    config: &CacheConfig,
) -> Result<Option<Lead>, Hit> {
    match inner.flights.join(prepared.id, request.priority) {
        Part::Alone => Ok(None),
        // the flight before may have landed between the first look and the take-off
        Part::Leader(lead) => match reads.then(|| exact(inner, prepared.id, config)).flatten() {
            Some(hit) => Err(hit),
            None => Ok(Some(lead)),
        },
        Part::Follower(_) if !reads => Ok(None),
        Part::Follower(follower) => match follower.wait(request.deadline).await {
            Some(answer) => Err(shared(inner, prepared.id, answer)),
            None => Ok(None),
        },
    }
}

fn shared(inner: &Inner, entry: EntryId, answer: Arc<StoredAnswer>) -> Hit {
    Counters::add(&inner.counters.exact_hits);
    Counters::add(&inner.counters.shared);
    let age = Duration::from_millis(unix_millis().saturating_sub(answer.created * 1000));
    Hit {
        tier: Tier::Exact,
        similarity: None,
        entry,
        age,
        shared: true,
        answer,
        explained: Explained::plain(TierState::Normal, "an identical request was in flight"),
        pair: None,
    }
}

/// The question's vector, or `None` when it is too long or the embedder has no time.
async fn embed(inner: &Inner, question: &Question, request: &ChatRequest) -> Option<Arc<[f32]>> {
    let embedder = inner.embedder.as_ref()?;
    let deadline = request.deadline.min(Moment::now() + EMBED_WITHIN);
    let scope = request.tenant.as_str();
    match embedder.embed(scope, &question.text, deadline).await {
        Ok(vector) => vector,
        Err(error) => {
            tracing::debug!(%error, "semantic tier skipped");
            None
        }
    }
}

async fn semantic(
    inner: &Arc<Inner>,
    asking: Asking<'_>,
    vector: &Arc<[f32]>,
    (request, config): (&ChatRequest, &CacheConfig),
) -> Result<Hit, Explained> {
    let nothing = Explained::plain(asking.tier, "nothing stored comes near");
    let partition = asking.question.partition;
    let index = inner.shelf.lock().index(partition).ok_or(nothing)?;
    let found = nearest(inner, index, vector).await;
    let now = unix_millis();
    let max_tokens = request.body.max_tokens();
    let mut refused: Option<(Weighed, &'static str)> = None;
    for Neighbour { label, similarity } in found {
        let Some(entry) = inner.shelf.lock().by_serial(label) else {
            continue;
        };
        let Some(meaning) = &entry.meaning else {
            continue;
        };
        let usable = entry.is_fresh(now, millis(config.ttl.get())) && fits(&entry, max_tokens);
        if !usable || meaning.partition != partition {
            continue;
        }
        match weigh(inner, asking, (&entry, meaning), similarity) {
            Outcome::Serve(weighed, pair) => {
                inner.shelf.lock().touch(entry.id);
                Counters::add(&inner.counters.semantic_hits);
                return Ok(Hit {
                    tier: Tier::Semantic,
                    similarity: Some(similarity),
                    explained: Explained {
                        tier: asking.tier,
                        reason: Decision::Hit.reason(),
                        nearest: Some(weighed),
                    },
                    pair: Some(pair),
                    ..hit(&entry, now)
                });
            }
            Outcome::Refuse(weighed, reason) => {
                refused.get_or_insert((weighed, reason));
            }
            Outcome::TooFar(weighed, reason) => {
                refused.get_or_insert((weighed, reason));
                break;
            }
        }
    }
    Err(refused.map_or(nothing, |(weighed, reason)| Explained {
        tier: asking.tier,
        reason,
        nearest: Some(weighed),
    }))
}

/// The nearest vectors of one index, scanned here when it is small.
pub(super) async fn nearest(
    inner: &Arc<Inner>,
    index: SharedIndex,
    vector: &Arc<[f32]>,
) -> Vec<Neighbour> {
    // a writer at work counts as large: an async thread does not wait for it
    let small = index
        .try_read()
        .is_some_and(|index| index.len() <= INLINE_ROWS);
    if small {
        return index.read().search(vector, CANDIDATES);
    }
    let query = Arc::clone(vector);
    let search = inner
        .tasks
        .spawn_blocking(move || index.read().search(&query, CANDIDATES));
    search.await.unwrap_or_default()
}

/// The stored answer would not have been cut off by the request's own limit.
fn fits(entry: &Entry, max_tokens: Option<u64>) -> bool {
    let counted = entry.answer.usage.completion_tokens;
    // without a count, a token is at least one byte
    let tokens = if counted > 0 {
        counted
    } else {
        entry.answer.text.len() as u64
    };
    max_tokens.is_none_or(|most| tokens <= most)
}

/// A hit of the exact tier.
fn hit(entry: &Entry, now: u64) -> Hit {
    Hit {
        tier: Tier::Exact,
        similarity: None,
        entry: entry.id,
        age: Duration::from_millis(now.saturating_sub(entry.created)),
        shared: false,
        answer: Arc::clone(&entry.answer),
        explained: Explained::plain(TierState::Normal, "an identical request"),
        pair: None,
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
