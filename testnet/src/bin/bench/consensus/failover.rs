//! Nodes that are killed, leaders and followers in turn, and requests on the survivors meanwhile;
//! then leaders that are told to end, or to hand over.

mod planned;

use std::time::Duration;

use anyhow::Context;
use llm_router_testnet::cluster::admin::put;
use llm_router_testnet::load::Load;
use llm_router_testnet::spans::Spans;
use llm_router_testnet::{Cluster, Witness};
use tokio::time::{Instant, sleep, timeout};

use super::goals::{at_least, at_most, counts, times, within};

/// Clients of each survivor.
const CLIENTS: usize = 2;
/// A write that takes longer never converged.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one try to write may take: elections are shorter.
const TRY: Duration = Duration::from_secs(3);
/// Between two tries: a node that refuses is not asked as fast as it refuses.
const BREATH: Duration = Duration::from_millis(5);
/// Requests on survivors below which "none failed" says little.
const REQUESTS: u64 = 20_000;
/// Rounds for each leader to be killed, at most, until there were as many requests.
const PATIENT: usize = 8;

/// Measures and prints one table for each way to go.
///
/// # Errors
/// When nodes do not start, or do not come back.
pub(crate) async fn run(kills: usize, rounds: usize) -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let base = format!("models:\n{}", upstream.model("gpt", "max_concurrency: 64"));
    let mut cluster = Cluster::of(3, &base).await?;
    let killed = Killed::all(&mut cluster, &base, kills).await;
    killed.print(kills);
    if let Some(problem) = &killed.ended_by {
        anyhow::bail!("{problem}");
    }
    planned::run(&mut cluster, &base, (rounds.min(kills), rounds)).await?;
    cluster.end().await
}

/// What the rounds with kills came to.
#[derive(Default)]
struct Killed {
    leaders: Vec<Duration>,
    followers: Vec<Duration>,
    never: usize,
    good: u64,
    failed: u64,
    told: Vec<String>,
    ended_by: Option<String>,
}

impl Killed {
    /// Kills leader and followers in turn, until so many leaders were killed and there were enough
    /// requests.
    async fn all(cluster: &mut Cluster, base: &str, kills: usize) -> Self {
        let mut killed = Killed::default();
        for round in 0..kills.saturating_mul(PATIENT) {
            if round >= kills * 2 && killed.good >= REQUESTS {
                break;
            }
            if let Err(error) = killed.round(cluster, base, round).await {
                killed.ended_by = Some(format!("round {round}: {error:#}"));
                break;
            }
        }
        killed
    }

    async fn round(
        &mut self,
        cluster: &mut Cluster,
        base: &str,
        round: usize,
    ) -> anyhow::Result<()> {
        let leader = cluster.leader().await?;
        let followers = cluster.followers().await?;
        let victim = match round % 2 {
            0 => leader,
            _ => followers[round / 2 % followers.len()],
        };
        let survivors: Vec<usize> = cluster.ids().filter(|&id| id != victim).collect();
        let loads: Vec<Load> = survivors
            .iter()
            .map(|&id| Load::start(cluster.http(id), "gpt", CLIENTS))
            .collect();
        let text = format!("{base}routes:\n  - {{ name: r-{round}, targets: [gpt] }}\n");
        let began = Instant::now();
        cluster.kill(victim).await?;
        let times = match victim == leader {
            true => &mut self.leaders,
            false => &mut self.followers,
        };
        match timeout(PATIENCE, agreed(cluster, &survivors, &text)).await {
            Ok(()) => times.push(began.elapsed()),
            Err(_) => self.never += 1,
        }
        let back = cluster.restart(victim).await;
        let in_step = match back {
            Ok(()) => cluster.in_step().await.map(drop),
            Err(error) => Err(error),
        };
        for load in loads {
            let tally = load.finish().await?;
            self.good += tally.good;
            self.failed += tally.failures;
            self.told.extend(tally.bad);
        }
        in_step.context("the node that was killed does not come back")
    }

    fn print(&self, kills: usize) {
        println!("\nfrom a kill (-9) to the next agreed change, three nodes");
        let mut table = times();
        let leaders: Spans = self.leaders.iter().copied().collect();
        let limits = [900, 2_000].map(Duration::from_millis);
        let goals = [(50, limits[0]), (99, limits[1])];
        table.row(within("the leader killed", &leaders, &goals));
        let followers: Spans = self.followers.iter().copied().collect();
        table.row(within("a follower killed", &followers, &goals));
        println!("{table}");
        let mut table = counts();
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        table.row(at_least("leaders killed", self.leaders.len(), kills));
        table.row(at_most("changes that were never agreed", self.never, 0));
        let all = count(self.good + self.failed);
        table.row(at_least("requests on survivors", all, count(REQUESTS)));
        table.row(at_most("of which failed", count(self.failed), 0));
        println!("{table}");
        for problem in self.told.iter().take(5) {
            println!("  {problem}");
        }
    }
}

/// Writes through one survivor after the other until it is agreed.
async fn agreed(cluster: &Cluster, survivors: &[usize], text: &str) {
    for &id in survivors.iter().cycle() {
        if let Ok(told) = timeout(TRY, put(cluster.http(id), text, None)).await
            && told.agreed().is_some()
        {
            return;
        }
        sleep(BREATH).await;
    }
}
