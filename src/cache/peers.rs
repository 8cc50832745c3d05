//! One cache over many nodes.
//!
//! ```text
//!  lookup ─► here ─► owner of the exact key ─► nodes of the nearest cells ─► decide here
//!  insert ─► owner of the key, nodes of the nearest cells     (outbox, in the background)
//!  keeper ─► every entry to where it belongs; what is no longer this node's goes
//! ```
//!
//! Every node works out by itself who owns what, from the members that are there and the agreed cells
//! (`view.rs`). Nodes may see that differently for a moment; then an answer is not found, and that is
//! all. What may never happen, a called-off answer or another tenant's, does not depend on it: whoever
//! serves looks at the agreed epochs itself, and envelopes open for their own tenant alone.

pub(crate) mod ask;
mod bring;
pub(crate) mod called_off;
pub(crate) mod flight;
mod held;
mod hot;
mod keeper;
pub(crate) mod link;
mod mark;
mod outbox;
mod piece;
mod seal;
pub(crate) mod serve;
pub(crate) mod spread;
mod standing;
pub(crate) mod train;
mod view;
pub(crate) mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use llm_router_cluster::MemberId;
use llm_router_cluster::placement::Cells;
use parking_lot::Mutex;

use super::Inner;
use super::compact::Compact;
use super::entry::Entry;
use super::stats::Counters;
use crate::config::routing::{CacheConfig, PartitionMode};
use crate::types::report::CachePeers;
use crate::types::{Moment, unix_millis};

use ask::Suspects;
use hot::Hot;
use keeper::Keeper;
use link::Link;
use outbox::{Out, Outboxes};
use seal::Seals;
use standing::Standing;
use view::{View, Views};
use words::Parcel;

/// A node that has not heard of a leader for so long is on its own.
const ISOLATED_AFTER: Duration = Duration::from_secs(2);
/// Largest entry that is sent, in bytes; larger ones stay where they were made.
const MAX_SENT: usize = 16 << 20;
/// Longest time a hot entry is kept beside its owners' copies.
const HOT_FOR_MILLIS: u64 = 5 * 60 * 1000;

/// Counters of what goes between nodes.
#[derive(Debug, Default)]
pub(crate) struct PeerCounters {
    /// Questions by meaning.
    pub(crate) looks: AtomicU64,
    /// Nodes asked for them, the asking one counted where it owns a cell.
    pub(crate) asked: AtomicU64,
    /// Calls without an answer in time.
    pub(crate) unanswered: AtomicU64,
    /// Nodes that knew less of what was called off.
    pub(crate) behind: AtomicU64,
    /// Entries that were not the asker's.
    pub(crate) foreign: AtomicU64,
    /// Hits by an entry of another node.
    pub(crate) remote_hits: AtomicU64,
    /// Entries sent to their owners.
    pub(crate) sent: AtomicU64,
    /// Orders for which there was no room.
    pub(crate) dropped: AtomicU64,
    /// Entries kept here because their owner could not be reached.
    pub(crate) hinted: AtomicU64,
    /// Entries brought elsewhere by the keeper, and their bytes.
    pub(crate) moved: AtomicU64,
    pub(crate) moved_bytes: AtomicU64,
    /// Entries that were sent here and kept.
    pub(crate) received: AtomicU64,
}

/// The other nodes' caches.
pub(crate) struct Peers {
    pub(crate) link: Arc<dyn Link>,
    seals: Seals,
    views: ArcSwap<Views>,
    weights: ArcSwap<BTreeMap<String, u32>>,
    pub(crate) outboxes: Outboxes,
    suspects: Suspects,
    hot: Mutex<Hot>,
    keeper: Keeper,
    standing: Standing,
    isolated: AtomicBool,
    pub(crate) counters: PeerCounters,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers")
            .field("me", &self.me())
            .field("moving", &self.views().is_moving())
            .finish_non_exhaustive()
    }
}

impl Peers {
    /// The other caches by this link; entries go through under keys made of `secret`. Vectors have
    /// `dimensions` numbers in `space`.
    pub(crate) fn new(
        link: Arc<dyn Link>,
        secret: &[u8; 32],
        (space, dimensions): (&str, usize),
    ) -> Self {
        let cells = cells(&*link, space, dimensions);
        let alone = BTreeMap::from([(link.me(), 1)]);
        let view = Arc::new(View::new(cells, &alone));
        Peers {
            seals: Seals::new(secret),
            views: ArcSwap::from_pointee(Views {
                reading: Arc::clone(&view),
                target: view,
            }),
            weights: ArcSwap::default(),
            outboxes: Outboxes::open(),
            suspects: Suspects::default(),
            hot: Mutex::default(),
            keeper: Keeper::default(),
            standing: Standing::default(),
            isolated: AtomicBool::new(false),
            counters: PeerCounters::default(),
            link,
        }
    }

    /// Starts what runs as long as the node does.
    pub(crate) async fn start(inner: &Arc<Inner>) {
        let course = keeper::begin(inner).await;
        inner.tasks.spawn(called_off::adopt(Arc::clone(inner)));
        inner.tasks.spawn(called_off::run(Arc::clone(inner)));
        inner.tasks.spawn(keeper::run(Arc::clone(inner), course));
    }

    /// This node.
    pub(crate) fn me(&self) -> MemberId {
        self.link.me()
    }

    pub(crate) fn views(&self) -> Arc<Views> {
        self.views.load_full()
    }

    /// Takes over what the config says of the nodes' parts.
    pub(crate) fn weigh(&self, weights: BTreeMap<String, u32>) {
        self.weights.store(Arc::new(weights));
    }

    /// This node keeps everything and nobody else anything.
    pub(crate) fn is_alone(&self) -> bool {
        let (views, me) = (self.views(), self.me());
        views.reading.is_only(me) && views.target.is_only(me)
    }

    /// Everyone who keeps an entry now or will.
    fn owners(&self, inner: &Inner, entry: &Entry, vector: Option<&Compact>) -> Vec<MemberId> {
        let wide = vector.map(Compact::widen);
        self.views().owners(entry, wide.as_deref(), copies(inner))
    }

    /// This node is to keep the entry for its key.
    pub(crate) fn keeps_key(&self, entry: &Entry) -> bool {
        let views = self.views();
        let me = Some(self.me());
        views.reading.key_owner(entry.id) == me || views.target.key_owner(entry.id) == me
    }

    /// An entry in its envelope; `None` for one too large to be sent.
    fn pack(&self, inner: &Inner, entry: &Entry, vector: Option<&Compact>) -> Option<Parcel> {
        if entry.bytes() > MAX_SENT {
            return None;
        }
        self.seals.pack(entry, inner.space(), vector)
    }

    /// The node is on its own and its config says that it serves nothing then.
    pub(crate) fn must_not_serve(&self, config: &CacheConfig) -> bool {
        config.partition_mode == PartitionMode::Stop && self.is_isolated()
    }

    /// No leader was heard of for a while; or one was, and what was agreed meanwhile is not here yet.
    fn is_isolated(&self) -> bool {
        let contact = self.link.last_contact();
        let silent = contact.is_none_or(|contact| contact > ISOLATED_AFTER);
        let before = self.isolated.load(Ordering::Relaxed);
        let isolated = silent || before && !self.link.keeps_up();
        if isolated != before {
            self.isolated.store(isolated, Ordering::Relaxed);
        }
        isolated
    }

    /// Runs until it is done or the cache stops.
    fn run(&self, inner: &Inner, work: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.keeper.stopping();
        inner.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stopping => {}
            }
        });
    }

    /// An entry of another node was served here: its owner is told, and when it is hot it is kept
    /// here for a while.
    pub(crate) fn served_from(&self, inner: &Arc<Inner>, from: MemberId, entry: &Arc<Entry>) {
        Counters::add(&self.counters.remote_hits);
        spread::send(inner, self, from, Out::Used(entry.id));
        if !self.hot.lock().hit(entry.id, Moment::now()) {
            return;
        }
        let Ok(permit) = Arc::clone(&inner.background).try_acquire_owned() else {
            return;
        };
        let until = unix_millis().saturating_add(HOT_FOR_MILLIS);
        let copy = Entry {
            serial: inner.shelf.lock().next_serial(),
            expires: entry.expires.min(until),
            borrowed: true,
            ..Entry::clone(entry)
        };
        let worker = Arc::clone(inner);
        inner.tasks.spawn(async move {
            spread::keep(&worker, Arc::new(copy), None).await;
            drop(permit);
        });
    }

    /// What an operator is shown.
    pub(crate) fn shown(&self) -> CachePeers {
        let (views, counters) = (self.views(), &self.counters);
        CachePeers {
            nodes: views.target.members().len() as u64,
            cells: views.target.cells().epoch(),
            moving: views.is_moving(),
            looks: Counters::get(&counters.looks),
            asked: Counters::get(&counters.asked),
            remote_hits: Counters::get(&counters.remote_hits),
            unanswered: Counters::get(&counters.unanswered),
            behind: Counters::get(&counters.behind),
            foreign: Counters::get(&counters.foreign),
            sent: Counters::get(&counters.sent),
            received: Counters::get(&counters.received),
            dropped: Counters::get(&counters.dropped),
            hinted: Counters::get(&counters.hinted),
            moved: Counters::get(&counters.moved),
            moved_bytes: Counters::get(&counters.moved_bytes),
        }
    }

    /// Moves nothing any more, and answers for nobody; what waits in outboxes is delivered.
    pub(crate) fn stop(&self) {
        self.keeper.stop();
    }

    /// Epoch of the agreed cells of this cache's space; 0 while there are none.
    fn agreed_cells_epoch(&self) -> u64 {
        let views = self.views();
        let agreed = self.link.cells(views.target.cells().space());
        agreed.map_or(0, |cells| cells.epoch())
    }

    fn is_stopping(&self) -> bool {
        self.keeper.is_stopping()
    }
}

/// Nodes that keep an entry for its meaning.
fn copies(inner: &Inner) -> usize {
    inner.config.load().copies.into()
}

/// The cells in force: those agreed for the space, or the set it begins with.
fn cells(link: &dyn Link, space: &str, dimensions: usize) -> Arc<Cells> {
    let agreed = link.cells(space);
    let fitting = agreed.filter(|cells| cells.dimensions() == dimensions);
    fitting.unwrap_or_else(|| Arc::new(Cells::starting(space, dimensions)))
}

#[cfg(test)]
pub(crate) mod tests;
