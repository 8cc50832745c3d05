//! What goes wrong, drawn from the seed.

use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::net::Weather;
use crate::node::Ambush;
use crate::types::{ms, pause, peer};
use crate::world::World;

/// The nemesis of one run.
pub(crate) struct Nemesis {
    world: Arc<World>,
    rng: SmallRng,
    /// Faults so far.
    pub(crate) faults: u64,
}

impl Nemesis {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Nemesis {
            world: Arc::clone(world),
            rng: SmallRng::seed_from_u64(world.seed ^ 0xBAD0_0000),
            faults: 0,
        }
    }

    /// Does harm until the storm is over; tells how often.
    pub(crate) async fn rage(mut self) -> u64 {
        while self.world.is_stormy() {
            let wait = ms(self.rng.random_range(100..1_200));
            pause(wait).await;
            if self.world.is_stormy() {
                self.harm().await;
                self.faults += 1;
            }
        }
        self.faults
    }

    async fn harm(&mut self) {
        match self.rng.random_range(0..16) {
            0 => self.crash(self.world.leader().map(|leader| leader.node.id)),
            1..=2 => {
                let any = self.any();
                self.crash(Some(any));
            }
            3 => self.power_cut(),
            4..=7 => self.ambush(),
            8 => self.isolate(),
            9 => self.split(),
            10 => self.one_way(),
            11 => self.bad_weather(),
            12 => self.slow_disk(),
            13 => self.snapshot().await,
            14 => self.transfer().await,
            _ => self.world.net.heal(),
        }
        if self.rng.random_bool(0.2) {
            self.admit_learner().await;
        }
        if self.rng.random_bool(0.3) {
            self.world.net.heal();
        }
    }

    fn any(&mut self) -> u64 {
        self.rng.random_range(1..=self.world.nodes.len() as u64)
    }

    fn crash(&mut self, id: Option<u64>) {
        let down = self.down();
        for node in self.world.nodes.iter().filter(|node| id == Some(node.id)) {
            node.crash(down);
        }
    }

    fn down(&mut self) -> Duration {
        ms(self.rng.random_range(20..2_000))
    }

    fn power_cut(&mut self) {
        for node in &self.world.nodes {
            node.crash(ms(self.rng.random_range(20..400)));
        }
    }

    fn ambush(&mut self) {
        let hit = self.any();
        for node in &self.world.nodes {
            if node.id == hit || self.rng.random_bool(0.1) {
                node.lie_in_ambush(Ambush {
                    after: self.rng.random_range(0..12),
                    synced: self.rng.random_bool(0.5),
                });
            }
        }
    }

    fn isolate(&mut self) {
        let alone = self.any();
        self.part(|id| id == alone);
    }

    fn split(&mut self) {
        let side = self.rng.random_range(0..1_u64 << 6);
        self.part(|id| side >> id & 1 == 1);
    }

    fn part(&self, side: impl Fn(u64) -> bool) {
        for from in &self.world.nodes {
            for to in &self.world.nodes {
                if side(from.id) != side(to.id) {
                    self.world.net.cut(from.id, to.id);
                }
            }
        }
    }

    fn one_way(&mut self) {
        for _ in 0..3 {
            let (from, to) = (self.any(), self.any());
            self.world.net.cut(from, to);
        }
    }

    fn bad_weather(&mut self) {
        self.world.net.set_weather(Weather {
            delay: ms(self.rng.random_range(5..120)),
            lost: self.rng.random_range(0..250),
            doubled: self.rng.random_range(0..200),
        });
    }

    fn slow_disk(&mut self) {
        let slow = self.any();
        for node in self.world.nodes.iter().filter(|node| node.id == slow) {
            let longest = ms(self.rng.random_range(20..400));
            node.slow_down((ms(1), longest));
        }
    }

    async fn snapshot(&mut self) {
        let any = self.any();
        if let Some(process) = self.world.net.process(any) {
            drop(process.raft.trigger().snapshot().await);
        }
    }

    /// Another voter is to lead. Never the leader itself: it would stop its heartbeats, wait for
    /// itself, and take no write until somebody else is elected, which where it votes alone is never.
    async fn transfer(&mut self) {
        let to = self.rng.random_range(1..=self.world.voters);
        if let Some(leader) = self.world.leader().filter(|leader| leader.node.id != to) {
            drop(leader.raft.trigger().transfer_leader(to).await);
        }
    }

    /// The node that learns comes in; doing it again changes nothing.
    async fn admit_learner(&self) {
        if let Some(leader) = self.world.leader() {
            let id = self.world.voters + 1;
            let admitted = leader.raft.add_learner(id, peer(id), false);
            drop(SimRuntime::timeout(ms(500), admitted).await);
        }
    }
}
