//! The semantic tier of a lookup: vector, candidates, the decision about the best of them.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::agree::{Statement, agree};
use super::answer::{Hit, Pair, Question, Tier};
use super::decide::{Budget, Decision, Grounds, decide, is_rival};
use super::entry::{Entry, Meaning};
use super::explain::{Explained, Weighed};
use super::flight::{Asked, Lead, patience};
use super::guard::Features;
use super::index::Neighbour;
use super::learn::TierState;
use super::lookup::{Prepared, fits, hit, landed, millis, shared};
use super::shelf::SharedIndex;
use super::stats::Counters;
use super::verify::verify;
use super::weigh::{Outcome, weigh};
use crate::config::routing::SingleFlight;
use crate::types::{ChatRequest, Moment};

/// Candidates looked at, nearest first.
pub(super) const CANDIDATES: usize = 8;
/// Longest wait for a vector during a lookup. Asking upstream takes far longer, but a busy
/// embedder must not hold up everyone.
const EMBED_WITHIN: Duration = Duration::from_millis(150);
/// Rows an async thread may scan itself, under 100 µs; larger indexes are scanned elsewhere.
const INLINE_ROWS: usize = 2000;

/// A question that looks for an answer on a route.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) question: &'a Question,
    pub(super) route: &'a str,
    pub(super) tier: TierState,
    /// What the operator allows and the caller tightens; the tier's caution comes on top.
    pub(super) budget: Budget,
    /// Milliseconds since 1970.
    pub(super) now: u64,
}

/// The semantic tier's hit, or why there is none. Leaves the question's vector in `vector`.
pub(super) async fn by_meaning(
    inner: &Arc<Inner>,
    prepared: &Prepared,
    asking: Asking<'_>,
    request: &ChatRequest,
    (vector, lead): (&mut Option<Arc<[f32]>>, &mut Option<Lead>),
) -> Result<Hit, Explained> {
    if asking.tier == TierState::ExactOnly {
        let reason = "over the error budget, exact answers only";
        return Err(Explained::plain(asking.tier, reason));
    }
    *vector = embed(inner, asking.question, request).await;
    let Some(vector) = vector else {
        let reason = "too long or no time to embed";
        return Err(Explained::plain(asking.tier, reason));
    };
    let why_not = match stored(inner, prepared, asking, vector, request).await {
        Ok(hit) => return Ok(hit),
        Err(why_not) => why_not,
    };
    let flying = along(inner, (prepared, asking), vector, (request, lead)).await;
    flying.ok_or(why_not)
}

/// The tenant's own partition, then the one all tenants share.
async fn stored(
    inner: &Arc<Inner>,
    prepared: &Prepared,
    asking: Asking<'_>,
    vector: &Arc<[f32]>,
    request: &ChatRequest,
) -> Result<Hit, Explained> {
    let why_not = match nearest_answer(inner, prepared, asking, vector, request).await {
        Ok(hit) => return Ok(hit),
        Err(why_not) => why_not,
    };
    let Some(partition) = prepared.shared.and_then(|shared| shared.partition) else {
        return Err(why_not);
    };
    let everyone = Question {
        partition,
        ..asking.question.clone()
    };
    let asking = Asking {
        question: &everyone,
        ..asking
    };
    nearest_answer(inner, prepared, asking, vector, request)
        .await
        .map_err(|other| why_not.or_nearer(other))
}

/// A stored entry that could be served.
pub(super) struct Candidate {
    pub(super) entry: Arc<Entry>,
    pub(super) meaning: Meaning,
    pub(super) similarity: f32,
}

async fn nearest_answer(
    inner: &Arc<Inner>,
    prepared: &Prepared,
    asking: Asking<'_>,
    vector: &Arc<[f32]>,
    request: &ChatRequest,
) -> Result<Hit, Explained> {
    let nothing = Explained::plain(asking.tier, "nothing stored comes near");
    let index = inner.shelf.lock().index(asking.question.partition);
    let found = nearest(inner, index.ok_or(nothing)?, vector).await;
    let candidates = usable(inner, prepared, asking, found, request);
    let mut refused: Option<Explained> = None;
    for (at, candidate) in candidates.iter().enumerate() {
        let (weighed, reason) = match weigh(inner, asking, candidate, None) {
            Outcome::TooFar(weighed, reason) => {
                refused.get_or_insert(asking.because(reason, weighed));
                break;
            }
            Outcome::Refuse(weighed, reason) => {
                refused.get_or_insert(asking.because(reason, weighed));
                continue;
            }
            Outcome::Serve(weighed, _) | Outcome::Open(weighed)
                if rivalled(asking, &candidates, at) =>
            {
                (weighed, Decision::Ambiguous.reason())
            }
            Outcome::Serve(weighed, pair) => {
                return Ok(served(inner, asking, candidate, (weighed, pair)));
            }
            Outcome::Open(_) => match verified(inner, asking, candidate, request).await {
                Outcome::Serve(weighed, pair) => {
                    return Ok(served(inner, asking, candidate, (weighed, pair)));
                }
                Outcome::Refuse(weighed, reason) | Outcome::TooFar(weighed, reason) => {
                    (weighed, reason)
                }
                Outcome::Open(weighed) if weighed.upper_bound > weighed.tolerated => {
                    (weighed, Decision::TooRisky.reason())
                }
                Outcome::Open(weighed) => (weighed, Decision::Unsettled.reason()),
            },
        };
        // the best that no guard refuses has had its chance; the others are further away
        return Err(asking.because(reason, weighed));
    }
    Err(refused.unwrap_or(nothing))
}

impl Asking<'_> {
    fn because(&self, reason: &'static str, weighed: Weighed) -> Explained {
        Explained {
            tier: self.tier,
            reason,
            nearest: Some(weighed),
        }
    }
}

/// Those of the found that are on the shelf, fresh, whole for this request and in its partition.
fn usable(
    inner: &Inner,
    prepared: &Prepared,
    asking: Asking<'_>,
    found: Vec<Neighbour>,
    request: &ChatRequest,
) -> Vec<Candidate> {
    let ttl = millis(prepared.config.ttl.get());
    let max_tokens = request.body.max_tokens();
    let candidates = found.into_iter().filter_map(|near| {
        let entry = inner.shelf.lock().by_serial(near.label)?;
        let meaning = entry.meaning.clone()?;
        let in_partition = meaning.partition == asking.question.partition;
        let usable =
            in_partition && entry.is_fresh(asking.now, ttl) && fits(&entry.answer, max_tokens);
        usable.then_some(Candidate {
            entry,
            meaning,
            similarity: near.similarity,
        })
    });
    candidates.collect()
}

/// Another candidate comes as near as the one at `best` and has another answer. Answers are compared
/// last: they are long.
fn rivalled(asking: Asking<'_>, candidates: &[Candidate], best: usize) -> bool {
    let Some(chosen) = candidates.get(best) else {
        return false;
    };
    let question = &asking.question.features;
    let answer = &chosen.entry.answer;
    candidates.iter().enumerate().any(|(at, other)| {
        let beside = (other.similarity, &*other.meaning.features);
        at != best
            && is_rival(chosen.similarity, question, beside)
            && !say_the_same(&answer.text, &other.entry.answer.text)
    })
}

fn say_the_same(one: &str, other: &str) -> bool {
    let plain = |text| Statement { text, vector: None };
    one == other || agree(plain(one), plain(other))
}

/// Weighs once more, with the verifier's word if it has one in time. What was purged meanwhile is
/// not served.
async fn verified(
    inner: &Arc<Inner>,
    asking: Asking<'_>,
    candidate: &Candidate,
    request: &ChatRequest,
) -> Outcome {
    let deadline = request.deadline.min(Moment::now() + EMBED_WITHIN);
    let scope = request.tenant.as_str();
    let risk = verify(inner, (scope, deadline), asking.question, candidate).await;
    match weigh(inner, asking, candidate, risk) {
        Outcome::Serve(weighed, _)
            if inner
                .shelf
                .lock()
                .by_serial(candidate.entry.serial)
                .is_none() =>
        {
            Outcome::Refuse(weighed, "it was purged meanwhile")
        }
        outcome @ (Outcome::Serve(..)
        | Outcome::Open(_)
        | Outcome::Refuse(..)
        | Outcome::TooFar(..)) => outcome,
    }
}

fn served(
    inner: &Inner,
    asking: Asking<'_>,
    candidate: &Candidate,
    (weighed, pair): (Weighed, Pair),
) -> Hit {
    inner.shelf.lock().touch(candidate.entry.id);
    Counters::add(&inner.counters.semantic_hits);
    Hit {
        tier: Tier::Semantic,
        similarity: Some(candidate.similarity),
        explained: asking.because(Decision::Hit.reason(), weighed),
        pair: Some(pair),
        ..hit(&candidate.entry, asking.now)
    }
}

/// Waits for the answer to a question of the same meaning in flight, where the route allows it, or
/// lets others wait for this one.
async fn along(
    inner: &Arc<Inner>,
    (prepared, asking): (&Prepared, Asking<'_>),
    vector: &Arc<[f32]>,
    (request, lead): (&ChatRequest, &mut Option<Lead>),
) -> Option<Hit> {
    if prepared.config.single_flight != SingleFlight::Meaning {
        return None;
    }
    let question = asking.question;
    let asked = Asked {
        question,
        vector,
        priority: request.priority,
    };
    let same = |similarity: f32, features: &Features| {
        let grounds = Grounds {
            similarity,
            a: &question.features,
            b: features,
            verified: None,
        };
        decide(grounds, asking.budget) == Decision::Hit
    };
    let same_flight = inner
        .flights
        .join_by_meaning(lead.as_mut()?, &asked, same)?;
    let answer = landed(same_flight.follower, patience(request.deadline)).await?;
    if !fits(&answer, request.body.max_tokens()) {
        return None;
    }
    // those who wait for this very request are served as well
    if let Some(lead) = lead.take() {
        lead.land(Arc::clone(&answer));
    }
    Counters::add(&inner.counters.semantic_hits);
    let similarity = Some(same_flight.similarity);
    Some(shared(inner, same_flight.entry, answer, similarity))
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
