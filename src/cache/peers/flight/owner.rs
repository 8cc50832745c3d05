//! On the owner of an exact key: who asks is told what there is, who makes the answer is heard.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Fed, Mark, TAKEN_WITHIN, WORDS, Words, feed, finish, outward};
use crate::cache::Inner;
use crate::cache::flight::{Event, Follower, Lead, Part, Wants};
use crate::cache::peers::Peers;
use crate::cache::peers::words::{FlyAsk, FlyWord, Parcel, Told};
use crate::cache::stats::Counters;
use crate::types::unix_millis;

/// Answers one who asks for the answer to an exact key.
pub(crate) fn fly(inner: &Arc<Inner>, ask: FlyAsk, told: BoxStream<'static, Told>) -> Words {
    let one = |word| futures::stream::once(std::future::ready(word)).boxed();
    let Some(peers) = inner.peers() else {
        return one(FlyWord::Alone);
    };
    if peers.is_stopping() {
        return one(FlyWord::Alone);
    }
    if inner.epochs.epoch() < ask.epoch {
        Counters::add(&peers.counters.behind);
        return one(FlyWord::Alone);
    }
    if !ask.refresh
        && let Some(parcel) = held(inner, peers, &ask)
    {
        return one(FlyWord::Held(parcel));
    }
    // an answer made by one who knows less of what was called off is not for those who know more
    if ask.epoch < inner.epochs.epoch() {
        return one(FlyWord::Alone);
    }
    let mark = Mark {
        tenant: ask.tenant.clone(),
        entry: ask.entry,
        epoch: ask.epoch,
    };
    let whose = (&ask.tenant, ask.entry, ask.epoch);
    match inner.flights.join(whose, ask.priority, Wants::Pieces) {
        Part::Alone => one(FlyWord::Alone),
        Part::Follower(_) if ask.refresh => one(FlyWord::Alone),
        Part::Follower(follower) => {
            follower.show();
            let (words, out) = mpsc::channel(WORDS);
            peers.run(inner, tell(Arc::clone(inner), mark, follower, words));
            one(FlyWord::Follow).chain(ReceiverStream::new(out)).boxed()
        }
        Part::Leader(lead) => {
            // it may have landed between the first look and the take-off
            if !ask.refresh
                && let Some(parcel) = held(inner, peers, &ask)
            {
                return one(FlyWord::Held(parcel));
            }
            let (words, out) = mpsc::channel(WORDS);
            peers.run(inner, hear(Arc::clone(inner), mark, lead, (told, words)));
            one(FlyWord::Lead).chain(ReceiverStream::new(out)).boxed()
        }
    }
}

/// The stored answer, the tenant's own first.
fn held(inner: &Inner, peers: &Peers, ask: &FlyAsk) -> Option<Parcel> {
    let now = unix_millis();
    let entry = {
        let mut shelf = inner.shelf.lock();
        let own = shelf.get(ask.entry, now, ask.ttl_millis);
        let own = own.filter(|entry| entry.tenant == ask.tenant && entry.witness.is_none());
        own.or_else(|| {
            let shared = shelf.get(ask.everyone?, now, ask.ttl_millis)?;
            shared.witness.is_some().then_some(shared)
        })?
    };
    peers.pack(inner, &entry, None)
}

/// Tells a follower on another node what its flight brings.
async fn tell(inner: Arc<Inner>, mark: Mark, mut follower: Follower, words: mpsc::Sender<FlyWord>) {
    let Some(peers) = inner.peers() else { return };
    loop {
        let event = tokio::select! {
            event = follower.next() => event,
            () = words.closed() => return,
        };
        let ends = !matches!(
            event,
            Event::Begun(_) | Event::Piece(_) | Event::Recovered(_)
        );
        let Some(told) = outward(&inner, peers, &mark, event) else {
            return;
        };
        let sent = words.send_timeout(FlyWord::Told(told), TAKEN_WITHIN).await;
        if ends || sent.is_err() {
            return;
        }
    }
}

/// Feeds a flight on the owner with what the one who makes the answer tells of it.
async fn hear(
    inner: Arc<Inner>,
    mark: Mark,
    lead: Lead,
    (mut told, words): (BoxStream<'static, Told>, mpsc::Sender<FlyWord>),
) {
    let mut readers = 0;
    let lead = loop {
        tokio::select! {
            biased; // what was told before the stream ended counts
            word = told.next() => {
                let Some(word) = word else { return };
                match feed(&inner, &mark, Some(word), &lead).await {
                    Fed::On => {}
                    Fed::Over(end) => break (lead, end),
                }
            }
            now = lead.readers_beside(readers) => {
                readers = now;
                if words.send_timeout(FlyWord::Readers(now), TAKEN_WITHIN).await.is_err() {
                    return;
                }
            }
            // the one who makes it is gone
            () = words.closed() => return,
        }
    };
    finish(lead);
}
