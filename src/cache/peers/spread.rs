//! Bringing a new entry to those who keep it.

use std::sync::Arc;

use llm_router_cluster::MemberId;

use super::outbox::Out;
use super::{MAX_SENT, Peers};
use crate::cache::Inner;
use crate::cache::compact::Compact;
use crate::cache::entry::Entry;
use crate::cache::insert::Pending;
use crate::cache::stats::Counters;

/// Brings an entry to its owners; what is this node's is kept here.
pub(crate) async fn spread(inner: &Arc<Inner>, peers: &Peers, pending: Pending) {
    if peers.is_alone() {
        return keep_pending(inner, pending).await;
    }
    let (entry, vector) = (Arc::clone(&pending.entry), pending.vector.clone());
    if entry.bytes() > MAX_SENT {
        let entry = Arc::new(Entry {
            borrowed: true,
            ..Entry::clone(&entry)
        });
        return keep_pending(inner, Pending { entry, ..pending }).await;
    }
    let owners = peers.owners(inner, &entry, vector.as_ref());
    let mut here = owners.contains(&peers.me());
    for owner in owners.into_iter().filter(|owner| *owner != peers.me()) {
        let out = Out::Keep(Arc::clone(&entry), vector.clone());
        // what cannot be handed over is kept here for others
        here |= !send(inner, peers, owner, out);
    }
    if here {
        keep_pending(inner, pending).await;
    } else {
        inner
            .settle_off_thread(Pending {
                vector: None,
                ..pending
            })
            .await;
    }
}

/// Keeps an entry here, whoever owns it.
pub(crate) async fn keep(inner: &Arc<Inner>, entry: Arc<Entry>, vector: Option<Compact>) {
    let pending = Pending {
        entry,
        vector,
        removed: Vec::new(),
    };
    keep_pending(inner, pending).await;
}

async fn keep_pending(inner: &Arc<Inner>, mut pending: Pending) {
    let placed = {
        let mut shelf = inner.shelf.lock();
        let entry = &pending.entry;
        let held = shelf.held(entry.id);
        match held.map(|(held, _)| (held.serial, held.created)) {
            Some((serial, _)) if serial == entry.serial => Some(Vec::new()),
            // a newer answer to the same request has come meanwhile
            Some((_, created)) if created > entry.created => None,
            // a copy for a while does not take the place of one that stays
            Some((_, created)) if created == entry.created && entry.borrowed => None,
            Some(_) | None => shelf.insert(Arc::clone(entry)),
        }
    };
    if let Some(removed) = placed {
        pending.removed.extend(removed);
        inner.settle_off_thread(pending).await;
    }
}

/// Hands an order to a node's outbox, or counts that there was no room.
pub(crate) fn send(inner: &Arc<Inner>, peers: &Peers, to: MemberId, out: Out) -> bool {
    let sent = peers.outboxes.send(inner, to, out);
    if !sent {
        Counters::add(&peers.counters.dropped);
    }
    sent
}
