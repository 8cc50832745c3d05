//! On the node of a request that found nothing there: the owner of its key is asked, and whatever it
//! says becomes part of this node's own flight.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use llm_router_cluster::MemberId;
use tokio::sync::{mpsc, oneshot};

use super::{Fed, Mark, TAKEN_WITHIN, WORDS, Words, feed, finish, outward};
use crate::cache::Inner;
use crate::cache::entry::Entry;
use crate::cache::flight::{Event, Follower, Lead, Wants};
use crate::cache::key::EntryId;
use crate::cache::peers::Peers;
use crate::cache::peers::link::Unanswered;
use crate::cache::peers::words::{FlyAsk, FlyWord, Parcel, Told};
use crate::cache::stats::Counters;
use crate::types::{Moment, unix_millis};

/// One who has just come to the owner is not known here yet: so long nobody reads before an answer is
/// given up.
const GRACE: Duration = Duration::from_millis(100);

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

/// Asks the owner of the key, if that is another node; where it has not answered lately, the one that
/// owns it next, who has the other copy. One that cannot be asked is done without: requests on this
/// node still share one answer.
pub(crate) async fn take_off(
    inner: &Arc<Inner>,
    peers: &Peers,
    ask: FlyAsk,
    (lead, wants, budget): (Lead, Wants, Duration),
) -> TakeOff {
    let Some(owner) = owner(peers, ask.entry) else {
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
        epoch: ask.epoch,
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
                peers.run(inner, relay_in(Arc::clone(inner), mark, lead, words));
                TakeOff::Follow(follower)
            }
            None => TakeOff::Lead(lead, None),
        },
        FlyWord::Lead => {
            let (landing, landed) = oneshot::channel();
            if let Some(listener) = lead.listener() {
                let relay = Relay {
                    inner: Arc::clone(inner),
                    mark,
                    listener,
                    landed,
                };
                peers.run(inner, relay.run(words, told));
            }
            TakeOff::Lead(lead, Some(Landing(landing)))
        }
        FlyWord::Alone | FlyWord::Told(_) | FlyWord::Readers(_) => TakeOff::Lead(lead, None),
    }
}

/// Whom to ask for a key: its owner or, while that does not answer, the next one. `None` where that is
/// this node, or neither can be reached.
fn owner(peers: &Peers, key: EntryId) -> Option<MemberId> {
    let owners = peers.views().reading.key_owners(key, 2);
    let answers = |owner: &&MemberId| !peers.suspects.passes_over(**owner);
    let reached = |owner: &&MemberId| !peers.suspects.is_unreached(**owner);
    let chosen = owners.iter().find(answers).or(owners.iter().find(reached));
    chosen.copied().filter(|owner| *owner != peers.me())
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

/// Tells the owner what this node's flight brings: how it ends, and as soon as somebody reads there,
/// all its pieces.
struct Relay {
    inner: Arc<Inner>,
    mark: Mark,
    listener: Follower,
    landed: oneshot::Receiver<Arc<Entry>>,
}

impl Relay {
    async fn run(mut self, mut words: Words, told: mpsc::Sender<Told>) {
        let inner = Arc::clone(&self.inner);
        let Some(peers) = inner.peers() else { return };
        let crowd = self.listener.crowd();
        let (mut readers, mut owner_listens) = (0, true);
        let mut pieces: Option<Follower> = None;
        let mut lonely: Option<tokio::time::Instant> = None;
        loop {
            let mine = 1 + usize::from(pieces.is_some());
            // it is given up once nobody has read for a while, whatever comes meanwhile
            let nobody = readers == 0 && crowd.has_left(mine);
            lonely = lonely.filter(|_| nobody);
            if nobody {
                lonely.get_or_insert(tokio::time::Instant::now() + GRACE);
            }
            let given_up = async {
                match lonely {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                event = async { match &mut pieces {
                    Some(pieces) => pieces.next().await,
                    None => self.listener.next().await,
                } } => event,
                word = words.next(), if owner_listens => {
                    match word {
                        Some(FlyWord::Readers(count)) => readers = count,
                        Some(_) => {}
                        None => (readers, owner_listens) = (0, false),
                    }
                    if readers > 0 && pieces.is_none() {
                        pieces = self.listener.beside(Wants::Pieces);
                        if pieces.is_none() {
                            return; // too late to tell it from the beginning
                        }
                    }
                    continue;
                }
                () = crowd.left(mine), if readers == 0 && !nobody => continue,
                () = given_up => return,
            };
            let recovers = matches!(event, Event::Recovered(_));
            if recovers && pieces.is_none() {
                return; // an answer of two is not for those who ask the owner from now on
            }
            let ends = !recovers && !matches!(event, Event::Begun(_) | Event::Piece(_));
            if !ends && pieces.is_none() {
                continue;
            }
            let Some(out) = self.outward(peers, event) else {
                return;
            };
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

    fn outward(&mut self, peers: &Peers, event: Event) -> Option<Told> {
        let entry = matches!(event, Event::Landed(_))
            .then(|| self.landed.try_recv().ok())
            .flatten();
        match entry.and_then(|entry| peers.pack(&self.inner, &entry, None)) {
            Some(parcel) => Some(Told::Landed(parcel)),
            None => outward(&self.inner, peers, &self.mark, event),
        }
    }
}
