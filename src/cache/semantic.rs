//! The semantic tier of a lookup: vector, candidates, the decision about the best of them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::MemberId;

use super::Inner;
use super::agree::{Statement, agree};
use super::answer::{Hit, Pair, Question, Tier};
use super::compact::Compact;
use super::decide::{Budget, Decision, Grounds, decide, is_rival};
use super::entry::{Entry, Meaning};
use super::explain::{Explained, Weighed};
use super::flight::{Asked, Lead, patience};
use super::guard::Features;
use super::index::Neighbour;
use super::key::PartitionId;
use super::learn::TierState;
use super::lookup::{Prepared, fits, hit, landed, millis, shared};
use super::peers::ask::gather;
use super::peers::words::Ask;
use super::shelf::SharedIndex;
use super::stats::Counters;
use super::verify::verify;
use super::weigh::{Outcome, weigh};
use crate::config::routing::SingleFlight;
use crate::types::{ChatRequest, Moment};

/// Candidates looked at, nearest first.
pub(crate) const CANDIDATES: usize = 8;
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
    /// Longest wait for a vector. Asking upstream takes far longer, but a busy embedder must not hold
    /// up everyone.
    pub(super) within: Duration,
    /// Milliseconds since 1970.
    pub(super) now: u64,
}

/// A question's vector, and what comes near it here and elsewhere.
#[derive(Default)]
pub(super) struct Found {
    vector: Option<Arc<[f32]>>,
    /// In the tenant's own partition, and in the one all tenants share.
    candidates: [Vec<Candidate>; 2],
}

/// The same, worked out beside the question whether an identical request is being answered: two calls
/// to other nodes take the time of one.
pub(super) struct Ahead<'a> {
    work: Pin<Box<dyn Future<Output = Found> + Send + 'a>>,
    found: Option<Found>,
    /// Its vector costs nothing. One that has to be made is not made for a request that may find its
    /// answer by its key.
    eager: bool,
}

impl<'a> Ahead<'a> {
    /// Nothing is done before [`Ahead::beside`] or [`Ahead::finish`] is awaited.
    pub(super) fn of(
        inner: &'a Arc<Inner>,
        prepared: &'a Prepared,
        asking: Option<Asking<'a>>,
        request: &'a ChatRequest,
    ) -> Self {
        let asking = asking.filter(|asking| asking.tier != TierState::ExactOnly);
        let scope = request.tenant.as_str();
        let eager = asking.zip(inner.embedder.as_ref());
        let eager = eager.is_some_and(|(asking, embedder)| {
            inner.peers().is_some_and(|peers| !peers.is_alone())
                && embedder.remembers(scope, &asking.question.text)
        });
        let work = async move {
            let Some(asking) = asking else {
                return Found::default();
            };
            let Some(vector) = embed(inner, asking, request).await else {
                return Found::default();
            };
            let candidates = candidates(inner, prepared, asking, &vector, request).await;
            Found {
                vector: Some(vector),
                candidates,
            }
        };
        Ahead {
            work: Box::pin(work),
            found: None,
            eager,
        }
    }

    /// Goes on with it for as long as `other` takes, where that costs next to nothing.
    pub(super) async fn beside<T>(&mut self, other: impl Future<Output = T>) -> T {
        tokio::pin!(other);
        loop {
            tokio::select! {
                biased;
                done = &mut other => return done,
                found = &mut self.work, if self.eager && self.found.is_none() => {
                    self.found = Some(found);
                }
            }
        }
    }

    /// What there is.
    pub(super) async fn finish(self) -> Found {
        match self.found {
            Some(found) => found,
            None => self.work.await,
        }
    }
}

/// The semantic tier's hit, or why there is none. Leaves the question's vector in `vector`.
pub(super) async fn by_meaning(
    inner: &Arc<Inner>,
    (prepared, found): (&Prepared, Found),
    asking: Asking<'_>,
    request: &ChatRequest,
    (vector, lead): (&mut Option<Arc<[f32]>>, &mut Option<Lead>),
) -> Result<Hit, Explained> {
    if asking.tier == TierState::ExactOnly {
        let reason = "over the error budget, exact answers only";
        return Err(Explained::plain(asking.tier, reason));
    }
    *vector = found.vector;
    let Some(vector) = vector else {
        let reason = "too long or no time to embed";
        return Err(Explained::plain(asking.tier, reason));
    };
    let everyone = prepared.everyone().is_some();
    let why_not = match stored(inner, (asking, found.candidates), everyone, request).await {
        Ok(hit) => return Ok(hit),
        Err(why_not) => why_not,
    };
    let flying = along(inner, (prepared, asking), vector, (request, lead)).await;
    flying.ok_or(why_not)
}

/// The tenant's own partition, then the one all tenants share.
async fn stored(
    inner: &Arc<Inner>,
    (asking, [own, everyones]): (Asking<'_>, [Vec<Candidate>; 2]),
    everyone: bool,
    request: &ChatRequest,
) -> Result<Hit, Explained> {
    let why_not = match nearest_answer(inner, asking, own, request).await {
        Ok(hit) => return Ok(hit),
        Err(why_not) => why_not,
    };
    if !everyone {
        return Err(why_not);
    }
    nearest_answer(inner, asking, everyones, request)
        .await
        .map_err(|other| why_not.or_nearer(other))
}

/// A stored entry that could be served.
pub(crate) struct Candidate {
    pub(crate) entry: Arc<Entry>,
    pub(crate) meaning: Meaning,
    pub(crate) similarity: f32,
    /// The node it is from; `None` for this one.
    pub(crate) from: Option<MemberId>,
}

async fn nearest_answer(
    inner: &Arc<Inner>,
    asking: Asking<'_>,
    candidates: Vec<Candidate>,
    request: &ChatRequest,
) -> Result<Hit, Explained> {
    let nothing = Explained::plain(asking.tier, "nothing stored comes near");
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

/// What could be served, nearest first, here and on the nodes of the nearest cells: in the tenant's
/// own partition and in the one all tenants share.
async fn candidates(
    inner: &Arc<Inner>,
    prepared: &Prepared,
    asking: Asking<'_>,
    vector: &Arc<[f32]>,
    request: &ChatRequest,
) -> [Vec<Candidate>; 2] {
    let (own, everyone) = (asking.question.partition, prepared.everyone());
    let fresh = (asking.now, millis(prepared.config.ttl.get()));
    let mine = candidates_here(inner, own, vector, fresh).await;
    let mut found = [mine, Vec::new()];
    if let (Some(partition), [_, shared]) = (everyone, &mut found) {
        *shared = candidates_here(inner, partition, vector, fresh).await;
    }
    if let Some(peers) = inner.peers().filter(|peers| !peers.is_alone()) {
        let ask = Ask {
            tenant: request.tenant.clone(),
            partition: own,
            everyone,
            vector: Compact::of(vector),
            space: inner.space().to_owned(),
            least: asking.budget.least_interesting(),
            ttl_millis: fresh.1,
            epoch: prepared.epoch,
        };
        let left = Moment::now().until(request.deadline);
        let budget = prepared.config.lookup_budget.get().min(left);
        let probes = usize::from(prepared.config.probes);
        let gathered = gather(inner, peers, ask, vector, (probes, budget)).await;
        let [mine, shared] = &mut found;
        mine.extend(gathered.own);
        shared.extend(gathered.everyone);
    }
    let max_tokens = request.body.max_tokens();
    found.map(|mut candidates| {
        candidates.retain(|candidate| fits(&candidate.entry.answer, max_tokens));
        in_order(candidates)
    })
}

/// Nearest first, each entry once, in its latest version.
pub(super) fn in_order(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let latest_first = |a: &Candidate, b: &Candidate| b.entry.created.cmp(&a.entry.created);
    candidates.sort_by(|a, b| a.entry.id.cmp(&b.entry.id).then(latest_first(a, b)));
    candidates.dedup_by(|b, a| a.entry.id == b.entry.id);
    candidates.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    candidates.truncate(CANDIDATES);
    candidates
}

/// What is held here near a vector, in one partition, and no older than `ttl` milliseconds.
pub(super) async fn candidates_here(
    inner: &Arc<Inner>,
    partition: PartitionId,
    vector: &Arc<[f32]>,
    (now, ttl): (u64, u64),
) -> Vec<Candidate> {
    let found = near_here(inner, partition, vector).await.into_iter();
    let fresh = found.filter(|(_, entry)| entry.is_fresh(now, ttl));
    let candidates = fresh.filter_map(|(similarity, entry)| {
        Some(Candidate {
            meaning: entry.meaning.clone()?,
            entry,
            similarity,
            from: None,
        })
    });
    candidates.collect()
}

/// Entries of one partition that are held here and come nearest to a vector.
pub(super) async fn near_here(
    inner: &Arc<Inner>,
    partition: PartitionId,
    vector: &Arc<[f32]>,
) -> Vec<(f32, Arc<Entry>)> {
    let index = inner.shelf.lock().index(partition);
    let Some(index) = index.filter(|index| index.dimensions() == vector.len()) else {
        return Vec::new();
    };
    let found = nearest(inner, index, vector).await.into_iter();
    let held = found.filter_map(|near| {
        let entry = inner.shelf.lock().by_serial(near.label)?;
        let meant = entry.meaning.as_ref()?.partition == partition;
        meant.then_some((near.similarity, entry))
    });
    held.collect()
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
    let deadline = request.deadline.min(Moment::now() + asking.within);
    let scope = request.tenant.as_str();
    let risk = verify(inner, (scope, deadline), asking.question, candidate).await;
    match weigh(inner, asking, candidate, risk) {
        Outcome::Serve(weighed, _) if is_gone(inner, candidate) => {
            Outcome::Refuse(weighed, "it was purged meanwhile")
        }
        outcome @ (Outcome::Serve(..)
        | Outcome::Open(_)
        | Outcome::Refuse(..)
        | Outcome::TooFar(..)) => outcome,
    }
}

fn is_gone(inner: &Inner, candidate: &Candidate) -> bool {
    match candidate.from {
        None => {
            let shelf = inner.shelf.lock();
            shelf.by_serial(candidate.entry.serial).is_none()
        }
        Some(_) => inner.epochs.is_off(&candidate.entry),
    }
}

fn served(
    inner: &Arc<Inner>,
    asking: Asking<'_>,
    candidate: &Candidate,
    (weighed, pair): (Weighed, Pair),
) -> Hit {
    match (candidate.from, inner.peers()) {
        (Some(node), Some(peers)) => peers.served_from(inner, node, &candidate.entry),
        _ => inner.shelf.lock().touch(candidate.entry.id),
    }
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
    same_flight.follower.show();
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
async fn embed(inner: &Inner, asking: Asking<'_>, request: &ChatRequest) -> Option<Arc<[f32]>> {
    let embedder = inner.embedder.as_ref()?;
    let deadline = request.deadline.min(Moment::now() + asking.within);
    let scope = request.tenant.as_str();
    match embedder.embed(scope, &asking.question.text, deadline).await {
        Ok(vector) => vector,
        Err(error) => {
            tracing::debug!(%error, "semantic tier skipped");
            None
        }
    }
}

/// The nearest vectors of one index, scanned here when it is small.
async fn nearest(inner: &Arc<Inner>, index: SharedIndex, vector: &Arc<[f32]>) -> Vec<Neighbour> {
    if index.len() <= INLINE_ROWS {
        return index.search(vector, CANDIDATES, |_label| true);
    }
    let query = Arc::clone(vector);
    let search = inner
        .tasks
        .spawn_blocking(move || index.search(&query, CANDIDATES, |_label| true));
    search.await.unwrap_or_default()
}

#[cfg(test)]
mod tests;
