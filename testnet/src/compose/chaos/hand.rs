//! Carries out one fault and takes it back.

mod healing;
mod rolling;
mod upstream;

use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::askers::Log;
use super::crew::Crew;
use super::fault::{Fault, Step, Whom};
use super::means::Means;
use super::wires::Wires;
use crate::compose::disk;
use crate::compose::engine::Engine;
use crate::compose::launch::{lay, renew, shown};
use crate::compose::plan::Plan;
use crate::eventually;
use crate::nemesis::Board;
use crate::openloop::{self, Options};

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
/// How long a process may take to see that its clock was set.
const READ_WITHIN: Duration = Duration::from_millis(2500);
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
    /// When the fault had set in, and when it was taken back.
    pub(super) moments: Mutex<(Option<Instant>, Option<Instant>)>,
    /// How long an upstream was left alone by all nodes' word, and how often it was asked meanwhile.
    pub(super) probes: Mutex<Vec<(Duration, u64)>>,
    /// What was not well again after a fault.
    pub(super) unwell: Mutex<Vec<String>>,
}

impl Hand {
    /// Carries `step` out, waits as long as it lasts, and takes it back.
    ///
    /// # Errors
    /// A node does not come back, which is a finding, or the engine fails.
    pub(super) async fn carry_out(&mut self, step: &Step) -> anyhow::Result<Carried> {
        *self.moments.lock() = (None, None);
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

    /// The fault has set in; the first word of it counts.
    fn sets_in(&self) {
        self.moments.lock().0.get_or_insert_with(Instant::now);
    }

    /// It is taken back; the last word of it counts.
    fn is_lifted(&self) {
        self.moments.lock().1 = Some(Instant::now());
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
        self.sets_in();
        sleep(step.lasts).await;
        self.each(&["start"], ids).await?;
        self.is_lifted();
        self.back(ids).await?;
        Ok(Carried::Done)
    }

    async fn pause(&self, ids: &[usize], step: &Step) -> anyhow::Result<Carried> {
        ids.iter().for_each(|&id| self.board.excuse(id));
        self.each(&["pause"], ids).await?;
        self.sets_in();
        sleep(step.lasts).await;
        self.each(&["unpause"], ids).await?;
        self.is_lifted();
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
        let between = self.plan.links().into_iter();
        // the one that leaves their network first
        let links: Vec<(usize, usize)> = between
            .filter(|&(a, b)| apart(a, b))
            .map(|(a, b)| if gone.contains(&a) { (a, b) } else { (b, a) })
            .collect();
        let wires = self.wires();
        for &(leaves, stays) in &links {
            wires.cut(leaves, stays).await?;
        }
        self.sets_in();
        sleep(step.lasts).await;
        for &(leaves, stays) in &links {
            wires.join(leaves, stays).await?;
        }
        self.is_lifted();
        Ok(Carried::Done)
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
        // another digit than the one that chose the node
        let turned = (step.pick / 1000).is_multiple_of(2);
        let (a, b) = if turned {
            (other, leader)
        } else {
            (leader, other)
        };
        let wires = self.wires();
        let (there, back) = match how {
            Bend::OneWay => (wires.deafen(a, b).await, None),
            Bend::Lossy => (wires.lose(a, b).await, Some(wires.lose(b, a).await)),
            Bend::Slow => (wires.slow(a, b).await, Some(wires.slow(b, a).await)),
        };
        self.sets_in();
        let (mut bent, mut refused) = (Vec::new(), None);
        for laid in [Some(there), back].into_iter().flatten() {
            match laid {
                Ok(undo) => bent.push(undo),
                Err(error) => refused = Some(format!("{error:#}")),
            }
        }
        if refused.is_none() {
            sleep(step.lasts).await;
        }
        for undo in bent {
            wires.undo(undo).await?;
        }
        self.is_lifted();
        Ok(refused.map_or(Carried::Done, Carried::Void))
    }

    /// Gives a node less of something, and then as much as before. It is whole meanwhile.
    async fn squeeze(
        &self,
        id: usize,
        less: &[&str],
        more: &[&str],
        step: &Step,
    ) -> anyhow::Result<Carried> {
        let update = async |words: &[&str]| self.each(&[&["update"], words].concat(), &[id]).await;
        if let Err(error) = update(less).await {
            return Ok(Carried::Void(format!("{error:#}")));
        }
        self.sets_in();
        sleep(step.lasts).await;
        update(more).await?;
        self.is_lifted();
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
        let filled = disk::fill(&self.plan, id, if wholly { 0 } else { LITTLE }).await;
        self.sets_in();
        if filled.is_ok() {
            sleep(step.lasts).await;
        }
        disk::empty(&self.plan, id)?;
        self.is_lifted();
        if wholly {
            // where it has ended, the engine may be at starting it again, and then refuses to
            let _ = self.each(&["start"], &[id]).await;
            self.back(&[id]).await?;
        }
        filled.map(|()| Carried::Done)
    }

    async fn skew(&self, id: usize, step: &Step) -> anyhow::Result<Carried> {
        if let Some(lack) = &self.means.clocks {
            return Ok(Carried::Void(lack.clone()));
        }
        let offset = SKEWS[step.pick % SKEWS.len()];
        self.set_clock(id, offset)?;
        sleep(READ_WITHIN).await;
        self.sets_in();
        let moved = self.clock_of(id).await;
        sleep(step.lasts.saturating_sub(READ_WITHIN)).await;
        self.set_clock(id, "+0")?;
        sleep(READ_WITHIN).await;
        self.is_lifted();
        let wanted: i64 = offset.parse()?;
        Ok(match moved {
            Some(moved) if (moved - wanted).abs() <= 3 => Carried::Done,
            moved => Carried::Void(format!("a clock set {offset} s off is off {moved:?} s")),
        })
    }

    /// How many seconds a node's clock is ahead: its latest line has the engine's time and its own. (The date
    /// on its answers never goes back.)
    async fn clock_of(&self, id: usize) -> Option<i64> {
        let name = format!("n{id}");
        let words = ["logs", "--no-color", "--timestamps", "--tail", "1", &name];
        let line = self.engine.compose(&self.plan, &words).await.ok()?;
        let mut times = line.split_whitespace().filter_map(|word| word.parse().ok());
        let (engine, node): (Timestamp, Timestamp) = (times.next()?, times.next()?);
        Some(node.duration_since(engine).as_secs())
    }

    /// Renamed into place: nobody reads half of it.
    fn set_clock(&self, id: usize, offset: &str) -> anyhow::Result<()> {
        let folder = self.plan.node_folder(id);
        let beside = folder.join(".clock.new");
        shown(&beside, offset)?;
        Ok(std::fs::rename(beside, folder.join("clock"))?)
    }

    /// New certificates by the same authority, into the place of the old ones, under running nodes.
    async fn certify(&self) -> anyhow::Result<Carried> {
        const ENDS: &str = "llm_router_cluster_certificate_ends_seconds";
        let mut before = Vec::new();
        for id in self.crew.ids() {
            let what = format!("n{id} says when its certificate ends");
            let ends = eventually(&what, RENEWED, async || self.crew.figure(id, ENDS).await);
            before.push(ends.await?);
        }
        // they end on the second, and have to be told apart
        sleep(Duration::from_millis(1100)).await;
        renew(&self.plan).await?;
        for id in self.crew.ids() {
            lay(&self.plan, id)?;
        }
        self.sets_in();
        for (id, before) in self.crew.ids().zip(before) {
            let what = format!("n{id} takes its new certificate");
            eventually(&what, RENEWED, async || {
                let ends = self.crew.figure(id, ENDS).await?;
                (ends > before).then_some(())
            })
            .await?;
        }
        self.is_lifted();
        Ok(Carried::Done)
    }

    /// Far more requests than two processors answer. What is refused has to be told so; nothing hangs.
    async fn crowd(&self, step: &Step) -> anyhow::Result<Carried> {
        self.log.crowd(true);
        let options = Options {
            rate: TOO_MANY,
            lasting: step.lasts,
            most: 4096,
            seed: step.pick as u64,
            ..Options::default()
        };
        self.sets_in();
        let ran = openloop::run(&self.crew.tenants[0], &options).await;
        self.is_lifted();
        // what was queued meanwhile is answered, or has given up
        sleep(Duration::from_secs(2)).await;
        self.log.crowd(false);
        self.log.add_crowd(Fault::Overload.as_str(), &ran?);
        Ok(Carried::Done)
    }
}
