//! A running answer on its way to one client that reads a flight: the leader's own, or one that has
//! attached. Usage is stripped unless asked for, and the end accounted for, as in `delivery`.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use parking_lot::{Mutex, MutexGuard};

use super::account::Account;
use super::delivery::for_client;
use super::reply::StreamEnd;
use crate::cache::{Break, Event, Follower};
use crate::error::{Error, Kind};
use crate::types::{Chunk, Moment};

/// An account that two keep: the task that reads the upstream books tokens and time, the client's
/// side how it ended for the client. It is closed when both are done.
#[derive(Clone)]
pub(super) struct Books(Arc<Mutex<Account>>);

impl Books {
    pub(super) fn new(account: Account) -> Self {
        Books(Arc::new(Mutex::new(account)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Account> {
        self.0.lock()
    }
}

/// A client's place in a flight and in its books. Dropped before it is settled, the client has left.
pub(super) struct Seat {
    books: Books,
    follower: Follower,
}

impl Seat {
    pub(super) fn new(books: Books, follower: Follower) -> Self {
        Seat { books, follower }
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Account> {
        self.books.lock()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.books.lock().client_left();
    }
}

/// One client's reading.
pub(super) struct Reading {
    seat: Seat,
    include_usage: bool,
    /// What the client is told after the last chunk.
    end: Arc<Mutex<StreamEnd>>,
    /// For one who attached: it does not pay, and nobody else watches its time.
    deadline: Option<Moment>,
    /// The answer's end has been passed on.
    told_end: bool,
}

impl Reading {
    /// The leader's own: the task that reads the upstream pays and watches the time.
    pub(super) fn leading(seat: Seat, include_usage: bool, end: Arc<Mutex<StreamEnd>>) -> Self {
        Reading {
            seat,
            include_usage,
            end,
            deadline: None,
            told_end: false,
        }
    }

    /// One who attached, and stops waiting at `deadline`.
    pub(super) fn attached(mut self, deadline: Moment) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The chunks the client sees. An `Err` is the last item.
    pub(super) fn run(self) -> BoxStream<'static, Result<Chunk, Error>> {
        stream::unfold(Some(self), |reading| async move {
            let mut reading = reading?;
            loop {
                let why = match reading.next().await {
                    Some(Event::Begun(_)) => continue,
                    Some(Event::Piece(chunk)) => match reading.pass(chunk) {
                        Some(chunk) => return Some((Ok(chunk), Some(reading))),
                        None => continue,
                    },
                    Some(Event::Recovered(model)) => {
                        reading.end.lock().recovered = Some(model);
                        continue;
                    }
                    Some(Event::Landed(_) | Event::Ended) => {
                        reading.seat.books().settle(Ok(()));
                        return None;
                    }
                    Some(Event::Broken(why)) => Some(why),
                    Some(Event::Abandoned) => None,
                    None => Some(Arc::new(out_of_time())),
                };
                return Some((Err(reading.broke(why.as_deref())), None));
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Event> {
        match self.deadline {
            Some(deadline) => self.seat.follower.next_until(deadline).await,
            None => Some(self.seat.follower.next().await),
        }
    }

    fn pass(&mut self, chunk: Chunk) -> Option<Chunk> {
        self.told_end |= chunk.tap.finish.is_some();
        if let Some(usage) = chunk.tap.usage.filter(|_| self.deadline.is_some()) {
            self.seat.books().told(usage);
        }
        for_client(chunk, self.include_usage)
    }

    fn broke(&self, why: Option<&Break>) -> Error {
        let error = match why {
            Some(Break { kind, message }) => Error::new(*kind, message.clone()),
            None => Error::new(Kind::UpstreamFailed, "the answer broke off"),
        };
        self.seat.books().settle(Err(&error));
        error
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // a reader that leaves after the end has been told is no cancellation
        if self.told_end {
            self.seat.books().settle(Ok(()));
        }
    }
}

fn out_of_time() -> Break {
    Break {
        kind: Kind::DeadlineExceeded,
        message: "the answer broke off (the request's time ran out)".to_owned(),
    }
}
