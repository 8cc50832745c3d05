//! What one flight has brought so far, and who has read how much of it. Pure: no clock, no lock;
//! whoever is to be woken is handed back.
//!
//! ```text
//! flying ──begin, push──► pieces ──finish──► landed    whole, and a reusable answer
//!    │                      │  └───────────► ended     whole, but nothing to reuse as a whole
//!    │                      └──────────────► broken    cut off after something came
//!    └─────────────────────────────────────► abandoned nothing came
//! ```
//!
//! Pieces are kept so that one who comes late reads from the beginning. Beyond [`MAX_KEPT`] nobody
//! new may come, what everyone has read is let go of, one reader sets the pace (the leader's own
//! client, else the oldest), and a reader that lags behind it by all that is kept is cut off.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use super::super::answer::StoredAnswer;
use crate::error::Kind;
use crate::types::{ChatRequest, Chunk, ModelName};

/// Most bytes one flight keeps, as much as the longest answer that is stored.
pub(super) const MAX_KEPT: usize = 4 << 20;
/// Bytes a flight may keep however much the others keep: a client's ordinary stutter.
const ALWAYS_KEPT: usize = 64 << 10;
/// Most bytes all flights of a node keep together; beyond it each falls back to the line above.
pub(super) const MAX_KEPT_TOGETHER: usize = 256 << 20;
/// Most who read one flight; further ones start another.
const MAX_READERS: usize = 16_384;

/// What a reader hears of its flight.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The answer has begun, given by this model, and comes in pieces.
    Begun(ModelName),
    /// The next piece. Only for who reads pieces.
    Piece(Chunk),
    /// From here on this model carries on what another left unfinished: nobody else may have it.
    Recovered(ModelName),
    /// The answer is whole and may be reused. To who reads pieces it says that all of them were
    /// read, or that the answer came without pieces.
    Landed(Arc<StoredAnswer>),
    /// The answer is whole, but may not be reused as a whole.
    Ended,
    /// The answer broke off.
    Broken(Arc<Break>),
    /// Nothing came, or nobody was left to bring it.
    Abandoned,
}

/// Why an answer broke off, as its readers' clients are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Break {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

/// What a reader can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// Every piece, from the beginning.
    Pieces,
    /// Only a whole answer.
    Whole,
}

impl Wants {
    /// What this request's client can use.
    pub(crate) fn of(request: &ChatRequest) -> Self {
        match request.stream {
            true => Wants::Pieces,
            false => Wants::Whole,
        }
    }
}

/// How a flight ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    Landed(Arc<StoredAnswer>),
    Ended,
    Broken(Arc<Break>),
    Abandoned,
}

impl From<&End> for Event {
    fn from(end: &End) -> Self {
        match end {
            End::Landed(answer) => Event::Landed(Arc::clone(answer)),
            End::Ended => Event::Ended,
            End::Broken(why) => Event::Broken(Arc::clone(why)),
            End::Abandoned => Event::Abandoned,
        }
    }
}

/// Who is to be woken now.
pub(super) type Wakes = Vec<Waker>;

struct Reader {
    wants: Wants,
    /// Sets the pace beyond the limit and is never cut off.
    paces: bool,
    told_begun: bool,
    /// Of those who carried the answer on, the last it was told of.
    told_recovered: usize,
    /// Number of the next piece, counted from the first there was.
    at: usize,
    cut: bool,
    waker: Option<Waker>,
}

/// One flight's pieces and readers.
#[derive(Default)]
pub(super) struct Pieces {
    begun: Option<ModelName>,
    /// Who carried the answer on last, and how many have.
    recovered: Option<(usize, ModelName)>,
    kept: VecDeque<Chunk>,
    /// Pieces let go of before the first kept one.
    gone: usize,
    bytes: usize,
    end: Option<End>,
    readers: BTreeMap<u64, Reader>,
    next_reader: u64,
    /// The leader's client reads like anyone, so that a flight nobody reads can be told.
    read_by_leader: bool,
    deserted: bool,
    /// Waits for everyone to leave, and perhaps for room.
    feeder: Option<Waker>,
    wants_room: bool,
    /// Waits for readers to come or leave.
    crowd: Option<Waker>,
}

impl Pieces {
    /// A new reader's number; `None` when it could not read from the beginning, when everyone has
    /// left, or when there is nothing to wait for any more.
    pub(super) fn attach(&mut self, wants: Wants) -> Option<u64> {
        let over = matches!(self.end, Some(End::Ended | End::Broken(_) | End::Abandoned));
        let full = self.readers.len() >= MAX_READERS;
        if over || full || self.deserted || self.gone > 0 || self.recovered.is_some() {
            return None;
        }
        Some(self.enter(wants))
    }

    /// The leader's own client. It sets the pace, whoever came before it.
    pub(super) fn attach_leader(&mut self, wants: Wants) -> u64 {
        self.read_by_leader = true;
        if wants == Wants::Pieces {
            self.readers
                .values_mut()
                .for_each(|other| other.paces = false);
        }
        self.enter(wants)
    }

    /// The first reader of an answer that is made elsewhere.
    pub(super) fn attach_first(&mut self, wants: Wants) -> Option<u64> {
        let reader = self.attach(wants)?;
        self.read_by_leader = true;
        Some(reader)
    }

    /// How many read.
    pub(super) fn readers(&self) -> usize {
        self.readers.len()
    }

    /// At most so many are left, and the leader's client was among those who are gone.
    pub(super) fn has_left(&self, most: usize) -> bool {
        self.read_by_leader && self.readers.len() <= most
    }

    fn enter(&mut self, wants: Wants) -> u64 {
        let paces = wants == Wants::Pieces && !self.readers.values().any(|other| other.paces);
        let id = self.next_reader;
        self.next_reader += 1;
        let reader = Reader {
            wants,
            paces,
            told_begun: false,
            told_recovered: 0,
            at: 0,
            cut: false,
            waker: None,
        };
        self.readers.insert(id, reader);
        id
    }

    /// Who is to be told that readers have come.
    pub(super) fn crowd(&mut self) -> Wakes {
        self.crowd.take().into_iter().collect()
    }

    /// The waker is woken when readers come or leave.
    pub(super) fn crowd_waits(&mut self, waker: &Waker) {
        self.crowd = Some(waker.clone());
    }

    /// A reader is gone; somebody else sets the pace then. Once the leader's client has been among
    /// them, the last one takes the flight with it.
    pub(super) fn leave(&mut self, id: u64) -> Wakes {
        if self.readers.remove(&id).is_some_and(|reader| reader.paces) {
            let mut others = self.readers.values_mut();
            if let Some(next) = others.find(|other| other.reads()) {
                next.paces = true;
            }
        }
        self.deserted = self.read_by_leader && self.readers.is_empty();
        let matters = self.deserted || self.wants_room;
        let feeder = self.feeder.take_if(|_| matters);
        feeder.into_iter().chain(self.crowd.take()).collect()
    }

    /// Nobody reads any more, and nobody can come back.
    pub(super) fn is_deserted(&self) -> bool {
        self.deserted
    }

    /// Something has come.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Bytes kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The answer begins. Pieces come after this.
    pub(super) fn begin(&mut self, model: ModelName) -> Wakes {
        self.begun = Some(model);
        self.wake(|_| true)
    }

    /// Another model carries the answer on. Pieces of its come after this.
    pub(super) fn recover(&mut self, model: ModelName) -> Wakes {
        let before = self.recovered.take().map_or(0, |(times, _)| times);
        self.recovered = Some((before + 1, model));
        self.wake(|_| true)
    }

    /// The next piece, once there is room for it.
    pub(super) fn push(&mut self, piece: Chunk) -> Wakes {
        self.bytes += size_of(&piece);
        self.kept.push_back(piece);
        self.wake(Reader::reads)
    }

    /// Whether a piece of `size` bytes may be kept now; `others` is what all other flights keep.
    /// Lets go of what everyone has read and cuts off who lags too far, if need be.
    pub(super) fn make_room(&mut self, size: usize, others: usize) -> (bool, Wakes) {
        let mut wakes = Wakes::new();
        loop {
            if self.fits(size, others) {
                return (true, wakes);
            }
            self.let_go();
            if self.fits(size, others) {
                return (true, wakes);
            }
            let gone = self.gone;
            let lags = |reader: &Reader| reader.reads() && reader.at == gone;
            if self
                .readers
                .values()
                .any(|reader| reader.paces && lags(reader))
            {
                return (false, wakes);
            }
            for reader in self.readers.values_mut().filter(|reader| lags(reader)) {
                reader.cut = true;
                wakes.extend(reader.waker.take());
            }
        }
    }

    fn fits(&self, size: usize, others: usize) -> bool {
        let wanted = self.bytes + size;
        self.kept.is_empty()
            || wanted <= ALWAYS_KEPT
            || (wanted <= MAX_KEPT && others + wanted <= MAX_KEPT_TOGETHER)
    }

    fn let_go(&mut self) {
        let reading = self.readers.values().filter(|reader| reader.reads());
        let all_read = reading.map(|reader| reader.at).min();
        let all_read = all_read.unwrap_or(self.gone + self.kept.len());
        while self.gone < all_read {
            let Some(piece) = self.kept.pop_front() else {
                return;
            };
            self.bytes -= size_of(&piece);
            self.gone += 1;
        }
    }

    /// The feeder waits for everyone to leave, or for room.
    pub(super) fn feeder_waits(&mut self, waker: &Waker, for_room: bool) {
        self.wants_room = for_room;
        self.feeder = Some(waker.clone());
    }

    /// The first end counts.
    pub(super) fn finish(&mut self, end: End) -> Wakes {
        if self.end.is_some() {
            return Wakes::new();
        }
        self.end = Some(end);
        self.wake(|_| true)
    }

    /// What the reader hears next, and the feeder if that made room. `None` leaves its waker.
    pub(super) fn read(&mut self, id: u64, waker: &Waker) -> (Option<Event>, Option<Waker>) {
        let Some(reader) = self.readers.get_mut(&id) else {
            return (Some(Event::Abandoned), None);
        };
        if reader.cut {
            return (Some(Event::Broken(Arc::new(too_slow()))), None);
        }
        if let Some(model) = self.begun.as_ref().filter(|_| !reader.told_begun) {
            reader.told_begun = true;
            return (Some(Event::Begun(model.clone())), None);
        }
        if let Some((times, model)) = &self.recovered
            && reader.told_recovered < *times
        {
            reader.told_recovered = *times;
            return (Some(Event::Recovered(model.clone())), None);
        }
        if reader.wants == Wants::Pieces
            && let Some(piece) = self.kept.get(reader.at - self.gone)
        {
            reader.at += 1;
            let makes_room = reader.paces && self.wants_room;
            let feeder = self.feeder.take_if(|_| makes_room);
            return (Some(Event::Piece(piece.clone())), feeder);
        }
        let end = self.end.as_ref().map(Event::from);
        if end.is_none() {
            reader.waker = Some(waker.clone());
        }
        (end, None)
    }

    fn wake(&mut self, whom: impl Fn(&Reader) -> bool) -> Wakes {
        let readers = self.readers.values_mut().filter(|reader| whom(reader));
        readers.filter_map(|reader| reader.waker.take()).collect()
    }
}

impl Reader {
    /// Takes pieces, and is not cut off.
    fn reads(&self) -> bool {
        self.wants == Wants::Pieces && !self.cut
    }
}

/// Bytes a kept piece takes, about.
pub(super) fn size_of(piece: &Chunk) -> usize {
    size_of_val(piece) + piece.raw.len() + piece.tap.text.len()
}

fn too_slow() -> Break {
    Break {
        kind: Kind::Overloaded,
        message: "the answer broke off (read too slowly to share a long answer)".to_owned(),
    }
}
