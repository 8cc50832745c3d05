//! A request that leads a flight: a task of its own reads the upstream, so that the answer goes on
//! while anybody reads it, whoever asked first, and no slow client holds up the others.
//!
//! When the last reader has left, the upstream is aborted. The leader's deadline stays the flight's:
//! it was admitted to its queue and its model under that.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use super::account::Account;
use super::candidates::{Asked, Walk};
use super::delivery::{Gathered, broken_off};
use super::engine::Inner;
use super::reading::{Books, Reading, Seat};
use super::recovery::{Begun, Carrier, Piece, Recovered};
use super::reply::{Reply, ReplyBody, ReplyStream, StreamEnd};
use super::state::State;
use super::story::{book, candidate};
use crate::cache::{Break, Lead, Ticket, Wants};
use crate::error::{Error, Kind};
use crate::model::Attempted;
use crate::provider::ChunkStream;
use crate::routing::Plan;
use crate::types::{ChatRequest, Completion, ModelName, Moment};

/// How long answers that clients of other nodes read go on while the node stops.
const FOR_OTHERS: Duration = Duration::from_secs(2);

/// Upstreams being read for those who follow them; as many as requests lead.
#[derive(Debug, Default)]
pub(super) struct Runs {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Runs {
    /// Gives up what is under way. The doors have ended by now: only clients of other nodes may
    /// still read, and for them a moment is waited.
    pub(super) async fn stop(&self) {
        self.tasks.close();
        _ = tokio::time::timeout(FOR_OTHERS, self.tasks.wait()).await;
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// What a leader goes upstream with.
pub(super) struct Leading {
    pub(super) state: Arc<State>,
    pub(super) plan: Plan,
    pub(super) ticket: Ticket,
    pub(super) lead: Lead,
}

/// What the leader's client hears first.
enum Start {
    Whole(Completion),
    Stream,
}

impl Inner {
    /// Asks upstream in a task of its own and answers the leader's client.
    pub(super) async fn lead(
        self: &Arc<Self>,
        request: ChatRequest,
        leading: Leading,
        account: Account,
    ) -> Result<Reply, Error> {
        let (include_usage, span) = (request.include_usage, account.span().clone());
        let books = Books::new(account);
        let wants = Wants::of(&request);
        let seat = Seat::new(books.clone(), leading.lead.own_reader(wants));
        let end = Arc::new(Mutex::new(StreamEnd::default()));
        let (tells, told) = oneshot::channel();
        let run = Run {
            inner: Arc::clone(self),
            request,
            leading,
            books,
            end: Arc::clone(&end),
        };
        let stop = self.runs.stop.clone();
        let running = async move {
            tokio::select! {
                () = Box::pin(run.go(tells)) => {}
                () = stop.cancelled() => {}
            }
        };
        self.runs.tasks.spawn(running.instrument(span));
        let start = told.await.unwrap_or_else(|_| Err(stopping()));
        match start {
            Ok(Start::Whole(whole)) => {
                let mut account = seat.books();
                let meta = account.meta();
                account.settle(Ok(()));
                Ok(Reply {
                    meta,
                    body: ReplyBody::Complete(whole),
                })
            }
            Ok(Start::Stream) => {
                let meta = seat.books().meta();
                let chunks = Reading::leading(seat, include_usage, Arc::clone(&end)).run();
                Ok(Reply {
                    meta,
                    body: ReplyBody::Stream(ReplyStream::new(chunks, end)),
                })
            }
            Err(error) => {
                seat.books().settle(Err(&error));
                Err(error)
            }
        }
    }
}

/// One upstream being read. Whatever it knows is in the books before anybody hears of an end.
struct Run {
    inner: Arc<Inner>,
    request: ChatRequest,
    leading: Leading,
    books: Books,
    end: Arc<Mutex<StreamEnd>>,
}

impl Run {
    async fn go(self, tells: oneshot::Sender<Result<Start, Error>>) {
        let Leading {
            state, plan, lead, ..
        } = &self.leading;
        let mut walk = Walk::default();
        let walked = tokio::select! {
            biased;
            () = lead.deserted() => return,
            walked = self.inner.walk((state, plan), &self.request, &mut walk) => walked,
        };
        self.books.lock().walked(&walk);
        let (model, attempted) = match walked {
            Ok(answering) => answering,
            Err(error) => {
                drop(self); // books and flight are closed when the client hears of it
                _ = tells.send(Err(error));
                return;
            }
        };
        self.books.lock().answering(&model, (state, plan));
        // a client that has left hears nothing, and the others are told by the flight
        match attempted {
            Attempted::Whole(whole, _) => {
                self.whole(&whole, model);
                _ = tells.send(Ok(Start::Whole(whole)));
            }
            Attempted::Stream(chunks, _) => {
                lead.begin(&model);
                _ = tells.send(Ok(Start::Stream));
                self.relay(chunks, (model, walk.asked)).await;
            }
        }
    }

    fn whole(self, whole: &Completion, model: ModelName) {
        book(whole, &self.request, &mut self.books.lock());
        drop(self.books);
        let Leading { ticket, lead, .. } = self.leading;
        let answer = candidate(whole, model);
        self.inner.cache.insert(ticket.leading(lead), answer);
    }

    async fn relay(self, chunks: ChunkStream, (model, asked): (ModelName, Asked)) {
        let lead = &self.leading.lead;
        let began = Moment::now();
        let mut gathered = Gathered::new(model.clone(), true);
        let begun = Begun {
            state: Arc::clone(&self.leading.state),
            plan: self.leading.plan.clone(),
            request: self.request.clone(),
            asked,
            model,
            chunks,
            span: Span::current(),
        };
        let mut carrier = Carrier::new(Arc::clone(&self.inner), begun);
        let ended = loop {
            let next = tokio::select! {
                biased;
                () = lead.deserted() => return,
                next = carrier.next() => next,
            };
            match next {
                Some(Ok(Piece::Chunk(chunk))) => {
                    if let Some(usage) = gathered.read(&chunk) {
                        self.end.lock().cost_usd = self.books.lock().used(usage);
                    }
                    lead.piece(chunk).await;
                }
                Some(Ok(Piece::Recovered(recovered))) => {
                    gathered.recovered(&recovered.to);
                    self.recovered(&recovered);
                }
                Some(Err(failure)) => break Err(broken_off(gathered.model(), failure)),
                None => break Ok(()),
            }
        };
        let mut books = self.books.lock();
        books.streamed_for(Moment::now().since(began));
        if ended.is_ok() {
            gathered.book(self.request.features.prompt_tokens, &mut books, &self.end);
        }
        drop(books);
        drop(self.books);
        let Leading { ticket, lead, .. } = self.leading;
        match (ended, gathered.candidate()) {
            (Ok(()), Some(answer)) => {
                self.inner.cache.insert(ticket.leading(lead), answer);
            }
            (Ok(()), None) => lead.end(),
            (Err(error), _) => lead.broke(Break {
                kind: error.kind,
                message: error.message,
            }),
        }
    }
}

impl Run {
    /// Another attempt carries it on: the followers read on and are told, nobody joins, and nothing
    /// is kept.
    fn recovered(&self, recovered: &Recovered) {
        let mut books = self.books.lock();
        books.recovered(recovered, &self.leading.state);
        drop(books);
        self.leading.lead.recovered(&recovered.to);
    }
}

fn stopping() -> Error {
    Error::new(Kind::Unavailable, "the node is stopping")
}

#[cfg(test)]
mod tests;
