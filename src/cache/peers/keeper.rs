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

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use llm_router_cluster::MemberId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::bring::{Swept, drop_strays, sweep};
use super::held::Lists;
use super::link::Members;
use super::train;
use super::view::{View, Views};
use super::{Peers, cells, copies};
use crate::cache::Inner;
use crate::types::Moment;

/// How often it looks who is there.
const TICK: Duration = Duration::from_millis(250);
/// How often everything is compared although nothing changed.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// A node that has gone may come back: its entries are not copied before.
const GRACE: Duration = Duration::from_secs(10);
/// After a sweep that could not be finished; twice as long after the next, and so on.
const AGAIN: Duration = Duration::from_secs(1);
/// A node that does not keep up is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Nor is one that is still bringing entries, whatever it has.
const LONGEST_MOVE: Duration = Duration::from_secs(3600);
/// A node that was there within this time may come back.
const REMEMBERED: Duration = Duration::from_secs(60);
/// A sweep under way.
type Sweep = Pin<Box<dyn Future<Output = Swept> + Send>>;

/// What the keeper keeps.
#[derive(Default)]
pub(super) struct Keeper {
    wake: Notify,
    stop: CancellationToken,
    pub(super) lists: Lists,
}

impl Keeper {
    /// A sweep is due soon.
    pub(super) fn hurry(&self) {
        self.wake.notify_one();
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// It was told to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
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
    /// Nodes that are not there any more are waited for until then.
    not_before: Moment,
    /// When each node was there last.
    seen: BTreeMap<MemberId, Moment>,
    /// What the last whole sweep has found others to have, and of which placement it was.
    confirmed: (u64, Vec<u64>),
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
            () = peers.keeper.wake.notified() => course.hasten(),
            swept = async { match sweeping.as_mut() {
                Some(sweep) => Pin::as_mut(sweep).await,
                None => std::future::pending().await,
            } } => {
                sweeping = None;
                course.swept(&inner, peers, swept).await;
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
        peers.is_isolated();
        peers.keeper.lists.forget_old();
        course.switch(&inner, peers).await;
        course.train(&inner, peers);
    }
}

impl Course {
    /// Works out the placement anew when members or cells have changed; true when they have.
    async fn look_around(&mut self, inner: &Arc<Inner>, peers: &Arc<Peers>) -> bool {
        let members = peers.link.members();
        let grounds = self.now((inner, peers), &members);
        let now = Moment::now();
        self.seen.retain(|_, at| now.since(*at) < REMEMBERED);
        let there = grounds.alive.keys().map(|member| (*member, now));
        self.seen.extend(there);
        if grounds == self.grounds {
            return false;
        }
        let before = std::mem::replace(&mut self.grounds, grounds);
        let gone = self.seen.iter();
        let gone = gone.filter(|(member, _)| !self.grounds.alive.contains_key(member));
        self.not_before = gone.map(|(_, at)| *at + GRACE).max().unwrap_or(now);
        self.due = self.not_before.max(now);
        self.since = self.due;
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

    fn now(&self, (inner, peers): (&Inner, &Peers), members: &Members) -> Grounds {
        let weights = peers.weights.load();
        let weight = |member: &MemberId| {
            let name = members.names.get(member);
            name.and_then(|name| weights.get(name))
                .copied()
                .unwrap_or(1)
        };
        let alive = members.alive.iter().map(|member| (*member, weight(member)));
        let space_epoch = peers.agreed_cells_epoch();
        let mut alive: BTreeMap<MemberId, u32> = alive.collect();
        if alive.values().all(|weight| *weight == 0) {
            // somebody has to keep what there is
            alive.values_mut().for_each(|weight| *weight = 1);
        }
        Grounds {
            alive,
            cells: space_epoch,
            copies: copies(inner),
        }
    }

    /// Somebody has entries that are others': they are soon brought, or found gone for good.
    fn hasten(&mut self) {
        let soon = (Moment::now() + AGAIN).max(self.not_before);
        self.due = self.due.min(soon);
    }

    async fn swept(&mut self, inner: &Arc<Inner>, peers: &Peers, swept: Swept) {
        let now = Moment::now();
        let views = peers.views();
        let target = views.target.fingerprint();
        let Swept {
            complete,
            confirmed,
        } = swept;
        if complete {
            peers.standing.settled.store(target, Ordering::Relaxed);
        }
        if complete && !views.is_moving() {
            drop_strays(inner, confirmed).await;
        } else if complete {
            self.confirmed = (target, confirmed);
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

    /// Not even nodes that are at work are waited for any more.
    fn is_overdue(&self) -> bool {
        Moment::now().since(self.since) >= LONGEST_MOVE
    }

    /// Reads from the target once everybody has brought everything there.
    async fn switch(&mut self, inner: &Arc<Inner>, peers: &Peers) {
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
            // it is at work, and has much to bring
            Ok(stand) if stand.placement == target => self.is_overdue(),
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
        let (of, confirmed) = std::mem::take(&mut self.confirmed);
        if of == target {
            drop_strays(inner, confirmed).await;
        }
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
        peers.run(inner, async move {
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
