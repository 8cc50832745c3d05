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

mod asker;
mod owner;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;

use super::words::{FlyWord, Parcel, Told};
use super::{Peers, piece, serve};
use crate::cache::Inner;
use crate::cache::answer::StoredAnswer;
use crate::cache::entry::Entry;
use crate::cache::flight::{Break, Event, Lead};
use crate::cache::key::EntryId;
use crate::cache::stats::Counters;
use crate::types::TenantId;

pub(crate) use asker::{Landing, TakeOff, take_off};
pub(crate) use owner::fly;

/// Words on their way to a node that reads slowly.
const WORDS: usize = 64;
/// For a stream's far end to take a word.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

type Words = BoxStream<'static, FlyWord>;

/// Whose answer to which request.
#[derive(Clone, Debug)]
struct Mark {
    tenant: TenantId,
    entry: EntryId,
    /// Purges the request had seen.
    epoch: u64,
}

/// An event of a flight as it is told to another node.
fn outward(inner: &Inner, peers: &Peers, mark: &Mark, event: Event) -> Option<Told> {
    let seal = |plain| peers.seals.seal_piece((&mark.tenant, mark.entry), plain);
    match event {
        // begun once more: another model carries it on
        Event::Begun(model) | Event::Recovered(model) => {
            seal(model.as_str().as_bytes().to_vec()).map(Told::Begun)
        }
        Event::Piece(chunk) => seal(piece::write(&chunk)).map(Told::Piece),
        Event::Landed(answer) => {
            let entry = of_answer(mark, &answer);
            peers.pack(inner, &entry, None).map(Told::Landed)
        }
        Event::Ended => Some(Told::Ended),
        Event::Broken(why) => seal(piece::write_break(&why)).map(Told::Broken),
        Event::Abandoned => Some(Told::Abandoned),
    }
}

/// An answer to an exact request as an entry: what a follower gets of it.
fn of_answer(mark: &Mark, answer: &Arc<StoredAnswer>) -> Entry {
    Entry {
        id: mark.entry,
        serial: 0,
        tenant: mark.tenant.clone(),
        witness: None,
        tags: Vec::new(),
        meaning: None,
        epoch: mark.epoch,
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
    Broken(Break),
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
                Some(name) if lead.has_begun() => lead.recovered(&name.into()),
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
