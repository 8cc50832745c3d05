//! The upstream that is harmed. Another one that is whole stands behind it, so that nobody who asks
//! for it fails.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::act::Carried;
use crate::check::Verdict;
use crate::check::breaker::most_at_once;
use crate::cluster::Cluster;
use crate::eventually;
use crate::witness::{Manner, Witness};

/// The model it is behind.
pub const MODEL: &str = "frail";
/// How long it is left alone at first.
const COOL_DOWN_MS: u64 = 400;
/// How long every answer takes, so that two probes at once would overlap.
const STAY: Duration = Duration::from_millis(20);
/// How long nodes under load may take to agree that it is dead.
const OPENS: Duration = Duration::from_secs(6);
/// Requests let go before that arrive until then.
const ARRIVE: Duration = Duration::from_millis(200);
/// How long it is watched while dead, at least: two cool-downs and more.
const WATCHED: Duration = Duration::from_secs(1);
/// Half a turn of an upstream that comes and goes.
const FLAP: Duration = Duration::from_millis(150);

/// What goes wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// It fails for everybody.
    Dead,
    /// It fails and works in turn.
    Flapping,
    /// One node cannot reach it.
    DeadForOne,
}

/// The upstream, and when it was dead by the word of all nodes.
#[derive(Clone, Debug)]
pub struct Frail {
    upstream: Arc<Witness>,
    dead: Arc<Mutex<Vec<(Instant, Instant)>>>,
}

impl Frail {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> anyhow::Result<Self> {
        let upstream = Witness::start().await?;
        upstream.take(STAY);
        Ok(Frail {
            upstream: Arc::new(upstream),
            dead: Arc::default(),
        })
    }

    /// Its line of a configuration's `models`.
    pub fn model(&self) -> String {
        self.upstream.model(MODEL, "")
    }

    /// Rules for breakers under which some probes fit in a fault.
    pub fn rules() -> String {
        format!(
            "circuit_breaker: {{ failure_threshold: 5, recovery_timeout: {COOL_DOWN_MS}ms, \
             success_threshold: 2 }}\n"
        )
    }

    /// It works.
    pub fn heal(&self) {
        self.upstream.behave(Manner::Good);
    }

    /// Harms it for a while. `one` is the node that cannot reach it, where that is the trouble.
    pub(super) async fn suffer(
        &self,
        cluster: &Cluster,
        trouble: Trouble,
        (one, lasts): (usize, Duration),
    ) -> Carried {
        let carried = match trouble {
            Trouble::Dead => self.die(cluster, lasts).await,
            Trouble::Flapping => {
                self.flap(lasts).await;
                Carried::Done
            }
            Trouble::DeadForOne => {
                self.upstream.behave_to(&format!("n{one}"), Manner::Sever);
                sleep(lasts).await;
                Carried::Done
            }
        };
        self.heal();
        carried
    }

    async fn flap(&self, lasts: Duration) {
        let until = Instant::now() + lasts;
        while Instant::now() < until {
            self.upstream.behave(Manner::Status(500));
            sleep(FLAP).await;
            self.heal();
            sleep(FLAP).await;
        }
    }

    async fn die(&self, cluster: &Cluster, lasts: Duration) -> Carried {
        self.upstream.behave(Manner::Status(500));
        let open = eventually("every node knows that it is dead", OPENS, async || {
            for id in cluster.running() {
                let (epoch, state) = cluster.agreed_breaker(id, MODEL).await?;
                (epoch > 0 && state != "closed").then_some(())?;
            }
            Some(())
        });
        if open.await.is_err() {
            // Nobody happened to ask often enough.
            return Carried::Void;
        }
        sleep(ARRIVE).await;
        let from = Instant::now();
        sleep(lasts.max(WATCHED)).await;
        self.dead.lock().push((from, Instant::now()));
        Carried::Done
    }

    /// While all nodes knew that it was dead, one probe at a time went there.
    pub fn probed_by_one(&self) -> Verdict {
        let visits = self.upstream.visits();
        let (mut wrong, mut probes) = (Vec::new(), 0);
        for &(from, until) in self.dead.lock().iter() {
            let stays: Vec<(Duration, Duration)> = visits
                .iter()
                .filter(|visit| visit.at > from && visit.at < until)
                .map(|visit| {
                    let left = visit.answered.unwrap_or(visit.at + STAY);
                    (visit.at - from, left - from)
                })
                .collect();
            probes += stays.len();
            let most = most_at_once(&stays);
            if most > 1 {
                wrong.push(format!(
                    "{most} probes at once at a dead upstream: {stays:?}"
                ));
            }
        }
        Verdict::new("one probe at a time in the whole cluster", probes, wrong)
    }
}
