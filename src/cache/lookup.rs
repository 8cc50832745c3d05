//! One lookup: admission, exact tier, single flight, semantic tier.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::answer::{Hit, Lookup, Question, StoredAnswer, Ticket, Tier};
use super::decide::{Budget, Decision, decide};
use super::entry::Entry;
use super::flight::{Lead, Part};
use super::guard::Features;
use super::index::Neighbour;
use super::key::EntryId;
use super::policy::{self, Admission};
use super::shelf::SharedIndex;
use super::stats::Counters;
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
    epoch: u64,
}

pub(super) async fn lookup(
    inner: &Arc<Inner>,
    request: &ChatRequest,
    config: &CacheConfig,
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
    let mut vector = None;
    if let Some(question) = prepared
        .question
        .as_ref()
        .filter(|_| request.cache == CacheMode::On)
    {
        vector = embed(inner, question, request).await;
        if let Some(vector) = &vector
            && let Some(hit) = semantic(inner, question, vector, (request, config)).await
        {
            return Lookup::Hit(hit);
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
    })
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
    let text = match policy::admit(request, config) {
        Admission::Bypass(reason) => return Err(reason),
        Admission::Exact(_) => None,
        Admission::Both(text) => Some(text).filter(|_| inner.embedder.is_some()),
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
        epoch,
    })
}

fn exact(inner: &Inner, id: EntryId, config: &CacheConfig) -> Option<Hit> {
    let now = unix_millis();
    let entry = inner.shelf.lock().get(id, now, millis(config.ttl.get()))?;
    Counters::add(&inner.counters.exact_hits);
    Some(hit(&entry, Tier::Exact, None, now))
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
    question: &Question,
    vector: &Arc<[f32]>,
    (request, config): (&ChatRequest, &CacheConfig),
) -> Option<Hit> {
    let index = inner.shelf.lock().index(question.partition)?;
    let found = nearest(inner, index, vector).await;
    let now = unix_millis();
    let max_tokens = request.body.max_tokens();
    for Neighbour { label, similarity } in found {
        let Some(entry) = inner.shelf.lock().by_serial(label) else {
            continue;
        };
        let Some(meaning) = &entry.meaning else {
            continue;
        };
        let usable = entry.is_fresh(now, millis(config.ttl.get())) && fits(&entry, max_tokens);
        if !usable || meaning.partition != question.partition {
            continue;
        }
        match decide(
            similarity,
            &question.features,
            &meaning.features,
            Budget::from(config),
        ) {
            Decision::Hit => {
                inner.shelf.lock().touch(entry.id);
                Counters::add(&inner.counters.semantic_hits);
                return Some(hit(&entry, Tier::Semantic, Some(similarity), now));
            }
            Decision::Guarded(_) => Counters::add(&inner.counters.guard_refusals),
            Decision::TooFar => break,
            Decision::TooRisky => {}
        }
    }
    None
}

/// The nearest vectors of one index, scanned here when it is small.
pub(super) async fn nearest(
    inner: &Arc<Inner>,
    index: SharedIndex,
    vector: &Arc<[f32]>,
) -> Vec<Neighbour> {
    if index.len() <= INLINE_ROWS {
        return index.search(vector, CANDIDATES, |_label| true);
    }
    let query = Arc::clone(vector);
    let search = inner
        .tasks
        .spawn_blocking(move || index.search(&query, CANDIDATES, |_label| true));
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

fn hit(entry: &Entry, tier: Tier, similarity: Option<f32>, now: u64) -> Hit {
    Hit {
        tier,
        similarity,
        entry: entry.id,
        age: Duration::from_millis(now.saturating_sub(entry.created)),
        shared: false,
        answer: Arc::clone(&entry.answer),
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
