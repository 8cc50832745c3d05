//! Single flight over many nodes: the owner of an exact key knows who is making its answer.
//!
//! ```text
//!   asks                     owner of the key                     makes it
//!    │  ask ───────────────────► │ ◄─────────────────────────── ask  │
//!    │ ◄─ held | follow | alone  │  lead ──────────────────────────► │
//!    │ ◄─────── begun, pieces ── │ ◄── begun, pieces, landed ──────  │
//!    │                           │  readers ───────────────────────► │
//! ```
//!
//! On every node an answer that comes from elsewhere feeds a flight of its own, so that requests on
//! one node ask the owner once. Whoever makes the answer goes on for as long as anybody reads it
//! anywhere; its stream ending early says that it has given up.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::Peers;
use super::link::Unanswered;
use super::words::{FlyAsk, FlyWord, Parcel, Told};
use super::{piece, serve};
use crate::cache::Inner;
use crate::cache::answer::StoredAnswer;
use crate::cache::entry::Entry;
use crate::cache::flight::{Event, Follower, Lead, Part, Wants};
use crate::cache::key::EntryId;
use crate::cache::stats::Counters;
use crate::types::{Moment, TenantId, unix_millis};

/// Words on their way to a node that reads slowly.
const WORDS: usize = 64;
/// How often the one who makes an answer is told how many read it on the owner, and looks whether
/// anybody still reads it.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Looks in a row that found nobody: one who has just come to the owner is not known here yet.
const LOOKS: u32 = 3;
/// For a stream's far end to take a word.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

type Words = BoxStream<'static, FlyWord>;

/// Whose answer to which request.
#[derive(Clone, Debug)]
struct Mark {
    tenant: TenantId,
    entry: EntryId,
}

// ---------------------------------------------------------------- on the owner

/// Answers one who asks for the answer to an exact key.
pub(crate) fn fly(inner: &Arc<Inner>, ask: FlyAsk, told: BoxStream<'static, Told>) -> Words {
    let one = |word| futures::stream::once(std::future::ready(word)).boxed();
    let Some(peers) = inner.peers() else {
        return one(FlyWord::Alone);
    };
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
    };
    let whose = (&ask.tenant, ask.entry);
    match inner.flights.join(whose, ask.priority, Wants::Pieces) {
        Part::Alone => one(FlyWord::Alone),
        Part::Follower(_) if ask.refresh => one(FlyWord::Alone),
        Part::Follower(follower) => {
            let (words, out) = mpsc::channel(WORDS);
            inner
                .tasks
                .spawn(tell(Arc::clone(inner), mark, follower, words));
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
            inner
                .tasks
                .spawn(hear(Arc::clone(inner), mark, lead, (told, words)));
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
        let ends = !matches!(event, Event::Begun(_) | Event::Piece(_));
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
    let mut ticks = tokio::time::interval(LOOK_EVERY);
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
            _ = ticks.tick() => {
                let now = lead.readers();
                if now != readers && words.try_send(FlyWord::Readers(now)).is_ok() {
                    readers = now;
                }
            }
            // the one who makes it is gone
            () = words.closed() => return,
        }
    };
    finish(lead);
}

// ---------------------------------------------------------------- on the one who asks

/// What the owner said to a request that found nothing on its own node.
pub(crate) enum TakeOff {
    /// Stored there.
    Held(Arc<Entry>),
    /// Somebody makes it: the flight of this node is fed with it, and the request follows that.
    Follow(Follower),
    /// Make it; what is stored in the end is told through the sender.
    Lead(Lead, Option<Landing>),
}

/// Where the entry is handed over that an answer becomes, before its flight lands.
#[derive(Debug)]
pub(crate) struct Landing(oneshot::Sender<Arc<Entry>>);

impl Landing {
    /// The entry is this one.
    pub(crate) fn land(self, entry: &Arc<Entry>) {
        // nobody may be there any more to be told
        let _gone = self.0.send(Arc::clone(entry));
    }
}

/// Asks the owner of the key, if that is another node. One that cannot be asked is done without:
/// requests on this node still share one answer.
pub(crate) async fn take_off(
    inner: &Arc<Inner>,
    peers: &Peers,
    ask: FlyAsk,
    (lead, wants, budget): (Lead, Wants, Duration),
) -> TakeOff {
    let owner = peers.views().reading.key_owner(ask.entry);
    let owner = owner.filter(|owner| *owner != peers.me() && !peers.suspects.passes_over(*owner));
    let Some(owner) = owner else {
        return TakeOff::Lead(lead, None);
    };
    let over = Moment::now() + budget;
    let (told, telling) = mpsc::channel(WORDS);
    let flown = peers.link.fly(owner, ask.clone(), telling, budget).await;
    let answer = match flown {
        Ok(mut words) => {
            let first = tokio::time::timeout_at(over.to_instant(), words.next()).await;
            match first {
                Ok(Some(first)) => Ok((first, words)),
                Ok(None) => Err(Unanswered::Unreached("it says nothing".to_owned())),
                Err(_) => Err(Unanswered::Late),
            }
        }
        Err(unanswered) => Err(unanswered),
    };
    peers.suspects.heard(owner, answer.as_ref().err());
    let Ok((first, words)) = answer else {
        Counters::add(&peers.counters.unanswered);
        return TakeOff::Lead(lead, None);
    };
    let mark = Mark {
        tenant: ask.tenant.clone(),
        entry: ask.entry,
    };
    match first {
        FlyWord::Held(parcel) => match opened(inner, peers, &ask, &parcel) {
            Some(entry) => {
                lead.land(Arc::clone(&entry.answer));
                peers.served_from(inner, owner, &entry);
                TakeOff::Held(entry)
            }
            None => TakeOff::Lead(lead, None),
        },
        FlyWord::Follow => match lead.first_reader(wants) {
            Some(follower) => {
                inner
                    .tasks
                    .spawn(relay_in(Arc::clone(inner), mark, lead, words));
                TakeOff::Follow(follower)
            }
            None => TakeOff::Lead(lead, None),
        },
        FlyWord::Lead => {
            let (landing, landed) = oneshot::channel();
            if let Some(follower) = lead.listener() {
                let relay = Relay {
                    inner: Arc::clone(inner),
                    mark,
                    follower,
                    landed,
                };
                inner.tasks.spawn(relay.run(words, told));
            }
            TakeOff::Lead(lead, Some(Landing(landing)))
        }
        FlyWord::Alone | FlyWord::Told(_) | FlyWord::Readers(_) => TakeOff::Lead(lead, None),
    }
}

/// A stored answer from the owner, if it is the asker's and still holds.
fn opened(inner: &Inner, peers: &Peers, ask: &FlyAsk, parcel: &Parcel) -> Option<Arc<Entry>> {
    let everyone = parcel.shared;
    let expected = match everyone {
        true => ask.everyone == Some(parcel.entry),
        false => ask.entry == parcel.entry,
    };
    let record = expected
        .then(|| peers.seals.unpack_for(&ask.tenant, everyone, parcel))
        .flatten();
    let Some(record) = record else {
        Counters::add(&peers.counters.foreign);
        tracing::warn!("the owner of a key answered with an entry that is not the caller's");
        return None;
    };
    let entry = record.entry;
    let holds = entry.is_fresh(unix_millis(), ask.ttl_millis) && !inner.epochs.is_off(&entry);
    holds.then(|| Arc::new(entry))
}

/// Feeds this node's flight with what the owner tells, until it ends or nobody reads here.
async fn relay_in(inner: Arc<Inner>, mark: Mark, lead: Lead, mut words: Words) {
    let lead = loop {
        let word = tokio::select! {
            word = words.next() => word,
            () = lead.deserted() => return,
        };
        let told = match word {
            Some(FlyWord::Told(told)) => Some(told),
            Some(FlyWord::Readers(_)) => continue,
            Some(FlyWord::Held(_) | FlyWord::Lead | FlyWord::Follow | FlyWord::Alone) | None => {
                None
            }
        };
        match feed(&inner, &mark, told, &lead).await {
            Fed::On => {}
            Fed::Over(end) => break (lead, end),
        }
    };
    finish(lead);
}

/// Tells the owner what this node's flight brings.
struct Relay {
    inner: Arc<Inner>,
    mark: Mark,
    follower: Follower,
    landed: oneshot::Receiver<Arc<Entry>>,
}

impl Relay {
    async fn run(mut self, mut words: Words, told: mpsc::Sender<Told>) {
        let inner = Arc::clone(&self.inner);
        let Some(peers) = inner.peers() else { return };
        let mut readers = 0;
        let mut unread = 0;
        let mut owner_listens = true;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            let event = tokio::select! {
                event = self.follower.next() => event,
                word = words.next(), if owner_listens => {
                    match word {
                        Some(FlyWord::Readers(count)) => readers = count,
                        Some(_) => {}
                        None => { readers = 0; owner_listens = false; }
                    }
                    continue;
                }
                // nobody reads any more, neither here nor there
                _ = ticks.tick() => {
                    let nobody = readers == 0 && self.follower.is_last();
                    unread = if nobody { unread + 1 } else { 0 };
                    if unread >= LOOKS {
                        return;
                    }
                    continue;
                }
            };
            let ends = !matches!(event, Event::Begun(_) | Event::Piece(_));
            let entry = matches!(event, Event::Landed(_))
                .then(|| self.landed.try_recv().ok())
                .flatten();
            let out = match entry.and_then(|entry| peers.pack(&inner, &entry, None)) {
                Some(parcel) => Some(Told::Landed(parcel)),
                None => outward(&inner, peers, &self.mark, event),
            };
            let Some(out) = out else { return };
            let sent = told.send_timeout(out, TAKEN_WITHIN).await;
            if ends && sent.is_ok() {
                // a stream that is dropped takes along what is still on its way to the owner
                let heard = async { while words.next().await.is_some() {} };
                _ = tokio::time::timeout(TAKEN_WITHIN, heard).await;
            }
            if ends || sent.is_err() {
                return;
            }
        }
    }
}

// ---------------------------------------------------------------- both

/// An event of a flight as it is told to another node.
fn outward(inner: &Inner, peers: &Peers, mark: &Mark, event: Event) -> Option<Told> {
    let seal = |plain| peers.seals.seal_piece((&mark.tenant, mark.entry), plain);
    match event {
        Event::Begun(model) => seal(model.as_str().as_bytes().to_vec()).map(Told::Begun),
        Event::Piece(chunk) => seal(piece::write(&chunk)).map(Told::Piece),
        Event::Landed(answer) => {
            let entry = of_answer(mark, &answer, inner.epochs.epoch());
            peers.pack(inner, &entry, None).map(Told::Landed)
        }
        Event::Ended => Some(Told::Ended),
        Event::Broken(why) => seal(piece::write_break(&why)).map(Told::Broken),
        Event::Abandoned => Some(Told::Abandoned),
    }
}

/// An answer to an exact request as an entry: what a follower gets of it.
fn of_answer(mark: &Mark, answer: &Arc<StoredAnswer>, epoch: u64) -> Entry {
    Entry {
        id: mark.entry,
        serial: 0,
        tenant: mark.tenant.clone(),
        witness: None,
        tags: Vec::new(),
        meaning: None,
        epoch,
        created: answer.created.saturating_mul(1000),
        expires: 0,
        borrowed: false,
        answer: Arc::clone(answer),
    }
}

/// What became of a flight that is fed from another node.
enum Fed {
    On,
    Over(End),
}

enum End {
    Landed(Arc<StoredAnswer>),
    Ended,
    Broken(crate::cache::flight::Break),
    Abandoned,
}

/// Feeds a flight with one word; without one, whoever told has given up.
async fn feed(inner: &Arc<Inner>, mark: &Mark, told: Option<Told>, lead: &Lead) -> Fed {
    let Some(peers) = inner.peers() else {
        return Fed::Over(End::Abandoned);
    };
    let open = |sealed: &[u8]| {
        let opened = peers.seals.open_piece((&mark.tenant, mark.entry), sealed);
        if opened.is_none() {
            Counters::add(&peers.counters.foreign);
        }
        opened
    };
    match told {
        None | Some(Told::Abandoned) => Fed::Over(End::Abandoned),
        Some(Told::Begun(sealed)) => {
            let name = open(&sealed).and_then(|name| String::from_utf8(name).ok());
            match name {
                Some(name) => lead.begin(&name.into()),
                None => return Fed::Over(End::Abandoned),
            }
            Fed::On
        }
        Some(Told::Piece(sealed)) => match open(&sealed).and_then(|bytes| piece::read(&bytes)) {
            Some(chunk) => {
                lead.piece(chunk).await;
                Fed::On
            }
            None => Fed::Over(End::Abandoned),
        },
        Some(Told::Landed(parcel)) => {
            let landed = peers.seals.unpack_for(&mark.tenant, false, &parcel);
            match landed.filter(|record| record.entry.id == mark.entry) {
                // whoever read it as it came has all of it; nobody else is given it
                Some(record) if inner.epochs.is_off(&record.entry) => Fed::Over(End::Ended),
                Some(record) => {
                    keep(inner, parcel).await;
                    Fed::Over(End::Landed(record.entry.answer))
                }
                None => Fed::Over(End::Abandoned),
            }
        }
        Some(Told::Ended) => Fed::Over(End::Ended),
        Some(Told::Broken(sealed)) => {
            let why = open(&sealed).and_then(|bytes| piece::read_break(&bytes));
            Fed::Over(why.map_or(End::Abandoned, End::Broken))
        }
    }
}

/// Before the flight ends, or the next request would find neither.
async fn keep(inner: &Arc<Inner>, parcel: Parcel) {
    let worker = Arc::clone(inner);
    let kept = tokio::task::spawn_blocking(move || serve::keep(&worker, &parcel, false)).await;
    if kept.is_err() {
        tracing::debug!("an answer from another node is not kept, shutting down");
    }
}

fn finish((lead, end): (Lead, End)) {
    match end {
        End::Landed(answer) => lead.land(answer),
        End::Ended => lead.end(),
        End::Broken(why) => lead.broke(why),
        End::Abandoned => drop(lead),
    }
}
