//! The two ends of a flight: the [`Lead`] brings the answer, [`Follower`]s read it.
//!
//! Whoever has the answer feeds a lead, be it an upstream's stream or another node's:
//!
//! ```text
//! begin(model), piece(chunk)…, recovered(model)…, then land(answer) | end() | broke(why); dropped early = given up
//! ```

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use parking_lot::Mutex;

use super::super::answer::StoredAnswer;
use super::super::key::{EntryId, PartitionId};
use super::Flights;
use super::pieces::{Break, End, Event, Pieces, Wakes, Wants, size_of};
use crate::error::Kind;
use crate::telemetry::propagation::{self, Place};
use crate::types::{Chunk, ModelName, Moment};

/// What leader and followers share.
pub(super) struct Flown {
    pieces: Mutex<Pieces>,
    /// Bytes all flights keep.
    together: Arc<AtomicUsize>,
    /// The span that began it: of the request that makes the answer; where it is made elsewhere, of
    /// the first one here that waits for it, which points on.
    made_by: Option<Place>,
}

impl Flown {
    pub(super) fn new(together: &Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Flown {
            pieces: Mutex::default(),
            together: Arc::clone(together),
            made_by: propagation::here(),
        })
    }

    /// A reader from the beginning; `None` where that is not possible any more.
    pub(super) fn follow(self: &Arc<Self>, wants: Wants) -> Option<Follower> {
        let (reader, wakes) = {
            let mut pieces = self.pieces.lock();
            (pieces.attach(wants)?, pieces.crowd())
        };
        wake(wakes);
        Some(Follower {
            flown: Arc::clone(self),
            reader,
        })
    }

    fn tell(&self, change: impl FnOnce(&mut Pieces) -> Wakes) {
        let wakes = change(&mut self.pieces.lock());
        wake(wakes);
    }

    /// Keeps the piece if there is room for it; else the waker is woken when there may be.
    fn offer(&self, piece: &mut Option<Chunk>, waker: &std::task::Waker) -> bool {
        let Some(size) = piece.as_ref().map(size_of) else {
            return true;
        };
        let mut pieces = self.pieces.lock();
        let before = pieces.bytes();
        let others = self.together.load(Ordering::Relaxed).saturating_sub(before);
        let (room, mut wakes) = pieces.make_room(size, others);
        match piece.take_if(|_| room) {
            Some(piece) => wakes.extend(pieces.push(piece)),
            None => pieces.feeder_waits(waker, true),
        }
        let after = pieces.bytes();
        if after >= before {
            self.together.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.together.fetch_sub(before - after, Ordering::Relaxed);
        }
        drop(pieces);
        wake(wakes);
        room
    }
}

impl Drop for Flown {
    fn drop(&mut self) {
        let bytes = self.pieces.get_mut().bytes();
        self.together.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for Flown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flown").finish_non_exhaustive()
    }
}

fn wake(wakes: Wakes) {
    for waker in wakes {
        waker.wake();
    }
}

/// The leader's hold on its flight. Dropped before it has said how the answer ended, it tells the
/// followers to go on their own, or that the answer broke off if something came already.
#[derive(Debug)]
pub(crate) struct Lead {
    pub(super) flights: Arc<Flights>,
    pub(super) id: EntryId,
    pub(super) number: u64,
    pub(super) flown: Arc<Flown>,
    /// Where others find its question.
    pub(super) announced: Option<PartitionId>,
}

impl Lead {
    /// A place among the readers for the leader's own client. From now on the flight is deserted
    /// when its last reader leaves.
    pub(crate) fn own_reader(&self, wants: Wants) -> Follower {
        let reader = self.flown.pieces.lock().attach_leader(wants);
        Follower {
            flown: Arc::clone(&self.flown),
            reader,
        }
    }

    /// A reader of an answer that another node makes, the first here. When the last one leaves, the
    /// flight is deserted.
    pub(crate) fn first_reader(&self, wants: Wants) -> Option<Follower> {
        let reader = self.flown.pieces.lock().attach_first(wants)?;
        Some(Follower {
            flown: Arc::clone(&self.flown),
            reader,
        })
    }

    /// One who hears how the flight ends, to tell other nodes.
    pub(crate) fn listener(&self) -> Option<Follower> {
        self.flown.follow(Wants::Whole)
    }

    /// How many read, once it is another number than `known`.
    pub(crate) async fn readers_beside(&self, known: u32) -> u32 {
        poll_fn(|context| {
            let mut pieces = self.flown.pieces.lock();
            let now = u32::try_from(pieces.readers()).unwrap_or(u32::MAX);
            if now != known {
                return Poll::Ready(now);
            }
            pieces.crowd_waits(context.waker());
            Poll::Pending
        })
        .await
    }

    /// The answer begins, given by this model; call it before the first piece.
    pub(crate) fn begin(&self, model: &ModelName) {
        self.flown.tell(|pieces| pieces.begin(model.clone()));
    }

    /// From here on this model carries the answer on. Those who read it are told; nobody joins any
    /// more, for an answer of two is for nobody who has not asked by now.
    pub(crate) fn recovered(&self, model: &ModelName) {
        self.flights.end(self.id, self.number, self.announced);
        self.flown.tell(|pieces| pieces.recover(model.clone()));
    }

    /// Something has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.flown.pieces.lock().has_begun()
    }

    /// The next piece. Waits only beyond the limit on what is kept, for the reader that sets the
    /// pace; dropped while it waits, the piece is lost and the answer must not be called whole.
    pub(crate) async fn piece(&self, piece: Chunk) {
        let mut piece = Some(piece);
        poll_fn(
            |context| match self.flown.offer(&mut piece, context.waker()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            },
        )
        .await;
    }

    /// Gives the whole answer to every follower.
    pub(crate) fn land(self, answer: Arc<StoredAnswer>) {
        self.flown.tell(|pieces| pieces.finish(End::Landed(answer)));
    }

    /// The answer is whole, but may not be reused as a whole.
    pub(crate) fn end(self) {
        self.flown.tell(|pieces| pieces.finish(End::Ended));
    }

    /// The answer broke off.
    pub(crate) fn broke(self, why: Break) {
        self.flown.tell(|pieces| {
            let end = match pieces.has_begun() {
                true => End::Broken(Arc::new(why)),
                false => End::Abandoned,
            };
            pieces.finish(end)
        });
    }

    /// Resolves when nobody reads any more: the answer need not be brought.
    pub(crate) async fn deserted(&self) {
        poll_fn(|context| {
            let mut pieces = self.flown.pieces.lock();
            if pieces.is_deserted() {
                return Poll::Ready(());
            }
            pieces.feeder_waits(context.waker(), false);
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.end(self.id, self.number, self.announced);
        self.flown.tell(|pieces| {
            let end = match pieces.has_begun() {
                true => End::Broken(Arc::new(given_up())),
                false => End::Abandoned,
            };
            pieces.finish(end)
        });
    }
}

fn given_up() -> Break {
    Break {
        kind: Kind::UpstreamFailed,
        message: "the answer broke off (it was given up)".to_owned(),
    }
}

/// One who reads a flight, from the beginning and at its own pace. Dropping it leaves the flight.
#[derive(Debug)]
pub(crate) struct Follower {
    flown: Arc<Flown>,
    reader: u64,
}

impl Follower {
    /// What comes next; after an end, that end again. Cancel-safe.
    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "two at once would take each other's pieces and waker"
    )]
    pub(crate) async fn next(&mut self) -> Event {
        poll_fn(|context| {
            let mut pieces = self.flown.pieces.lock();
            let (event, feeder) = pieces.read(self.reader, context.waker());
            drop(pieces);
            wake(feeder.into_iter().collect());
            event.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The same, or `None` once `until` has come.
    pub(crate) async fn next_until(&mut self, until: Moment) -> Option<Event> {
        let next = tokio::time::timeout_at(until.to_instant(), self.next());
        next.await.ok()
    }

    /// Points the current span at the request it waits with: that one's trace has the upstream, or
    /// points at the one that has.
    pub(crate) fn show(&self) {
        if let Some(place) = &self.flown.made_by {
            propagation::point_at(place);
        }
    }

    /// Another reader of the same flight, from the beginning; `None` where that is not possible any
    /// more.
    pub(crate) fn beside(&self, wants: Wants) -> Option<Follower> {
        self.flown.follow(wants)
    }

    /// The readers of this flight.
    pub(crate) fn crowd(&self) -> Crowd {
        Crowd(Arc::clone(&self.flown))
    }
}

/// The readers of a flight, to be watched by one.
#[derive(Debug)]
pub(crate) struct Crowd(Arc<Flown>);

impl Crowd {
    /// At most `most` read and the leader's client has gone.
    pub(crate) fn has_left(&self, most: usize) -> bool {
        self.0.pieces.lock().has_left(most)
    }

    /// Resolves when at most `most` read and the leader's client has gone.
    pub(crate) async fn left(&self, most: usize) {
        poll_fn(|context| {
            let mut pieces = self.0.pieces.lock();
            if pieces.has_left(most) {
                return Poll::Ready(());
            }
            pieces.crowd_waits(context.waker());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.flown.tell(|pieces| pieces.leave(self.reader));
    }
}
