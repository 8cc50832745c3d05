//! Single flight: identical requests read the answer of the first of them instead of asking upstream
//! again. Where a route asks for it, so do requests of the same meaning: a leader says what it asks,
//! and a later one whose question the decision pipeline accepts as the same waits for its whole
//! answer. It waits for a leader that asks upstream, never for one that waits itself, so nobody waits
//! in a circle.
//!
//! The first becomes the leader and holds a [`Lead`]; the others hold a [`Follower`] each and read what
//! the leader brings, from the beginning and as it comes. A purge detaches every flight: those who
//! are attached are still served, later requests start anew.

mod feed;
mod pieces;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::answer::Question;
use super::guard::Features;
use super::index::dot;
use super::key::{EntryId, PartitionId};
use crate::types::{Moment, Priority, TenantId};
use feed::Flown;
pub(crate) use feed::{Follower, Lead};
pub(crate) use pieces::{Break, Event, Wants};

/// Most flights at once; requests beyond it fly alone. Far above what the queues admit.
const MAX_FLIGHTS: usize = 65_536;

/// Most questions in flight by partition that others of the same meaning may join.
const MAX_ASKED: usize = 256;

/// Longest anybody waits for another request's answer to begin: it may stand in a queue or try a
/// model that hangs, where a fresh try may be luckier.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Leaders in a row that may let a request down before it asks for itself. One at a time takes over
/// from a leader that failed, and by then breakers know what is broken.
pub(crate) const MAX_LETDOWNS: usize = 3;

#[derive(Debug)]
struct Flight {
    number: u64,
    /// Whose answer it brings.
    tenant: TenantId,
    /// Purges its request had seen: who has seen more does not wait for it.
    epoch: u64,
    priority: Priority,
    flown: Arc<Flown>,
}

/// What a leader asks.
#[derive(Debug)]
struct Announced {
    id: EntryId,
    number: u64,
    priority: Priority,
    vector: Arc<[f32]>,
    features: Arc<Features>,
    flown: Arc<Flown>,
}

/// A question on its way upstream unless somebody asks the same already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) question: &'a Question,
    pub(crate) vector: &'a Arc<[f32]>,
    pub(crate) priority: Priority,
}

/// A flight of the same meaning.
#[derive(Debug)]
pub(crate) struct SameMeaning {
    pub(crate) follower: Follower,
    /// The entry its answer becomes.
    pub(crate) entry: EntryId,
    /// Cosine of the two questions.
    pub(crate) similarity: f32,
}

/// All requests in flight, by key.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    flights: Mutex<HashMap<EntryId, Flight>>,
    questions: Mutex<HashMap<PartitionId, Vec<Announced>>>,
    next: AtomicU64,
    /// Bytes of pieces all flights keep.
    kept: Arc<AtomicUsize>,
}

/// A request's part in its flight.
#[derive(Debug)]
pub(crate) enum Part {
    /// Ask upstream, others wait.
    Leader(Lead),
    /// Someone already asks.
    Follower(Follower),
    /// Too many flights, or the leader is less urgent: ask upstream, nobody waits.
    Alone,
}

impl Flights {
    /// Joins the flight of `id`, or starts it. A flight that cannot be read from the beginning any
    /// more, or that everyone has left, is replaced. Nobody joins another tenant's, whatever id they
    /// come with.
    pub(crate) fn join(
        self: &Arc<Self>,
        (tenant, id, epoch): (&TenantId, EntryId, u64),
        priority: Priority,
        wants: Wants,
    ) -> Part {
        let mut flights = self.flights.lock();
        match flights.get(&id) {
            Some(flight) if flight.tenant != *tenant => return Part::Alone,
            Some(flight) if flight.epoch < epoch => {}
            // it must not wait in a less urgent request's place
            Some(flight) if priority < flight.priority => return Part::Alone,
            Some(flight) => {
                if let Some(follower) = flight.flown.follow(wants) {
                    return Part::Follower(follower);
                }
            }
            None if flights.len() >= MAX_FLIGHTS => return Part::Alone,
            None => {}
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let flown = Flown::new(&self.kept);
        let flight = Flight {
            number,
            tenant: tenant.clone(),
            epoch,
            priority,
            flown: Arc::clone(&flown),
        };
        flights.insert(id, flight);
        Part::Leader(Lead {
            flights: Arc::clone(self),
            id,
            number,
            flown,
            announced: None,
        })
    }

    /// The flight whose question is nearest among those `same` accepts; without one, `lead` is
    /// announced, so that later questions find it. Both under one lock, so that of two equal
    /// questions at once one waits for the other.
    pub(crate) fn join_by_meaning(
        &self,
        lead: &mut Lead,
        asked: &Asked<'_>,
        same: impl Fn(f32, &Features) -> bool,
    ) -> Option<SameMeaning> {
        let partition = asked.question.partition;
        let mut questions = self.questions.lock();
        let others = questions.get(&partition).map_or(&[][..], Vec::as_slice);
        let nearest = others
            .iter()
            // it must not wait in a less urgent request's place
            .filter(|other| asked.priority >= other.priority)
            .filter(|other| other.vector.len() == asked.vector.len())
            .map(|other| (dot(&other.vector, asked.vector), other))
            .filter(|(similarity, other)| same(*similarity, &other.features))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let follower = nearest.and_then(|(_, other)| other.flown.follow(Wants::Whole));
        if let Some(((similarity, other), follower)) = nearest.zip(follower) {
            return Some(SameMeaning {
                follower,
                entry: other.id,
                similarity,
            });
        }
        let in_partition = questions.entry(partition).or_default();
        if in_partition.len() < MAX_ASKED {
            in_partition.push(Announced {
                id: lead.id,
                number: lead.number,
                priority: asked.priority,
                vector: Arc::clone(asked.vector),
                features: Arc::clone(&asked.question.features),
                flown: Arc::clone(&lead.flown),
            });
            lead.announced = Some(partition);
        }
        None
    }

    /// Lets nobody join the flights that are under way. All of them, whatever was called off: a
    /// flight may land with the answer of another one of the same meaning.
    pub(crate) fn detach_all(&self) {
        self.flights.lock().clear();
        self.questions.lock().clear();
    }

    fn end(&self, id: EntryId, number: u64, announced: Option<PartitionId>) {
        if let Some(partition) = announced {
            let mut questions = self.questions.lock();
            if let Some(in_partition) = questions.get_mut(&partition) {
                in_partition.retain(|asked| asked.number != number);
                if in_partition.is_empty() {
                    questions.remove(&partition);
                }
            }
        }
        let mut flights = self.flights.lock();
        if flights
            .get(&id)
            .is_some_and(|flight| flight.number == number)
        {
            flights.remove(&id);
        }
    }
}

/// The latest moment at which a request with this deadline waits for an answer to begin.
pub(crate) fn patience(deadline: Moment) -> Moment {
    deadline.min(Moment::now() + MAX_WAIT)
}

#[cfg(test)]
mod tests;
