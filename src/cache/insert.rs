//! One insert: the exact tier at once, vector, index and disk in the background.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::answer::{Candidate, Insertion, SharedIds, StoredAnswer, Ticket};
use super::compact::Compact;
use super::entry::{Entry, Meaning};
use super::lookup::millis;
use super::peers::spread::spread;
use super::shelf::{Removed, Shelf};
use super::stats::Counters;
use super::store::Put;
use super::witness::Statement;
use super::{Inner, SWEEP_BATCH, policy, witness};
use crate::config::routing::CacheConfig;
use crate::types::{Moment, unix_millis};

/// Longest wait for a vector in the background.
const EMBED_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn insert(inner: &Arc<Inner>, ticket: Ticket, answer: Candidate) -> Insertion {
    if let Some(reason) = policy::refuse_answer(&answer, &ticket.config) {
        if let Some(lead) = ticket.lead.filter(|_| answer.complete) {
            lead.end(); // who read it as it came has all of it
        }
        return Insertion::Refused(reason);
    }
    let Ticket {
        id,
        question,
        shared,
        vector,
        tenant,
        tags,
        epoch,
        config,
        lead,
        landing,
        explained: _,
    } = ticket;
    let now = unix_millis();
    let answer = Arc::new(StoredAnswer {
        text: answer.text,
        usage: answer.usage,
        model: answer.model,
        shown_model: answer.shown_model,
        created: now / 1000,
    });
    let meaning = question.map(|q| Meaning {
        partition: q.partition,
        text: q.text,
        features: q.features,
    });
    let (entry, placed) = {
        let mut shelf = inner.shelf.lock();
        let entry = Arc::new(Entry {
            id,
            serial: shelf.next_serial(),
            tenant,
            witness: None,
            tags,
            meaning,
            epoch,
            created: now,
            expires: now.saturating_add(millis(config.ttl.get())),
            borrowed: false,
            answer: Arc::clone(&answer),
        });
        let placed = place(inner, &mut shelf, &entry);
        (entry, placed)
    };
    if let Some(landing) = landing.filter(|_| placed.is_some()) {
        landing.land(&entry);
    }
    // those who wait asked before any purge could have meant them
    if let Some(lead) = lead {
        lead.land(answer);
    }
    let Some(removed) = placed else {
        return Insertion::Refused("purged meanwhile");
    };
    Counters::add(&inner.counters.inserts);
    let statement = shared.map(|ids| (statement(&entry, ids, epoch), *config));
    let pending = Pending {
        entry,
        vector: vector.as_deref().map(Compact::of),
        removed,
    };
    settle_later(inner, pending, statement);
    Insertion::Stored
}

/// Puts an entry on the shelf where it is this node's; what is others' goes to them later. `None` for
/// one that was called off.
fn place(inner: &Inner, shelf: &mut Shelf, entry: &Arc<Entry>) -> Option<Vec<Removed>> {
    let is_ours = inner.peers().is_none_or(|peers| peers.keeps_key(entry));
    match is_ours {
        true => shelf.insert(Arc::clone(entry)),
        false => (!inner.epochs.is_off(entry)).then(Vec::new),
    }
}

/// The entry as everyone's it would be.
fn statement(entry: &Entry, ids: SharedIds, epoch: u64) -> Statement {
    let meaning = entry.meaning.as_ref().zip(ids.partition);
    Statement {
        id: ids.entry,
        own: entry.id,
        tenant: entry.tenant.clone(),
        tags: entry.tags.clone(),
        meaning: meaning.map(|(meaning, partition)| Meaning {
            partition,
            ..meaning.clone()
        }),
        vector: None,
        answer: Arc::clone(&entry.answer),
        created: entry.created,
        expires: entry.expires,
        epoch,
    }
}

/// What is left to do for an entry that is on the shelf.
pub(super) struct Pending {
    pub(super) entry: Arc<Entry>,
    pub(super) vector: Option<Compact>,
    pub(super) removed: Vec<Removed>,
}

/// What is said on a route with a shared scope, and that route's settings.
type Said = Option<(Statement, CacheConfig)>;

fn settle_later(inner: &Arc<Inner>, pending: Pending, said: Said) {
    let permit = Arc::clone(&inner.background).try_acquire_owned();
    let permit = permit.inspect_err(|_| {
        if let Some(peers) = inner.peers() {
            Counters::add(&peers.counters.dropped);
        }
    });
    match (permit, Handle::try_current()) {
        (Ok(permit), Ok(runtime)) => {
            let worker = Arc::clone(inner);
            inner
                .tasks
                .spawn_on(settle(worker, pending, said, permit), &runtime);
        }
        // too much under way, or no runtime: the exact tier and the disk must do
        _ => inner.settle_now(Pending {
            vector: None,
            ..pending
        }),
    }
}

async fn settle(inner: Arc<Inner>, mut pending: Pending, said: Said, permit: OwnedSemaphorePermit) {
    if pending.vector.is_none()
        && let (Some(meaning), Some(embedder)) = (&pending.entry.meaning, &inner.embedder)
    {
        let scope = pending.entry.tenant.as_str();
        let deadline = Moment::now() + EMBED_WITHIN;
        let vector = embedder.embed(scope, &meaning.text, deadline).await;
        pending.vector = vector.ok().flatten().map(|vector| Compact::of(&vector));
    }
    let vector = pending.vector.clone();
    settle_everywhere(&inner, pending).await;
    if let Some((statement, config)) = said {
        let statement = Statement {
            vector: vector.map(|vector| vector.widen()),
            ..statement
        };
        if let Some(promoted) = witness::hear(&inner, statement, &config).await {
            settle_everywhere(&inner, promoted).await;
        }
    }
    drop(permit);
}

async fn settle_everywhere(inner: &Arc<Inner>, pending: Pending) {
    match inner.peers() {
        Some(peers) => spread(inner, peers, pending).await,
        None => inner.settle_off_thread(pending).await,
    }
}

impl Inner {
    /// Index and disk, elsewhere than on an async thread.
    pub(super) async fn settle_off_thread(self: &Arc<Self>, pending: Pending) {
        let worker = Arc::clone(self);
        let settled = self
            .tasks
            .spawn_blocking(move || worker.settle_now(pending));
        if settled.await.is_err() {
            tracing::debug!("cache entry not settled, shutting down");
        }
    }

    /// Index and disk. May block for the disk.
    pub(super) fn settle_now(&self, pending: Pending) {
        let Pending {
            entry,
            vector,
            mut removed,
        } = pending;
        let serial = entry.serial;
        let index = {
            let mut shelf = self.shelf.lock();
            // over `max_entries` in the meantime counts as evicted, so nothing is written for it
            let held = shelf.by_serial(serial).is_some();
            if held && !entry.borrowed {
                // under the shelf's lock, so that a purge deletes after this put, never before
                self.persist(&entry, vector.as_ref());
            }
            let index = vector
                .as_ref()
                .and_then(|vector| shelf.attach(serial, vector));
            let expired = shelf.sweep(unix_millis(), SWEEP_BATCH);
            removed.extend(expired);
            index
        };
        if let (Some(index), Some(vector)) = (index, vector) {
            index.insert(serial, &vector.widen());
            if self.shelf.lock().by_serial(serial).is_none() {
                // it left between the two locks; its row must not outlive it
                index.remove(serial);
            }
        }
        Counters::add_many(&self.counters.evictions, removed.len());
        if !removed.is_empty() {
            self.take_out(removed);
        }
    }

    fn persist(&self, entry: &Arc<Entry>, vector: Option<&Compact>) {
        let Some(writer) = &self.writer else { return };
        let put = Put {
            entry: Arc::clone(entry),
            space: self.space().into(),
            vector: vector.cloned(),
        };
        if !writer.put(put) {
            Counters::add(&self.counters.not_persisted);
        }
    }
}
