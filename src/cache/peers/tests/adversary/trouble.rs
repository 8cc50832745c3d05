//! What goes wrong, one thing after the other, over and over.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::world::{CASES, Case, MORTAL, World, settings_of};
use crate::cache::Purge;

/// Between two troubles.
const BREATH: Duration = Duration::from_millis(15);

pub(super) struct Trouble {
    world: Arc<World>,
    dirs: PathBuf,
    rng: StdRng,
}

impl Trouble {
    pub(super) fn new(world: Arc<World>, dirs: &Path, seed: u64) -> Self {
        Trouble {
            world,
            dirs: dirs.to_owned(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Makes trouble until everybody has asked enough; how many rounds that were.
    pub(super) async fn make(&mut self) -> u64 {
        let mut rounds = 0;
        while !self.world.is_over() {
            self.breathe(4).await;
            self.with_a_slow_node().await;
            self.with_a_liar().await;
            self.with_a_deaf_node().await;
            self.with_a_dead_node(rounds % 2 == 1).await;
            if rounds % 4 == 0 {
                self.world.net.cache(1).draw_cells().await;
            }
            self.catch_up().await;
            rounds += 1;
            self.world.troubled.store(rounds >= 2, Ordering::Relaxed);
        }
        rounds
    }

    /// Nodes that were too busy to say that they have forgotten.
    async fn catch_up(&self) {
        let there = self.world.there.lock().clone();
        for node in there {
            self.world.net.caught_up(node).await;
            self.world.unreached.lock().remove(&node);
        }
    }

    /// Any but the first: that one goes on purging.
    fn node(&mut self) -> u64 {
        let there: Vec<u64> = self.world.there.lock().iter().copied().skip(1).collect();
        there[self.rng.random_range(0..there.len())]
    }

    async fn breathe(&self, count: u32) {
        tokio::time::sleep(BREATH * count).await;
    }

    async fn with_a_slow_node(&mut self) {
        let node = self.node();
        let by = Duration::from_millis(self.rng.random_range(1..40));
        self.world.net.slow(node, by);
        self.breathe(3).await;
        self.world.net.slow(node, Duration::ZERO);
    }

    async fn with_a_liar(&mut self) {
        let node = self.node();
        self.world.net.lie(node, true);
        self.breathe(8).await;
        self.world.net.lie(node, false);
    }

    /// What it serves itself is its own; what it tells others must not be served by them.
    async fn with_a_deaf_node(&mut self) {
        let node = self.node();
        self.world.unreached.lock().insert(node);
        self.world.net.deaf(node, true);
        self.breathe(20).await;
        self.world.net.deaf(node, false);
        self.world.net.caught_up(node).await;
        self.world.unreached.lock().remove(&node);
    }

    /// It comes back with its disk as it was, or with one of long ago.
    async fn with_a_dead_node(&mut self, long_ago: bool) {
        let node = MORTAL[self.rng.random_range(0..MORTAL.len())];
        let world = Arc::clone(&self.world);
        world.there.lock().remove(&node);
        world.net.kill(node);
        world.net.cache(node).close().await;
        self.breathe(3).await;
        let [dir, old] =
            [node.to_string(), format!("{node} long ago")].map(|name| self.dirs.join(name));
        if long_ago && old.exists() {
            std::fs::remove_dir_all(&dir).unwrap();
            copy(&old, &dir);
        } else if !old.exists() || self.rng.random_ratio(1, 8) {
            _ = std::fs::remove_dir_all(&old);
            copy(&dir, &old);
        }
        world.net.add(node, settings_of(node, &self.dirs)).await;
        world.unreached.lock().remove(&node);
        world.there.lock().insert(node);
    }
}

/// Calls something off, over and over, by a node that never goes.
pub(super) async fn purges(world: Arc<World>, mut rng: StdRng) {
    while !world.is_over() {
        tokio::time::sleep(BREATH).await;
        let case = Case::of(rng.random_range(0..CASES));
        match rng.random_range(0..16) {
            0 => world.purge(Purge::All, |_| true).await,
            1..4 => {
                let what = Purge::Tenant(case.tenant());
                world.purge(what, |one| one.tenant == case.tenant).await;
            }
            4..7 => {
                let (name, value) = case.tag();
                let what = Purge::Tag(name, value);
                world.purge(what, |one| one.question == case.question).await;
            }
            7..9 => {
                let what = Purge::Model(case.model().as_str().into());
                world.purge(what, |one| one.model() == case.model()).await;
            }
            _ => {
                let what = Purge::Entry(world.entry_of(case));
                world.purge(what, |one| one == case).await;
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let (path, there) = (file.path(), to.join(file.file_name()));
        match path.is_dir() {
            true => copy(&path, &there),
            false => _ = std::fs::copy(&path, &there).unwrap(),
        }
    }
}
