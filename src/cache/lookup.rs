//! One lookup: admission, exact tier, single flight, semantic tier.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::answer::{Attached, Hit, Lookup, Question, SharedIds, StoredAnswer, Ticket, Tier};
use super::entry::Entry;
use super::explain::Explained;
use super::flight::{Event, Follower, Lead, MAX_LETDOWNS, Part, Wants, patience};
use super::guard::Features;
use super::key::{EntryId, PartitionId, Scope};
use super::learn::TierState;
use super::peers::flight::{self, Landing, TakeOff};
use super::peers::words::FlyAsk;
use super::policy::{self, Admission};
use super::semantic::{Ahead, Asking, by_meaning};
use super::stats::Counters;
use crate::config::routing::{CacheConfig, CacheScope};
use crate::types::{CacheMode, ChatRequest, Moment, unix_millis};

/// Bytes of messages an async thread may hash itself.
const INLINE_BYTES: usize = 32 << 10;

/// A request, ready to be looked for.
pub(super) struct Prepared {
    pub(super) id: EntryId,
    pub(super) question: Option<Question>,
    /// Why there is no question.
    exact_only: &'static str,
    /// On a route with a shared scope.
    pub(super) shared: Option<SharedIds>,
    pub(super) epoch: u64,
    /// The route's, with the lifetime this request may have.
    pub(super) config: CacheConfig,
}

impl Prepared {
    /// The partition all tenants share.
    pub(super) fn everyone(&self) -> Option<PartitionId> {
        self.shared.and_then(|shared| shared.partition)
    }
}

pub(super) async fn lookup(
    inner: &Arc<Inner>,
    request: &ChatRequest,
    (config, route): (&CacheConfig, &str),
) -> Lookup {
    let tier = inner.learner.tier(route, unix_millis());
    let mut found = look(inner, request, config, (route, tier)).await;
    match &mut found {
        Lookup::Hit(hit) => hit.explained.tier = tier,
        Lookup::Attached(attached) => attached.explained.tier = tier,
        Lookup::Miss(_) | Lookup::Bypass(_) => {}
    }
    found
}

async fn look(
    inner: &Arc<Inner>,
    request: &ChatRequest,
    config: &CacheConfig,
    (route, tier): (&str, TierState),
) -> Lookup {
    if inner
        .peers()
        .is_some_and(|peers| peers.must_not_serve(config))
    {
        return Lookup::Bypass("this node is cut off from its cluster");
    }
    let prepared = match prepare(inner, request, config).await {
        Ok(prepared) => prepared,
        Err(reason) => return Lookup::Bypass(reason),
    };
    Counters::add(&inner.counters.lookups);
    let reads = request.cache != CacheMode::Refresh;
    if reads && let Some(hit) = exact(inner, &prepared) {
        return Lookup::Hit(hit);
    }
    let question = prepared.question.as_ref();
    let asking = question
        .filter(|_| request.cache == CacheMode::On)
        .map(|question| Asking {
            question,
            route,
            tier,
            budget: inner.budget(&prepared.config, request.min_similarity),
            within: prepared.config.embed_budget.get(),
            now: unix_millis(),
        });
    let mut ahead = Ahead::of(inner, &prepared, asking, request);
    let joined = join(inner, (&prepared, reads), request, &mut ahead).await;
    let (mut lead, landing) = match joined {
        Joined::Asks(lead, landing) => (lead, landing),
        Joined::Found(found) => return found,
    };
    let (mut vector, mut explained) = (None, Explained::plain(tier, prepared.exact_only));
    if let Some(asking) = asking {
        let found = ahead.finish().await;
        let told = (&mut vector, &mut lead);
        match by_meaning(inner, (&prepared, found), asking, request, told).await {
            Ok(hit) => return Lookup::Hit(hit),
            Err(why_not) => explained = why_not,
        }
    } else {
        drop(ahead);
    }
    Lookup::Miss(Ticket {
        id: prepared.id,
        question: prepared.question,
        shared: prepared.shared,
        vector,
        tenant: request.tenant.clone(),
        tags: request.tags.clone(),
        epoch: prepared.epoch,
        config: Box::new(prepared.config),
        lead,
        landing,
        explained: Box::new(explained),
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
    let mut config = *config;
    let (text, exact_only) = match policy::admit(request, &config) {
        Admission::Bypass(reason) => return Err(reason),
        Admission::Exact(reason) => (None, reason),
        Admission::Brief(reason) => {
            config.ttl = config.time_bound_ttl.min(config.ttl);
            (None, reason)
        }
        Admission::Both(text) if inner.embedder.is_some() => (Some(text), "asked for"),
        Admission::Both(_) => (None, "no embedder"),
    };
    // before anything is read, so that a purge from here on applies to the answer
    let epoch = inner.epochs.epoch();
    let keys = &inner.keys;
    let shared = (config.scope == CacheScope::Shared).then(|| SharedIds {
        entry: keys.entry(request, Scope::Shared),
        partition: text
            .is_some()
            .then(|| keys.partition(request, Scope::Shared)),
    });
    let question = text.map(|text| Question {
        features: Arc::new(Features::of(&text)),
        partition: keys.partition(request, Scope::Tenant),
        text: text.into(),
    });
    Ok(Prepared {
        id: keys.entry(request, Scope::Tenant),
        question,
        exact_only,
        shared,
        epoch,
        config,
    })
}

/// The tenant's own answer, else everyone's.
fn exact(inner: &Inner, prepared: &Prepared) -> Option<Hit> {
    let now = unix_millis();
    let ttl = millis(prepared.config.ttl.get());
    let entry = {
        let mut shelf = inner.shelf.lock();
        let own = shelf.get(prepared.id, now, ttl);
        own.or_else(|| shelf.get(prepared.shared?.entry, now, ttl))?
    };
    Counters::add(&inner.counters.exact_hits);
    Some(hit(&entry, now))
}

/// A request's part among identical ones.
enum Joined {
    /// It asks upstream; others may follow it, and the owner of its key may wait to be told.
    Asks(Option<Lead>, Option<Landing>),
    /// It is served.
    Found(Lookup),
}

/// Leads the flight of identical requests, or reads its answer. If the leader fails before anything
/// came, one of its followers leads and the others follow that one.
async fn join(
    inner: &Arc<Inner>,
    (prepared, reads): (&Prepared, bool),
    request: &ChatRequest,
    ahead: &mut Ahead<'_>,
) -> Joined {
    let wants = Wants::of(request);
    for _ in 0..MAX_LETDOWNS {
        let whose = (&request.tenant, prepared.id, prepared.epoch);
        let follower = match inner.flights.join(whose, request.priority, wants) {
            Part::Alone => return Joined::Asks(None, None),
            // the flight before may have landed between the first look and the take-off
            Part::Leader(lead) => {
                if let Some(hit) = reads.then(|| exact(inner, prepared)).flatten() {
                    return Joined::Found(Lookup::Hit(hit));
                }
                let asked = take_off(inner, (prepared, reads, wants), request, lead);
                match ahead.beside(asked).await {
                    TakeOff::Follow(follower) => follower,
                    TakeOff::Lead(lead, landing) => return Joined::Asks(Some(lead), landing),
                    TakeOff::Held(entry) => {
                        Counters::add(&inner.counters.exact_hits);
                        return Joined::Found(Lookup::Hit(hit(&entry, unix_millis())));
                    }
                }
            }
            Part::Follower(_) if !reads => return Joined::Asks(None, None),
            Part::Follower(follower) => {
                follower.show();
                follower
            }
        };
        match follow(inner, prepared.id, follower, request).await {
            Followed::Served(found) => return Joined::Found(*found),
            Followed::AsksAlone => return Joined::Asks(None, None),
            Followed::LetDown => {}
        }
    }
    Joined::Asks(None, None)
}

/// Asks the owner of the key, where there are other nodes.
async fn take_off(
    inner: &Arc<Inner>,
    (prepared, reads, wants): (&Prepared, bool, Wants),
    request: &ChatRequest,
    lead: Lead,
) -> TakeOff {
    let Some(peers) = inner.peers() else {
        return TakeOff::Lead(lead, None);
    };
    let ask = FlyAsk {
        tenant: request.tenant.clone(),
        entry: prepared.id,
        everyone: prepared.shared.map(|shared| shared.entry),
        ttl_millis: millis(prepared.config.ttl.get()),
        epoch: prepared.epoch,
        priority: request.priority,
        refresh: !reads,
    };
    let left = Moment::now().until(request.deadline);
    let budget = prepared.config.attach_budget.get().min(left);
    flight::take_off(inner, peers, ask, (lead, wants, budget)).await
}

/// What became of a follower before its client was told anything.
enum Followed {
    Served(Box<Lookup>),
    /// Waiting longer, or for another, would not help it.
    AsksAlone,
    /// The leader failed.
    LetDown,
}

async fn follow(
    inner: &Inner,
    entry: EntryId,
    mut follower: Follower,
    request: &ChatRequest,
) -> Followed {
    let mut until = patience(request.deadline);
    loop {
        match follower.next_until(until).await {
            Some(Event::Begun(model)) if request.stream => {
                Counters::add(&inner.counters.exact_hits);
                Counters::add(&inner.counters.shared);
                let attached = Lookup::Attached(Attached {
                    entry,
                    model,
                    follower,
                    explained: in_flight(),
                });
                return Followed::Served(Box::new(attached));
            }
            // it can only come to an end now
            Some(Event::Begun(_)) => until = request.deadline,
            Some(Event::Landed(answer)) => {
                Counters::add(&inner.counters.exact_hits);
                let hit = Lookup::Hit(shared(inner, entry, answer, None));
                return Followed::Served(Box::new(hit));
            }
            Some(Event::Ended | Event::Recovered(_)) | None => return Followed::AsksAlone,
            Some(Event::Broken(_) | Event::Abandoned) => return Followed::LetDown,
            Some(Event::Piece(_)) => {} // only after it has begun, and only in a stream
        }
    }
}

/// The landed answer of `follower`'s flight, if it comes by `until`.
pub(super) async fn landed(mut follower: Follower, until: Moment) -> Option<Arc<StoredAnswer>> {
    loop {
        match follower.next_until(until).await? {
            Event::Landed(answer) => return Some(answer),
            Event::Begun(_) | Event::Piece(_) => {}
            Event::Recovered(_) | Event::Ended | Event::Broken(_) | Event::Abandoned => {
                return None;
            }
        }
    }
}

fn in_flight() -> Explained {
    Explained::plain(TierState::Normal, "such a request was in flight")
}

/// An answer from a request in flight; by meaning when there is a similarity.
pub(super) fn shared(
    inner: &Inner,
    entry: EntryId,
    answer: Arc<StoredAnswer>,
    similarity: Option<f32>,
) -> Hit {
    Counters::add(&inner.counters.shared);
    let age = Duration::from_millis(unix_millis().saturating_sub(answer.created * 1000));
    Hit {
        tier: similarity.map_or(Tier::Exact, |_| Tier::Semantic),
        similarity,
        entry,
        age,
        shared: true,
        answer,
        explained: in_flight(),
        pair: None,
    }
}

/// The stored answer would not have been cut off by the request's own limit.
pub(super) fn fits(answer: &StoredAnswer, max_tokens: Option<u64>) -> bool {
    let counted = answer.usage.completion_tokens;
    // without a count, a token is at least one byte
    let tokens = if counted > 0 {
        counted
    } else {
        answer.text.len() as u64
    };
    max_tokens.is_none_or(|most| tokens <= most)
}

/// A hit of the exact tier.
pub(super) fn hit(entry: &Entry, now: u64) -> Hit {
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
