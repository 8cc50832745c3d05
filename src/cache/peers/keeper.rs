//! Brings every entry to where it belongs, over and over: after nodes came or went, after cells were
//! drawn anew, after something was lost on the way.
//!
//! ```text
//!              members or cells changed                everybody has settled
//!   reading = target ──────────────────► reading ≠ target ──────────────────► reading = target
//!                          new target        │  ▲ sweep          entries of others go
//!                                            └──┘
//! ```
//!
//! While reading and target differ, look-ups go where entries were, new entries go to both. A sweep
//! offers each node what it should have of what is held here. What both sides own is compared by
//! digests per cell and hour, so that a sweep that finds nothing costs almost nothing. A sweep that
//! was broken off is simply begun again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use llm_router_cluster::MemberId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::held::{Held, Lists, groups, list};
use super::link::Members;
use super::train;
use super::view::{View, Views};
use super::words::{Compared, Group, Offered};
use super::{Peers, cells};
use crate::cache::Inner;
use crate::cache::stats::Counters;
use crate::types::Moment;

/// How often it looks who is there.
const TICK: Duration = Duration::from_millis(250);
/// How often everything is compared although nothing changed.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// A node that has gone may come back: its entries are not copied before.
const GRACE: Duration = Duration::from_secs(10);
/// After a sweep that could not be finished; twice as long after the next, and so on.
const AGAIN: Duration = Duration::from_secs(1);
/// A node that does not settle is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes brought elsewhere per second, about.
const BYTES_PER_SECOND: usize = 16 << 20;
/// Entries offered at once.
const OFFER: usize = 2048;
/// Most entries and bytes of one call.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 1 << 20;

/// A sweep under way.
type Sweep = Pin<Box<dyn Future<Output = bool> + Send>>;

/// What the keeper keeps.
#[derive(Default)]
pub(super) struct Keeper {
    wake: Notify,
    stop: CancellationToken,
    pub(super) lists: Lists,
}

impl Keeper {
    /// A sweep is due at once.
    pub(super) fn hurry(&self) {
        self.wake.notify_one();
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Resolves when the keeper is told to stop.
    pub(super) fn stopping(&self) -> impl Future<Output = ()> + use<> {
        self.stop.clone().cancelled_owned()
    }
}

/// What placements are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Grounds {
    alive: BTreeMap<MemberId, u32>,
    cells: u64,
    copies: usize,
}

/// Where the keeper is with its work.
#[derive(Default)]
pub(super) struct Course {
    grounds: Grounds,
    /// When the next sweep is due.
    due: Moment,
    /// Since when the target is what it is.
    since: Moment,
    trained: Option<Moment>,
    /// Sweeps in a row that could not be finished.
    unfinished: u32,
}

/// Looks around for the first time; what it came to is handed to [`run`].
pub(super) async fn begin(inner: &Arc<Inner>) -> Course {
    let mut course = Course::default();
    if let Some(peers) = inner.peers() {
        course.look_around(inner, peers).await;
    }
    course
}

pub(super) async fn run(inner: Arc<Inner>, mut course: Course) {
    let Some(peers) = inner.peers() else { return };
    let stopping = peers.keeper.stopping();
    tokio::pin!(stopping);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut sweeping = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = peers.keeper.wake.notified() => course.due = Moment::now(),
            complete = async { match sweeping.as_mut() {
                Some(sweep) => Pin::as_mut(sweep).await,
                None => std::future::pending().await,
            } } => {
                sweeping = None;
                course.swept(peers, complete);
            }
            () = &mut stopping => return,
        }
        if course.look_around(&inner, peers).await {
            sweeping = None;
        }
        if sweeping.is_none() && Moment::now() >= course.due {
            let (worker, target) = (Arc::clone(&inner), Arc::clone(&peers.views().target));
            let patient = course.is_patient();
            let sweep = async move { sweep(&worker, &target, patient).await };
            sweeping = Some(Box::pin(sweep) as Sweep);
        }
        course.switch(&inner, peers).await;
        course.train(&inner, peers);
    }
}

impl Course {
    /// Works out the placement anew when members or cells have changed; true when they have.
    async fn look_around(&mut self, inner: &Arc<Inner>, peers: &Arc<Peers>) -> bool {
        let members = peers.link.members();
        let grounds = self.now(peers, &members);
        if grounds == self.grounds {
            return false;
        }
        let before = std::mem::replace(&mut self.grounds, grounds);
        let now = Moment::now();
        let lost = before
            .alive
            .keys()
            .any(|m| !self.grounds.alive.contains_key(m));
        self.due = if lost { now + GRACE } else { now };
        self.since = now;
        self.unfinished = 0;
        let known = peers.views();
        let dimensions = known.target.cells().dimensions();
        let cells = cells(&*peers.link, inner.space(), dimensions);
        let alive = self.grounds.alive.clone();
        let first = before == Grounds::default();
        let made = tokio::task::spawn_blocking(move || {
            let target = Arc::new(View::new(Arc::clone(&cells), &alive));
            let reading = match other_side(&alive, &known.reading.members(), first) {
                Some(others) => Arc::new(View::new(cells, &others)),
                None if first => Arc::clone(&target),
                None => Arc::clone(&known.reading),
            };
            Views { reading, target }
        });
        if let Ok(views) = made.await {
            tracing::debug!(
                members = self.grounds.alive.len(),
                "cache placement changes"
            );
            peers.views.store(Arc::new(views));
        }
        true
    }

    fn now(&self, peers: &Peers, members: &Members) -> Grounds {
        let weights = peers.weights.load();
        let weight = |member: &MemberId| {
            let name = members.names.get(member);
            name.and_then(|name| weights.get(name))
                .copied()
                .unwrap_or(1)
        };
        let alive = members.alive.iter().map(|member| (*member, weight(member)));
        let space_epoch = peers.agreed_cells_epoch();
        Grounds {
            alive: alive.collect(),
            cells: space_epoch,
            copies: peers.copies(),
        }
    }

    fn swept(&mut self, peers: &Peers, complete: bool) {
        let now = Moment::now();
        let target = peers.views().target.fingerprint();
        if complete {
            peers.standing.settled.store(target, Ordering::Relaxed);
        }
        self.unfinished = if complete { 0 } else { self.unfinished + 1 };
        let again = AGAIN.saturating_mul(1 << self.unfinished.saturating_sub(1).min(6));
        self.due = now
            + if complete {
                SWEEP_EVERY
            } else {
                again.min(SWEEP_EVERY)
            };
    }

    /// Nodes that do not keep up are still waited for.
    fn is_patient(&self) -> bool {
        Moment::now().since(self.since) < PATIENCE
    }

    /// Reads from the target once everybody has brought everything there.
    async fn switch(&self, inner: &Arc<Inner>, peers: &Peers) {
        let views = peers.views();
        let target = views.target.fingerprint();
        let settled = peers.standing.settled.load(Ordering::Relaxed) == target;
        if !views.is_moving() || !settled {
            return;
        }
        let patient = self.is_patient();
        let others = views.target.members();
        let others = others.into_iter().filter(|member| *member != peers.me());
        let asked = others.map(|member| peers.link.stand(member, 0, TICK));
        let stands = futures::future::join_all(asked).await;
        let all = stands.into_iter().all(|stand| match stand {
            Ok(stand) if stand.settled == target => true,
            Ok(_) | Err(_) => !patient,
        });
        if !all || peers.views().target.fingerprint() != target {
            return;
        }
        peers.views.store(Arc::new(Views {
            reading: Arc::clone(&views.target),
            target: Arc::clone(&views.target),
        }));
        tracing::debug!("cache placement is settled");
        drop_strays(inner, peers, &HashSet::new()).await;
    }

    /// The leader draws the cells anew when they have become uneven.
    fn train(&mut self, inner: &Arc<Inner>, peers: &Arc<Peers>) {
        let now = Moment::now();
        let due = self
            .trained
            .is_none_or(|at| now.since(at) >= train::LOOK_EVERY);
        if !due || !peers.link.leads() || peers.views().is_moving() {
            return;
        }
        self.trained = Some(now);
        let (worker, link) = (Arc::clone(inner), Arc::clone(peers));
        inner.tasks.spawn(async move {
            train::look(&worker, &link, train::When::Uneven).await;
        });
    }
}

/// Those who are new to this node, where entries are to be looked for among them until all have
/// settled: when this node has just started, and when it was cut off with fewer than they are. It is
/// then asked for nothing before it has its part, and asks the others.
fn other_side(
    alive: &BTreeMap<MemberId, u32>,
    before: &BTreeSet<MemberId>,
    first: bool,
) -> Option<BTreeMap<MemberId, u32>> {
    let mut others = alive.clone();
    others.retain(|member, _| !before.contains(member));
    let kept = before.iter().filter(|member| alive.contains_key(member));
    let is_other = !others.is_empty() && (first || others.len() > kept.count());
    is_other.then_some(others)
}

/// Offers every node what it should have; true when all of it was dealt with. A node that cannot be
/// dealt with is done without once nobody is patient any more.
async fn sweep(inner: &Arc<Inner>, target: &Arc<View>, patient: bool) -> bool {
    let Some(peers) = inner.peers() else {
        return false;
    };
    let held = list(inner, true).await;
    let members: BTreeSet<MemberId> = target.members();
    let mut unsure = HashSet::new();
    let mut complete = true;
    for member in members.into_iter().filter(|member| *member != peers.me()) {
        let bringing = Bringing {
            inner,
            peers,
            member,
            target: target.fingerprint(),
        };
        complete &= bringing.all(&held, &mut unsure).await || !patient;
    }
    if complete && !peers.views().is_moving() {
        drop_strays(inner, peers, &unsure).await;
    }
    complete
}

struct Bringing<'a> {
    inner: &'a Arc<Inner>,
    peers: &'a Peers,
    member: MemberId,
    target: u64,
}

impl Bringing<'_> {
    /// Brings a node what it lacks. Entries it may still lack afterwards are noted.
    async fn all(&self, held: &[Held], unsure: &mut HashSet<u64>) -> bool {
        let me = self.peers.me();
        let its = held
            .iter()
            .filter(|one| one.placed.owners.contains(&self.member));
        let (shared, mut offered): (Vec<&Held>, Vec<&Held>) =
            its.partition(|one| one.placed.owners.contains(&me));
        let mut complete = true;
        let groups = groups(shared.iter().copied());
        if !groups.is_empty() {
            let list: Vec<Group> = groups.values().copied().collect();
            let compared = self
                .peers
                .link
                .compare(self.member, self.target, list)
                .await;
            match compared {
                Ok(Compared::Other(places)) => {
                    let places: BTreeSet<u32> = places.into_iter().collect();
                    let other: HashSet<(u16, u32)> = (0..)
                        .zip(groups.keys())
                        .filter(|(place, _)| places.contains(place))
                        .map(|(_, key)| *key)
                        .collect();
                    offered.extend(
                        shared
                            .into_iter()
                            .filter(|one| other.contains(&one.group())),
                    );
                }
                Ok(Compared::Elsewhere) | Err(_) => complete = false,
            }
        }
        for chunk in offered.chunks(OFFER) {
            if !self.bring(chunk).await {
                complete = false;
                unsure.extend(chunk.iter().map(|one| one.entry.serial));
            }
        }
        complete
    }

    async fn bring(&self, chunk: &[&Held]) -> bool {
        let entries: Vec<Offered> = chunk
            .iter()
            .map(|one| Offered {
                entry: one.entry.id,
                created: one.entry.created,
            })
            .collect();
        let Ok(wanted) = self.peers.link.offer(self.member, entries).await else {
            return false;
        };
        let mut batch = Vec::new();
        let mut bytes = 0;
        for place in wanted {
            let Some(one) = usize::try_from(place).ok().and_then(|at| chunk.get(at)) else {
                continue;
            };
            let parcel = self.peers.pack(self.inner, &one.entry, one.vector.as_ref());
            let Some(parcel) = parcel else { continue };
            bytes += parcel.sealed.len();
            batch.push(parcel);
            if batch.len() >= BATCH || bytes >= BATCH_BYTES {
                if !self.send(std::mem::take(&mut batch), bytes).await {
                    return false;
                }
                bytes = 0;
            }
        }
        batch.is_empty() || self.send(batch, bytes).await
    }

    async fn send(&self, batch: Vec<super::words::Parcel>, bytes: usize) -> bool {
        let count = batch.len();
        let put = self
            .peers
            .link
            .put(self.member, batch, Vec::new(), true)
            .await;
        let Ok(kept) = put else { return false };
        let counters = &self.peers.counters;
        Counters::add_many(&counters.moved, usize::try_from(kept.kept).unwrap_or(count));
        Counters::add_many(&counters.moved_bytes, bytes);
        let micros = bytes.saturating_mul(1_000_000) / BYTES_PER_SECOND;
        let pause = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        tokio::time::sleep(pause).await;
        true
    }
}

/// Lets go of entries that others keep.
async fn drop_strays(inner: &Arc<Inner>, peers: &Peers, but: &HashSet<u64>) {
    let me = peers.me();
    let held = list(inner, true).await;
    let strays = held.iter().filter(|one| !one.placed.owners.contains(&me));
    let strays: Vec<u64> = strays
        .map(|one| one.entry.serial)
        .filter(|serial| !but.contains(serial))
        .collect();
    if strays.is_empty() {
        return;
    }
    tracing::debug!(
        entries = strays.len(),
        "entries that others keep are let go"
    );
    let worker = Arc::clone(inner);
    let dropped = tokio::task::spawn_blocking(move || {
        for some in strays.chunks(256) {
            let removed = {
                let mut shelf = worker.shelf.lock();
                let removed = some.iter().filter_map(|serial| shelf.drop_serial(*serial));
                removed.collect()
            };
            worker.take_out(removed);
        }
    });
    if dropped.await.is_err() {
        tracing::debug!("entries that others keep stay, shutting down");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_started_or_was_cut_off_looks_among_the_others_first() {
        let alive = |members: &[u64]| members.iter().map(|m| (MemberId(*m), 1)).collect();
        let side = |all: &[u64], before: &[u64], first| {
            let before = before.iter().copied().map(MemberId).collect();
            let others = other_side(&alive(all), &before, first);
            others.map(|others| others.keys().map(|member| member.0).collect::<Vec<_>>())
        };
        assert_eq!(side(&[1], &[1], true), None, "alone");
        assert_eq!(
            side(&[1, 2], &[2], true),
            Some(vec![1]),
            "joins a cluster of one"
        );
        assert_eq!(side(&[1, 2], &[1], false), None, "that cluster of one");
        assert_eq!(
            side(&[1, 2, 3], &[1], false),
            Some(vec![2, 3]),
            "was cut off"
        );
        assert_eq!(
            side(&[1, 2, 3], &[2, 3], false),
            None,
            "those it was cut off from"
        );
        assert_eq!(side(&[1, 2, 3], &[1, 2, 3], false), None);
    }
}
