//! Several caches in one process: real caches, real envelopes, no wire. Links can be cut, slowed and
//! told to lie; what is agreed is one state that each node may see late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use llm_router_cluster::MemberId;
use llm_router_cluster::placement::Cells;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::cache::answer::Purge;
use crate::cache::epochs::Table;
use crate::cache::key::EntryId;
use crate::cache::peers::link::{Link, Members, Unanswered};
use crate::cache::peers::words::{
    Ask, Compared, FlyAsk, FlyWord, Group, Kept, Offered, Parcel, Sampled, Seen, Stand, Told,
    Wanted,
};
use crate::cache::peers::{flight, serve};
use crate::cache::{AnswerCache, Settings};

use super::liar::Lies;

pub(crate) const SECRET: [u8; 32] = [42; 32];

/// What is agreed.
#[derive(Clone, Debug, Default)]
struct State {
    epoch: u64,
    scopes: BTreeMap<String, u64>,
    cells: Option<Arc<Cells>>,
}

/// What the nodes share.
#[derive(Debug, Default)]
pub(crate) struct Net {
    nodes: RwLock<BTreeMap<MemberId, Node>>,
    agreed: Mutex<State>,
    /// What liars have heard and tell others.
    pub(crate) lies: Lies,
}

#[derive(Debug)]
struct Node {
    cache: AnswerCache,
    /// What it has heard of the agreed state.
    heard: watch::Sender<State>,
    /// It hears nothing new.
    deaf: bool,
    alive: bool,
    /// It is gone: streams to it and from it have ended.
    gone: CancellationToken,
    /// How long it takes to answer.
    slow: Duration,
    /// It answers something else than it should.
    lies: bool,
    /// It refuses every call.
    shut: bool,
}

impl Net {
    /// `count` nodes, numbered from 1, each with a cache made by `settings`.
    pub(crate) async fn of(count: u64, settings: impl Fn(u64) -> Settings) -> Arc<Self> {
        let net = Arc::<Net>::default();
        for number in 1..=count {
            net.add(number, settings(number)).await;
        }
        net.settled().await;
        net
    }

    /// One more node, or one that comes back with what `settings` leave it.
    pub(crate) async fn add(self: &Arc<Self>, number: u64, settings: Settings) {
        let settings = Settings {
            secret: Some(SECRET),
            ..settings
        };
        let cache = AnswerCache::open(settings).unwrap();
        let me = MemberId(number);
        let node = Node {
            cache: cache.clone(),
            heard: watch::Sender::new(self.agreed.lock().clone()),
            deaf: false,
            alive: true,
            gone: CancellationToken::new(),
            slow: Duration::ZERO,
            lies: false,
            shut: false,
        };
        self.nodes.write().insert(me, node);
        let link = Wire {
            net: Arc::clone(self),
            me,
            asked: AtomicU64::new(0),
        };
        cache.join_by(Arc::new(link), &SECRET).await;
    }

    /// The cache of a node.
    pub(crate) fn cache(&self, number: u64) -> AnswerCache {
        self.nodes.read()[&MemberId(number)].cache.clone()
    }

    /// Everyone's caches that are there.
    pub(crate) fn caches(&self) -> Vec<AnswerCache> {
        let nodes = self.nodes.read();
        let alive = nodes.values().filter(|node| node.alive);
        alive.map(|node| node.cache.clone()).collect()
    }

    /// Takes a node away: it answers nobody and nobody answers it.
    pub(crate) fn kill(&self, number: u64) {
        self.change(number, |node| {
            node.alive = false;
            node.gone.cancel();
        });
    }

    /// It refuses calls from now on, or no longer, and is a member all the same.
    pub(crate) fn shut(&self, number: u64, shut: bool) {
        self.change(number, |node| node.shut = shut);
    }

    /// It lies to others from now on, or no longer.
    pub(crate) fn lie(&self, number: u64, lies: bool) {
        self.change(number, |node| node.lies = lies);
    }

    /// Waits until a node knows and has forgotten everything that is called off.
    pub(crate) async fn caught_up(&self, number: u64) {
        let epoch = self.agreed.lock().epoch;
        let cache = self.cache(number);
        let stand = serve::stand(&cache.inner, epoch, LONG).await;
        assert!(stand.epoch >= epoch, "node {number} does not catch up");
    }

    /// It answers so late from now on.
    pub(crate) fn slow(&self, number: u64, by: Duration) {
        self.change(number, |node| node.slow = by);
    }

    /// It hears nothing of what is agreed, or catches up.
    pub(crate) fn deaf(&self, number: u64, deaf: bool) {
        let state = self.agreed.lock().clone();
        self.change(number, |node| {
            node.deaf = deaf;
            if !deaf {
                node.heard.send_replace(state);
            }
        });
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Node)) {
        change(self.nodes.write().get_mut(&MemberId(number)).unwrap());
    }

    fn agree(&self, change: impl FnOnce(&mut State)) {
        let mut agreed = self.agreed.lock();
        change(&mut agreed);
        for node in self.nodes.read().values().filter(|node| !node.deaf) {
            node.heard.send_replace(agreed.clone());
        }
    }

    /// Waits until every node reads from where it brings entries to.
    pub(crate) async fn settled(&self) {
        let alive: BTreeSet<MemberId> = self.alive();
        let settled = async {
            loop {
                let all = self.caches().into_iter().all(|cache| {
                    let views = cache.inner.peers().unwrap().views();
                    !views.is_moving() && views.target.members() == alive
                });
                if all {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let within = tokio::time::timeout(Duration::from_secs(40), settled).await;
        within.expect("the nodes settle");
    }

    /// Waits until nothing is under way on any node.
    pub(crate) async fn idle(&self) {
        // outboxes have no sign of being empty: what was sent is there when it is held
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(15)).await;
            for cache in self.caches() {
                let background = &cache.inner.background;
                while background.available_permits() < crate::cache::MAX_BACKGROUND {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    }

    fn alive(&self) -> BTreeSet<MemberId> {
        let nodes = self.nodes.read();
        let alive = nodes.iter().filter(|(_, node)| node.alive);
        alive.map(|(member, _)| *member).collect()
    }
}

/// One node's way to the others.
#[derive(Debug)]
struct Wire {
    net: Arc<Net>,
    me: MemberId,
    asked: AtomicU64,
}

impl Wire {
    fn lies(&self, member: MemberId) -> bool {
        let nodes = self.net.nodes.read();
        nodes.get(&member).is_some_and(|node| node.lies)
    }

    /// Resolves when one of the two is gone.
    fn cut(&self, to: MemberId) -> impl Future<Output = ()> + Send + use<> {
        let nodes = self.net.nodes.read();
        let [here, there] = [self.me, to].map(|member| nodes[&member].gone.clone());
        async move {
            tokio::select! {
                () = here.cancelled() => {}
                () = there.cancelled() => {}
            }
        }
    }

    async fn reach(&self, to: MemberId, within: Duration) -> Result<AnswerCache, Unanswered> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let gone = || Unanswered::Unreached("gone".to_owned());
        let (cache, slow) = {
            let nodes = self.net.nodes.read();
            let alive = |member: &MemberId| nodes.get(member).filter(|node| node.alive);
            alive(&self.me).ok_or_else(gone)?;
            let node = alive(&to).filter(|node| !node.shut).ok_or_else(gone)?;
            (node.cache.clone(), node.slow)
        };
        if slow > within {
            tokio::time::sleep(within).await;
            return Err(Unanswered::Late);
        }
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        Ok(cache)
    }

    fn heard(&self) -> State {
        let nodes = self.net.nodes.read();
        nodes[&self.me].heard.borrow().clone()
    }
}

const LONG: Duration = Duration::from_secs(5);

#[async_trait]
impl Link for Wire {
    fn me(&self) -> MemberId {
        self.me
    }

    fn members(&self) -> Members {
        let nodes = self.net.nodes.read();
        let me_alive = nodes[&self.me].alive;
        let sees =
            |(member, node): &(&MemberId, &Node)| **member == self.me || me_alive && node.alive;
        Members {
            alive: nodes
                .iter()
                .filter(sees)
                .map(|(member, _)| *member)
                .collect(),
            names: nodes
                .keys()
                .map(|member| (*member, format!("n{}", member.0)))
                .collect(),
        }
    }

    fn leads(&self) -> bool {
        self.me == MemberId(1)
    }

    fn last_contact(&self) -> Option<Duration> {
        let nodes = self.net.nodes.read();
        let node = &nodes[&self.me];
        (node.alive && !node.deaf).then_some(Duration::ZERO)
    }

    fn keeps_up(&self) -> bool {
        self.last_contact().is_some()
    }

    fn epochs(&self) -> Table {
        let state = self.heard();
        Table::agreed(state.epoch, 0, &state.scopes)
    }

    fn epoch(&self) -> u64 {
        self.heard().epoch
    }

    fn cells(&self, _space: &str) -> Option<Arc<Cells>> {
        self.heard().cells
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        let mut states = self.net.nodes.read()[&self.me].heard.subscribe();
        states.mark_changed();
        stream::unfold(states, |mut states| async move {
            states.changed().await.ok()?;
            Some(((), states))
        })
        .boxed()
    }

    async fn call_off(&self, purge: &Purge) -> Result<u64, llm_router_cluster::Error> {
        let mut epoch = 0;
        self.net.agree(|state| {
            state.epoch += 1;
            epoch = state.epoch;
            state.scopes.insert(purge.scope(), epoch);
        });
        Ok(epoch)
    }

    async fn recell(
        &self,
        _expected: Option<u64>,
        cells: &Cells,
    ) -> Result<(), llm_router_cluster::Error> {
        self.net
            .agree(|state| state.cells = Some(Arc::new(cells.clone())));
        Ok(())
    }

    async fn look(&self, to: MemberId, ask: &Ask, within: Duration) -> Result<Seen, Unanswered> {
        let cache = self.reach(to, within).await?;
        if self.lies(self.me) {
            self.net.lies.look_as_another(&cache.inner, ask).await;
        }
        let seen = serve::look(&cache.inner, ask).await;
        Ok(self.net.lies.seen(self.lies(to), ask, seen))
    }

    async fn fly(
        &self,
        to: MemberId,
        ask: FlyAsk,
        told: mpsc::Receiver<Told>,
        within: Duration,
    ) -> Result<BoxStream<'static, FlyWord>, Unanswered> {
        let cache = self.reach(to, within).await?;
        let lies = &self.net.lies;
        if self.lies(self.me) {
            lies.fly_as_another(&cache.inner, &ask);
        }
        if self.lies(to)
            && let Some(words) = lies.fly(&ask)
        {
            return Ok(words);
        }
        let told = ReceiverStream::new(told).take_until(self.cut(to));
        let told = match self.lies(self.me) {
            true => lies.told(&ask, told.boxed()),
            false => told.boxed(),
        };
        let (net, entry) = (Arc::clone(&self.net), ask.entry);
        let told = told.inspect(move |told| net.lies.hear(entry, told)).boxed();
        let words = flight::fly(&cache.inner, ask, told);
        Ok(words.take_until(self.cut(to)).boxed())
    }

    async fn put(
        &self,
        to: MemberId,
        parcels: Vec<Parcel>,
        used: Vec<EntryId>,
        repair: bool,
    ) -> Result<Kept, Unanswered> {
        let cache = self.reach(to, LONG).await?;
        let parcels = self.net.lies.put(self.lies(self.me), parcels);
        Ok(serve::put(&cache.inner, parcels, used, repair).await)
    }

    async fn offer(&self, to: MemberId, entries: Vec<Offered>) -> Result<Wanted, Unanswered> {
        let cache = self.reach(to, LONG).await?;
        Ok(serve::offer(&cache.inner, &entries))
    }

    async fn compare(
        &self,
        to: MemberId,
        placement: u64,
        groups: Vec<Group>,
    ) -> Result<Compared, Unanswered> {
        let cache = self.reach(to, LONG).await?;
        Ok(serve::compare(&cache.inner, self.me, placement, groups).await)
    }

    async fn stand(&self, to: MemberId, epoch: u64, within: Duration) -> Result<Stand, Unanswered> {
        let cache = self.reach(to, within).await?;
        Ok(serve::stand(&cache.inner, epoch, within).await)
    }

    async fn sample(&self, to: MemberId, space: &str, most: u32) -> Result<Sampled, Unanswered> {
        let cache = self.reach(to, LONG).await?;
        Ok(serve::sample(&cache.inner, space, most as usize))
    }
}
