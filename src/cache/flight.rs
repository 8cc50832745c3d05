//! Single flight: identical requests wait for the first of them instead of asking upstream again.
//! Where a route asks for it, so do requests of the same meaning: a leader says what it asks, and a
//! later one whose question the decision pipeline accepts as the same waits for it. It waits for a
//! leader that asks upstream, never for one that waits itself, so nobody waits in a circle.
//!
//! The first becomes the leader and holds a [`Lead`]; the others hold a [`Follower`] and wait until
//! the leader lands an answer, gives up, or their own time is over. A purge detaches every flight:
//! those who already wait are still served, later requests start anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::answer::{Question, StoredAnswer};
use super::guard::Features;
use super::index::dot;
use super::key::{EntryId, PartitionId};
use crate::types::{Moment, Priority};

/// Most flights at once; requests beyond it fly alone. Far above what the queues admit.
const MAX_FLIGHTS: usize = 65_536;

/// Most questions in flight by partition that others of the same meaning may join.
const MAX_ASKED: usize = 256;

/// Longest anybody waits for another request: its client may read its stream very slowly.
const MAX_WAIT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
enum State {
    Flying,
    Landed(Arc<StoredAnswer>),
    Abandoned,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    priority: Priority,
    state: watch::Receiver<State>,
}

/// What a leader asks.
#[derive(Debug)]
struct Announced {
    id: EntryId,
    number: u64,
    priority: Priority,
    vector: Arc<[f32]>,
    features: Arc<Features>,
    state: watch::Receiver<State>,
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
    /// Joins the flight of `id`, or starts it.
    pub(crate) fn join(self: &Arc<Self>, id: EntryId, priority: Priority) -> Part {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&id) {
            if priority < flight.priority {
                return Part::Alone; // it must not wait in a less urgent request's place
            }
            return Part::Follower(Follower {
                state: flight.state.clone(),
            });
        }
        if flights.len() >= MAX_FLIGHTS {
            return Part::Alone;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = watch::channel(State::Flying);
        flights.insert(
            id,
            Flight {
                number,
                priority,
                state: receiver,
            },
        );
        Part::Leader(Lead {
            flights: Arc::clone(self),
            id,
            number,
            sender,
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
        if let Some((similarity, other)) = nearest {
            return Some(SameMeaning {
                follower: Follower {
                    state: other.state.clone(),
                },
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
                state: lead.sender.subscribe(),
            });
            lead.announced = Some(partition);
        }
        None
    }

    /// Lets nobody join the flights that are under way.
    pub(crate) fn detach_all(&self) {
        self.flights.lock().clear();
        self.questions.lock().clear();
    }

    /// Lets nobody join the flight of `id`.
    pub(crate) fn detach(&self, id: EntryId) {
        self.flights.lock().remove(&id);
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

/// The leader's hold on its flight; dropping it tells the followers to go on their own.
#[derive(Debug)]
pub(crate) struct Lead {
    flights: Arc<Flights>,
    id: EntryId,
    number: u64,
    sender: watch::Sender<State>,
    /// Where others find its question.
    announced: Option<PartitionId>,
}

impl Lead {
    /// Gives the answer to every follower.
    pub(crate) fn land(self, answer: Arc<StoredAnswer>) {
        self.sender.send_replace(State::Landed(answer));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.end(self.id, self.number, self.announced);
        self.sender.send_if_modified(|state| {
            let flying = matches!(state, State::Flying);
            if flying {
                *state = State::Abandoned;
            }
            flying
        });
    }
}

/// One who waits.
#[derive(Debug)]
pub(crate) struct Follower {
    state: watch::Receiver<State>,
}

impl Follower {
    /// The leader's answer, or `None` when it gave up or `deadline` passed.
    pub(crate) async fn wait(mut self, deadline: Moment) -> Option<Arc<StoredAnswer>> {
        let landed = self.state.wait_for(|state| !matches!(state, State::Flying));
        let until = deadline.min(Moment::now() + MAX_WAIT);
        match tokio::time::timeout_at(until.to_instant(), landed).await {
            Ok(Ok(state)) => match &*state {
                State::Landed(answer) => Some(Arc::clone(answer)),
                State::Flying | State::Abandoned => None,
            },
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::types::Usage;

    const ID: EntryId = EntryId([7; 16]);

    fn answer() -> Arc<StoredAnswer> {
        Arc::new(StoredAnswer {
            text: "a".to_owned(),
            usage: Usage::default(),
            model: "m".into(),
            shown_model: "m".to_owned(),
            created: 0,
        })
    }

    fn leader(flights: &Arc<Flights>) -> Lead {
        let Part::Leader(lead) = flights.join(ID, Priority::Normal) else {
            panic!("expected to lead")
        };
        lead
    }

    fn follower(flights: &Arc<Flights>) -> Follower {
        let Part::Follower(follower) = flights.join(ID, Priority::Normal) else {
            panic!("expected to follow")
        };
        follower
    }

    fn in_(millis: u64) -> Moment {
        Moment::now() + Duration::from_millis(millis)
    }

    #[tokio::test]
    async fn a_leader_that_gives_up_releases_its_followers_without_an_answer() {
        let flights = Arc::new(Flights::default());
        let lead = leader(&flights);
        let waiting = follower(&flights);
        drop(lead);
        assert!(waiting.wait(in_(10_000)).await.is_none());
        drop(leader(&flights));
    }

    #[tokio::test]
    async fn a_follower_waits_no_longer_than_its_own_deadline() {
        let flights = Arc::new(Flights::default());
        let _lead = leader(&flights);
        assert!(follower(&flights).wait(in_(20)).await.is_none());
    }

    #[tokio::test]
    async fn an_old_leader_does_not_end_a_flight_started_after_a_purge() {
        let flights = Arc::new(Flights::default());
        let old = leader(&flights);
        flights.detach_all();
        let _new = leader(&flights);
        drop(old);
        let _still_flying = follower(&flights);
    }

    #[tokio::test]
    async fn every_follower_gets_the_landed_answer() {
        let flights = Arc::new(Flights::default());
        let lead = leader(&flights);
        let (one, two) = (follower(&flights), follower(&flights));
        lead.land(answer());
        assert_eq!(one.wait(in_(10_000)).await.unwrap().text, "a");
        assert_eq!(two.wait(in_(10_000)).await.unwrap().text, "a");
    }
}
