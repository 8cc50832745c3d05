//! What waits to be sent to each node: new entries and the use of old ones. Bounded: what does not
//! fit is dropped and counted, for a cache may forget.
//!
//! An entry that cannot be delivered is kept here instead, on the shelf, as long as it may live: this
//! node answers with it, and the keeper brings it to its owners once they are back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llm_router_cluster::MemberId;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Peers;
use super::words::Parcel;
use crate::cache::Inner;
use crate::cache::compact::Compact;
use crate::cache::entry::Entry;
use crate::cache::key::EntryId;
use crate::cache::stats::Counters;

/// Most orders that wait for one node.
const WAITING: usize = 4096;
/// Most bytes of entries that wait for one node.
const WAITING_BYTES: usize = 16 << 20;
/// Most entries of one call.
const BATCH: usize = 64;
/// Most bytes of one call, about; one entry may be larger.
const BATCH_BYTES: usize = 1 << 20;
/// Waits between tries; after the last the entries are kept here.
const TRIES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// An order for one node.
#[derive(Debug)]
pub(crate) enum Out {
    /// Keep this.
    Keep(Arc<Entry>, Option<Compact>),
    /// This was served elsewhere.
    Used(EntryId),
}

#[derive(Debug)]
struct Outbox {
    orders: mpsc::Sender<Out>,
    bytes: Arc<AtomicUsize>,
}

/// One for each node that was ever sent anything.
#[derive(Debug, Default)]
pub(crate) struct Outboxes {
    boxes: Mutex<Option<HashMap<MemberId, Outbox>>>,
}

impl Outboxes {
    /// Ready for orders.
    pub(crate) fn open() -> Self {
        Outboxes {
            boxes: Mutex::new(Some(HashMap::new())),
        }
    }

    /// Hands an order over without waiting; false when there is no room for it.
    pub(crate) fn send(&self, inner: &Arc<Inner>, to: MemberId, out: Out) -> bool {
        let mut boxes = self.boxes.lock();
        let Some(boxes) = boxes.as_mut() else {
            return false;
        };
        let outbox = boxes.entry(to).or_insert_with(|| {
            let (orders, inbox) = mpsc::channel(WAITING);
            let bytes = Arc::<AtomicUsize>::default();
            let (worker, weight) = (Arc::clone(inner), Arc::clone(&bytes));
            inner.tasks.spawn(deliver(worker, to, inbox, weight));
            Outbox { orders, bytes }
        });
        let weight = out.bytes();
        // counted before it can be taken out again
        let before = outbox.bytes.fetch_add(weight, Ordering::Relaxed);
        let sent = before + weight <= WAITING_BYTES && outbox.orders.try_send(out).is_ok();
        if !sent {
            outbox.bytes.fetch_sub(weight, Ordering::Relaxed);
        }
        sent
    }

    /// Takes no more orders; what waits is delivered.
    pub(crate) fn close(&self) {
        self.boxes.lock().take();
    }
}

impl Out {
    fn bytes(&self) -> usize {
        match self {
            Out::Keep(entry, _) => entry.bytes(),
            Out::Used(_) => 16,
        }
    }
}

async fn deliver(
    inner: Arc<Inner>,
    to: MemberId,
    mut inbox: mpsc::Receiver<Out>,
    waiting: Arc<AtomicUsize>,
) {
    let mut orders = Vec::with_capacity(BATCH);
    while inbox.recv_many(&mut orders, BATCH).await > 0 {
        let weight = orders.iter().map(Out::bytes).sum();
        waiting.fetch_sub(weight, Ordering::Relaxed);
        let Some(peers) = inner.peers() else { return };
        let mut used = Vec::new();
        let mut batch = Vec::new();
        let mut bytes = 0;
        for order in orders.drain(..) {
            match order {
                Out::Used(id) => used.push(id),
                Out::Keep(entry, vector) => {
                    bytes += entry.bytes();
                    batch.push((entry, vector));
                    if bytes >= BATCH_BYTES {
                        bring(&inner, peers, to, std::mem::take(&mut batch), Vec::new()).await;
                        bytes = 0;
                    }
                }
            }
        }
        if !batch.is_empty() || !used.is_empty() {
            bring(&inner, peers, to, batch, used).await;
        }
    }
}

async fn bring(
    inner: &Arc<Inner>,
    peers: &Peers,
    to: MemberId,
    batch: Vec<(Arc<Entry>, Option<Compact>)>,
    used: Vec<EntryId>,
) {
    let (batch, parcels): (Vec<_>, Vec<Parcel>) = batch
        .into_iter()
        .filter_map(|one| {
            let parcel = peers.pack(inner, &one.0, one.1.as_ref())?;
            Some((one, parcel))
        })
        .unzip();
    let mut left: Vec<u32> = (0..).take(parcels.len()).collect();
    for wait in TRIES.into_iter().map(Some).chain([None]) {
        let again: Vec<Parcel> = places(&parcels, &left).cloned().collect();
        let put = peers.link.put(to, again, used.clone(), false).await;
        match put {
            Ok(kept) => {
                let refused: Vec<u32> = places(&left, &kept.refused).copied().collect();
                let sent = left.len().saturating_sub(refused.len());
                Counters::add_many(&peers.counters.sent, sent);
                left = refused;
                if left.is_empty() {
                    return;
                }
            }
            Err(unanswered) => peers.suspects.heard(to, Some(&unanswered)),
        }
        match wait {
            Some(wait) if !peers.is_stopping() => tokio::time::sleep(wait).await,
            Some(_) => break,
            None => tracing::debug!(%to, entries = left.len(), "kept here for another node"),
        }
    }
    Counters::add_many(&peers.counters.hinted, left.len());
    for (entry, vector) in places(&batch, &left).cloned() {
        super::spread::keep(inner, entry, vector).await;
    }
    peers.keeper.hurry();
}

/// Those at these places.
fn places<'a, T>(of: &'a [T], places: &'a [u32]) -> impl Iterator<Item = &'a T> {
    places
        .iter()
        .filter_map(|place| of.get(usize::try_from(*place).ok()?))
}
