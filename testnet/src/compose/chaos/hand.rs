//! Carries out one fault and takes it back.

mod rolling;

use std::time::Duration;

use anyhow::Context;
use futures::future::try_join_all;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use super::askers::Log;
use super::crew::{Crew, LIMIT};
use super::fault::{Fault, Sick, Step, Whom};
use super::means::Means;
use super::wires::Wires;
use crate::compose::disk;
use crate::compose::engine::Engine;
use crate::compose::launch::{lay, renew};
use crate::compose::plan::Plan;
use crate::nemesis::Board;
use crate::openloop::{self, Options};
use crate::orders;

/// Memory that a node has while it has little.
const MEMORY: &str = "512m";
/// What it has otherwise: a limit that is in force can be raised, not taken away.
const MEMORY_AFTER: &str = "16g";
/// A fifth of a processor, in microseconds of 100 ms.
const QUOTA: &str = "20000";
/// Room that is left on a disk that counts as full to the node, which keeps 256 MiB for itself.
const LITTLE: u64 = 48 << 20;
/// How far a clock is off, in seconds: more than any lease, less than what a certificate minds.
const SKEWS: [&str; 4] = ["+90", "-30", "+600", "-5"];
/// How long a node may take to read what was put in its certificate's place.
const RENEWED: Duration = Duration::from_secs(30);
/// Requests a second that are too many for two processors.
const TOO_MANY: f64 = 500.0;

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// It happened.
    Done,
    /// It could not be done, for this reason.
    Void(String),
}

/// How a link is bent.
#[derive(Clone, Copy, Debug)]
enum Bend {
    OneWay,
    Slow,
    Lossy,
}

/// Whatever harms needs.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) engine: Engine,
    pub(super) plan: Plan,
    pub(super) crew: Crew,
    pub(super) board: Board,
    pub(super) log: Log,
    pub(super) means: Means,
    /// The image that a rolling upgrade puts in, and the one that is out.
    pub(super) other_image: String,
}

impl Hand {
    /// Carries `step` out, waits as long as it lasts, and takes it back.
    ///
    /// # Errors
    /// A node does not come back, which is a finding, or the engine fails.
    pub(super) async fn carry_out(&mut self, step: &Step) -> anyhow::Result<Carried> {
        let Some(leader) = self.crew.leader().await else {
            return Ok(Carried::Void("nobody led".to_owned()));
        };
        let others: Vec<usize> = self.crew.ids().filter(|&id| id != leader).collect();
        let other = others[step.pick % others.len()];
        let any = 1 + step.pick % self.plan.nodes;
        match step.fault {
            Fault::Kill(whom) => self.kill(&self.chosen(whom, (leader, other)), step).await,
            Fault::Pause(whom) => self.pause(&self.chosen(whom, (leader, other)), step).await,
            Fault::Cut(whom) => self.cut(whom, (leader, other), step).await,
            Fault::OneWay => self.bend(Bend::OneWay, (leader, other), step).await,
            Fault::Slow => self.bend(Bend::Slow, (leader, other), step).await,
            Fault::Lossy => self.bend(Bend::Lossy, (leader, other), step).await,
            Fault::Processor => {
                let less = ["--cpu-period", "100000", "--cpu-quota", QUOTA];
                self.squeeze(any, &less, &["--cpu-quota", "-1"], step).await
            }
            Fault::Memory => {
                let less = ["--memory", MEMORY, "--memory-swap", MEMORY];
                let more = ["--memory", MEMORY_AFTER, "--memory-swap", MEMORY_AFTER];
                self.squeeze(any, &less, &more, step).await
            }
            Fault::Disk => self.fill(any, step).await,
            Fault::Clock => self.skew(any, step).await,
            Fault::Certificates => self.certify().await,
            Fault::Restart => self.restart().await,
            Fault::Upgrade => self.upgrade().await,
            Fault::Upstream(sick) => self.sicken(sick, step).await,
            Fault::Overload => self.crowd(step).await,
        }
    }

    fn chosen(&self, whom: Whom, (leader, other): (usize, usize)) -> Vec<usize> {
        match whom {
            Whom::Leader => vec![leader],
            Whom::Follower => vec![other],
            Whom::All => self.crew.ids().collect(),
        }
    }

    fn container(&self, id: usize) -> String {
        self.plan.container(&format!("n{id}"))
    }

    /// One word of the engine to some nodes' containers.
    async fn each(&self, verb: &[&str], ids: &[usize]) -> anyhow::Result<()> {
        let names: Vec<String> = ids.iter().map(|&id| self.container(id)).collect();
        let mut words = verb.to_vec();
        words.extend(names.iter().map(String::as_str));
        self.engine.docker(&words).await.map(drop)
    }

    /// Waits until they answer and are in step with the others, and lets them be judged again.
    async fn back(&self, ids: &[usize]) -> anyhow::Result<()> {
        try_join_all(ids.iter().map(|&id| self.crew.ready(id))).await?;
        ids.iter().for_each(|&id| self.board.accuse(id));
        Ok(())
    }

    async fn kill(&self, ids: &[usize], step: &Step) -> anyhow::Result<Carried> {
        ids.iter().for_each(|&id| self.board.excuse(id));
        self.each(&["kill"], ids).await?;
        sleep(step.lasts).await;
        self.each(&["start"], ids).await?;
        self.back(ids).await?;
        Ok(Carried::Done)
    }

    async fn pause(&self, ids: &[usize], step: &Step) -> anyhow::Result<Carried> {
        ids.iter().for_each(|&id| self.board.excuse(id));
        self.each(&["pause"], ids).await?;
        sleep(step.lasts).await;
        self.each(&["unpause"], ids).await?;
        self.back(ids).await?;
        Ok(Carried::Done)
    }

    /// Takes every link of a minority, or of all. Such a node is up, and has its upstreams: its
    /// answers count.
    async fn cut(
        &self,
        whom: Whom,
        (leader, other): (usize, usize),
        step: &Step,
    ) -> anyhow::Result<Carried> {
        let minority = (self.plan.nodes - 1) / 2;
        let first = match whom {
            Whom::Leader | Whom::All => leader,
            Whom::Follower => other,
        };
        let rest = self
            .crew
            .ids()
            .filter(|&id| id != first && (id != leader || whom == Whom::All));
        let size = if whom == Whom::All {
            self.plan.nodes
        } else {
            minority
        };
        let gone: Vec<usize> = [first].into_iter().chain(rest).take(size.max(1)).collect();
        let apart = |a: usize, b: usize| match whom {
            Whom::All => true,
            Whom::Leader | Whom::Follower => gone.contains(&a) != gone.contains(&b),
        };
        let links: Vec<(usize, usize)> = self
            .plan
            .links()
            .into_iter()
            .filter(|&(a, b)| apart(a, b))
            .collect();
        let wires = self.wires();
        for &(a, b) in &links {
            wires
                .cut(self.taken(&gone, (a, b)), self.stays(&gone, (a, b)))
                .await?;
        }
        sleep(step.lasts).await;
        for &(a, b) in &links {
            wires
                .join(self.taken(&gone, (a, b)), self.stays(&gone, (a, b)))
                .await?;
        }
        Ok(Carried::Done)
    }

    /// Of two nodes the one that leaves their network.
    fn taken(&self, gone: &[usize], (a, b): (usize, usize)) -> usize {
        if gone.contains(&a) { a } else { b }
    }

    fn stays(&self, gone: &[usize], (a, b): (usize, usize)) -> usize {
        if gone.contains(&a) { b } else { a }
    }

    fn wires(&self) -> Wires<'_> {
        Wires {
            engine: &self.engine,
            plan: &self.plan,
        }
    }

    /// A link that is there, and not as it should be.
    async fn bend(
        &self,
        how: Bend,
        (leader, other): (usize, usize),
        step: &Step,
    ) -> anyhow::Result<Carried> {
        if let Some(lack) = &self.means.wires {
            return Ok(Carried::Void(lack.clone()));
        }
        let (a, b) = if step.pick.is_multiple_of(2) {
            (leader, other)
        } else {
            (other, leader)
        };
        let wires = self.wires();
        let bent = match how {
            Bend::OneWay => vec![wires.deafen(a, b).await?],
            Bend::Lossy => vec![wires.lose(a, b).await?, wires.lose(b, a).await?],
            Bend::Slow => vec![wires.slow(a, b).await?, wires.slow(b, a).await?],
        };
        sleep(step.lasts).await;
        for undo in bent {
            undo.undo().await;
        }
        Ok(Carried::Done)
    }

    /// Gives a node less of something, and then as much as before. It is whole meanwhile.
    async fn squeeze(
        &self,
        id: usize,
        less: &[&str],
        more: &[&str],
        step: &Step,
    ) -> anyhow::Result<Carried> {
        let update = |words: &[&str]| {
            let mut all = vec!["update"];
            all.extend(words);
            all.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let run = async |words: &[&str]| {
            let words = update(words);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            self.each(&words, &[id]).await
        };
        if let Err(error) = run(less).await {
            return Ok(Carried::Void(format!("{error:#}")));
        }
        sleep(step.lasts).await;
        run(more).await?;
        Ok(Carried::Done)
    }

    /// Fills a node's disk: as far as it minds, or wholly, when it may end.
    async fn fill(&self, id: usize, step: &Step) -> anyhow::Result<Carried> {
        if let Some(lack) = &self.means.disks {
            return Ok(Carried::Void(lack.clone()));
        }
        let wholly = step.pick % 2 == 1;
        if wholly {
            self.board.excuse(id);
        }
        disk::fill(&self.plan, id, if wholly { 0 } else { LITTLE }).await?;
        sleep(step.lasts).await;
        disk::empty(&self.plan, id)?;
        if wholly {
            // where it has ended, the engine may be at starting it again, and then refuses to
            let _ = self.each(&["start"], &[id]).await;
            self.back(&[id]).await?;
        }
        Ok(Carried::Done)
    }

    async fn skew(&self, id: usize, step: &Step) -> anyhow::Result<Carried> {
        if let Some(lack) = &self.means.clocks {
            return Ok(Carried::Void(lack.clone()));
        }
        self.set_clock(id, SKEWS[step.pick % SKEWS.len()])?;
        sleep(step.lasts).await;
        self.set_clock(id, "+0")?;
        Ok(Carried::Done)
    }

    /// Renamed into place: nobody reads half of it.
    fn set_clock(&self, id: usize, offset: &str) -> anyhow::Result<()> {
        let folder = self.plan.node_folder(id);
        let beside = folder.join(".clock.new");
        std::fs::write(&beside, offset)?;
        Ok(std::fs::rename(beside, folder.join("clock"))?)
    }

    /// New certificates by the same authority, into the place of the old ones, under running nodes.
    async fn certify(&self) -> anyhow::Result<Carried> {
        const ENDS: &str = "llm_router_cluster_certificate_ends_seconds";
        let mut before = Vec::new();
        for id in self.crew.ids() {
            before.push(self.crew.figure(id, ENDS).await);
        }
        renew(&self.plan).await?;
        for id in self.crew.ids() {
            lay(&self.plan, id)?;
        }
        let until = Instant::now() + RENEWED;
        for (id, before) in self.crew.ids().zip(before) {
            while self.crew.figure(id, ENDS).await == before {
                anyhow::ensure!(Instant::now() < until, "n{id} keeps its old certificate");
                sleep(Duration::from_millis(200)).await;
            }
        }
        Ok(Carried::Done)
    }

    /// One upstream fails; the others stand in for it.
    async fn sicken(&self, sick: Sick, step: &Step) -> anyhow::Result<Carried> {
        let order = match sick {
            Sick::Refuses => "trouble status 503",
            Sick::Silent => "trouble silent",
            Sick::Cuts => "trouble cut by reset 2",
        };
        let name = ["fast", "slow"][step.pick % 2];
        let address = self.plan.orders(name).context("no such upstream")?;
        orders::give(address, order).await?;
        sleep(step.lasts).await;
        orders::give(address, "heal").await?;
        Ok(Carried::Done)
    }

    /// Far more requests than two processors answer. What is refused has to be told so; nothing hangs.
    async fn crowd(&self, step: &Step) -> anyhow::Result<Carried> {
        self.log.crowd(true);
        let mut random = SmallRng::seed_from_u64(step.pick as u64);
        let options = Options {
            rate: TOO_MANY,
            lasting: step.lasts,
            most: 4096,
            seed: random.random_range(0..u64::MAX),
            ..Options::default()
        };
        let ran = openloop::run(&self.crew.tenants[0], &options).await;
        // what was queued meanwhile is answered, or has given up
        sleep(Duration::from_secs(2)).await;
        self.log.crowd(false);
        ran.map(|_| Carried::Done)
    }

    /// Waits until all is as it was before, and says how long that took.
    ///
    /// # Errors
    /// It does not become so.
    pub(super) async fn healed(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        for id in self.crew.ids() {
            self.crew.ready(id).await?;
        }
        self.crew.in_step(LIMIT).await?;
        Ok(began.elapsed())
    }
}
