//! A node that lies: it has kept what it ever saw on the way, and answers with it where it does not
//! belong: another tenant's or partition's, under another label, damaged, or long called off. It has
//! no key that honest nodes have not: what it seals itself is not part of this.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::cache::Inner;
use crate::cache::key::{EntryId, PartitionId};
use crate::cache::peers::words::{Ask, FlyAsk, FlyWord, Parcel, Seen, Told};
use crate::cache::peers::{flight, serve};
use crate::types::TenantId;

/// Most parcels and pieces it remembers.
const REMEMBERED: usize = 400;

/// What liars remember and how often they lied.
#[derive(Debug)]
pub(crate) struct Lies {
    known: Mutex<Known>,
    pub(crate) told: AtomicU64,
    /// Strangers that were given something.
    pub(crate) believed: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Known {
    rng: StdRng,
    parcels: VecDeque<Parcel>,
    pieces: VecDeque<(EntryId, Told)>,
}

impl Default for Lies {
    fn default() -> Self {
        Lies {
            known: Mutex::new(Known {
                rng: StdRng::seed_from_u64(9),
                parcels: VecDeque::new(),
                pieces: VecDeque::new(),
            }),
            told: AtomicU64::new(0),
            believed: Arc::default(),
        }
    }
}

impl Known {
    fn remember(&mut self, parcel: &Parcel) {
        // old ones stay for long, so that there is something called off to come back with
        if self.parcels.len() < REMEMBERED {
            self.parcels.push_back(parcel.clone());
        } else if self.rng.random_ratio(1, 20) {
            let at = self.rng.random_range(0..REMEMBERED);
            self.parcels[at] = parcel.clone();
        }
    }

    /// Something remembered, made to look as if it were what is asked for.
    fn forged(
        &mut self,
        tenant: &TenantId,
        partition: Option<PartitionId>,
        entry: EntryId,
    ) -> Option<Parcel> {
        if self.parcels.is_empty() {
            return None;
        }
        let at = self.rng.random_range(0..self.parcels.len());
        let mut parcel = self.parcels[at].clone();
        match self.rng.random_range(0..8) {
            0 => {}
            1 => parcel.tenant = tenant.clone(),
            2 => parcel.partition = partition,
            3 => parcel.shared = !parcel.shared,
            4 => parcel.sealed = Bytes::from(self.rng.random::<[u8; 32]>().to_vec()),
            5 => parcel.sealed = parcel.sealed.slice(..parcel.sealed.len() / 2),
            _ => {
                parcel.tenant = tenant.clone();
                parcel.partition = partition;
                parcel.entry = entry;
            }
        }
        Some(parcel)
    }

    /// A piece of the answer to another request.
    fn foreign_piece(&mut self, but: EntryId) -> Option<Told> {
        let at = self.rng.random_range(0..self.pieces.len().max(1));
        let (entry, told) = self.pieces.get(at)?;
        (*entry != but).then(|| told.clone())
    }
}

impl Lies {
    fn lied(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }

    /// A tenant that was never there before.
    fn stranger(&self) -> TenantId {
        let number = self.told.fetch_add(1, Ordering::Relaxed);
        format!("stranger {number}").into()
    }

    /// What passes by on a flight.
    pub(crate) fn hear(&self, entry: EntryId, told: &Told) {
        let mut known = self.known.lock();
        match told {
            Told::Landed(parcel) => known.remember(parcel),
            Told::Begun(_) | Told::Piece(_) => {
                if known.pieces.len() >= REMEMBERED {
                    known.pieces.pop_front();
                }
                known.pieces.push_back((entry, told.clone()));
            }
            Told::Ended | Told::Broken(_) | Told::Abandoned => {}
        }
    }

    /// An answer to a look-up; a liar puts others' entries before the true ones.
    pub(crate) fn seen(&self, lies: bool, ask: &Ask, mut seen: Seen) -> Seen {
        let mut known = self.known.lock();
        for (_, parcel) in seen.own.iter().chain(&seen.everyone) {
            known.remember(parcel);
        }
        if !lies {
            return seen;
        }
        self.lied();
        for _ in 0..known.rng.random_range(1..4) {
            let forged = known.forged(&ask.tenant, Some(ask.partition), EntryId([0; 16]));
            let forged = forged.filter(|forged| {
                forged.partition != Some(ask.partition)
                    || forged.tenant != ask.tenant
                    || known.rng.random()
            });
            if let Some(forged) = forged {
                let everyone = known.rng.random_ratio(1, 4);
                let side = if everyone {
                    &mut seen.everyone
                } else {
                    &mut seen.own
                };
                side.insert(0, (0.9999, forged));
            }
        }
        seen.behind = known.rng.random_ratio(1, 50);
        seen
    }

    /// What a lying owner of a key says; `None` when it tells the truth for once.
    pub(crate) fn fly(&self, ask: &FlyAsk) -> Option<BoxStream<'static, FlyWord>> {
        let mut known = self.known.lock();
        let forged = known.forged(&ask.tenant, None, ask.entry)?;
        let piece = known.foreign_piece(ask.entry);
        let words = match known.rng.random_range(0..6) {
            0 => return None,
            1 | 2 => vec![FlyWord::Held(forged)],
            3 => vec![FlyWord::Follow, FlyWord::Told(Told::Landed(forged))],
            4 => {
                let mut words = vec![FlyWord::Follow];
                words.extend(piece.map(FlyWord::Told));
                words.push(FlyWord::Told(Told::Landed(forged)));
                words
            }
            _ => vec![FlyWord::Readers(7), FlyWord::Lead],
        };
        self.lied();
        Some(stream::iter(words).boxed())
    }

    /// What a liar tells of an answer it makes.
    pub(crate) fn told(
        &self,
        ask: &FlyAsk,
        told: BoxStream<'static, Told>,
    ) -> BoxStream<'static, Told> {
        let mut known = self.known.lock();
        let mut lies = Vec::new();
        match known.rng.random_range(0..4) {
            0 => lies.extend(known.foreign_piece(ask.entry)),
            1 => lies.extend(known.forged(&ask.tenant, None, ask.entry).map(Told::Landed)),
            2 => lies.push(Told::Broken(Bytes::from_static(b"nonsense"))),
            _ => return told,
        }
        self.lied();
        stream::iter(lies).chain(told).boxed()
    }

    /// Entries a node is sent; a liar's are others' and old ones as well.
    pub(crate) fn put(&self, lies: bool, mut parcels: Vec<Parcel>) -> Vec<Parcel> {
        let mut known = self.known.lock();
        parcels.iter().for_each(|parcel| known.remember(parcel));
        if lies && let Some(first) = parcels.first().cloned() {
            self.lied();
            for _ in 0..4 {
                parcels.extend(known.forged(&first.tenant, first.partition, first.entry));
            }
        }
        parcels
    }

    /// Looks into another tenant's partition under its own name.
    pub(crate) async fn look_as_another(&self, inner: &Arc<Inner>, ask: &Ask) {
        let stranger = Ask {
            tenant: self.stranger(),
            everyone: Some(ask.partition),
            ..ask.clone()
        };
        let seen = serve::look(inner, &stranger).await;
        if !(seen.own.is_empty() && seen.everyone.is_empty()) {
            self.believed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Asks for another tenant's answer under its own name.
    pub(crate) fn fly_as_another(&self, inner: &Arc<Inner>, ask: &FlyAsk) {
        let stranger = FlyAsk {
            tenant: self.stranger(),
            everyone: Some(ask.entry),
            ..ask.clone()
        };
        let nothing = stream::iter([Told::Abandoned]).boxed();
        let mut words = flight::fly(inner, stranger, nothing);
        let believed = Arc::clone(&self.believed);
        inner.tasks.spawn(async move {
            let first = words.next().await;
            if matches!(first, Some(FlyWord::Held(_) | FlyWord::Follow)) {
                believed.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}
