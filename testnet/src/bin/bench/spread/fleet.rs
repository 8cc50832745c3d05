//! The nodes under measurement, and how they are filled.

use std::time::Duration;

use anyhow::Context as _;
use llm_router_testnet::cluster::{Cluster, Setup};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::asker::{Asker, Told};
use super::echo::Echo;

/// Connections that fill and ask at once. Few, so that no embedder falls behind.
const AT_ONCE: usize = 2;
/// Nothing has come for so long: everything has arrived.
const QUIET: Duration = Duration::from_millis(1500);
/// Longest wait for that.
const ARRIVES: Duration = Duration::from_secs(60);

/// Nodes and their upstream.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) cluster: Cluster,
    pub(super) upstream: Echo,
}

impl Fleet {
    /// `n` nodes with weights, one embedding worker each, that talk to one another directly; of
    /// `prepared` that could run.
    ///
    /// # Errors
    /// When they do not start.
    pub(super) async fn start(n: usize, prepared: usize) -> anyhow::Result<Self> {
        let upstream = Echo::start().await?;
        let setup = Setup {
            routing: upstream.routing(),
            weights: true,
            direct: true,
            ..Setup::default()
        };
        let mut cluster = Cluster::prepare(prepared, setup).await?;
        cluster.form(n).await?;
        cluster.settled(n).await?;
        Ok(Fleet { cluster, upstream })
    }

    /// Stores an answer to each, through random nodes, and waits until they have arrived; gives
    /// those that were not answered from the cache themselves. After that nothing is stored any
    /// more.
    ///
    /// # Errors
    /// When a request fails.
    pub(super) async fn fill(&self, texts: &[String]) -> anyhow::Result<Vec<String>> {
        self.upstream.keep(true);
        let told = self.ask_all(texts).await?;
        self.upstream.keep(false);
        self.arrived().await?;
        let stored = told.into_iter().filter(|(_, told)| !told.part.is_hit());
        Ok(stored.map(|(place, _)| texts[place].clone()).collect())
    }

    /// Asks all, each through a random node; gives what was told, by place.
    ///
    /// # Errors
    /// When a request fails.
    pub(super) async fn ask_all(&self, texts: &[String]) -> anyhow::Result<Vec<(usize, Told)>> {
        let nodes = self.addresses();
        let mut clients = JoinSet::new();
        for client in 0..AT_ONCE {
            let mine: Vec<(usize, String)> = texts.iter().cloned().enumerate().collect();
            let mine = mine.into_iter().skip(client).step_by(AT_ONCE);
            let mut random = StdRng::seed_from_u64(client as u64);
            let mut askers: Vec<Asker> = nodes.iter().map(|node| Asker::of(node)).collect();
            let mine: Vec<_> = mine.collect();
            clients.spawn(async move {
                let mut told = Vec::with_capacity(mine.len());
                for (place, text) in mine {
                    let node = random.random_range(0..askers.len());
                    told.push((place, askers[node].ask(&text).await?));
                }
                anyhow::Ok(told)
            });
        }
        let mut all = Vec::with_capacity(texts.len());
        while let Some(told) = clients.join_next().await {
            all.extend(told??);
        }
        Ok(all)
    }

    /// Waits until entries are where they belong.
    ///
    /// # Errors
    /// When more come all the time.
    pub(super) async fn arrived(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut seen = (self.entries().await?, Instant::now());
        while seen.1.elapsed() < QUIET {
            anyhow::ensure!(began.elapsed() < ARRIVES, "entries do not come to rest");
            sleep(Duration::from_millis(100)).await;
            let now = self.entries().await?;
            if now != seen.0 {
                seen = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// Draws the cells anew from what is stored, and waits until the entries have moved.
    ///
    /// # Errors
    /// When they are not drawn or do not settle.
    pub(super) async fn draw_cells(&self) -> anyhow::Result<()> {
        let leader = self.cluster.leader().await?;
        let before = self.epoch(leader).await?;
        let client = self.cluster.http(leader);
        let reply = client.post("/admin/v1/cache/cells", &json!({})).await?;
        anyhow::ensure!(reply.json()["drawn"] == true, "{}", reply.text());
        let what = "new cells are in force everywhere";
        llm_router_testnet::eventually(what, ARRIVES, async || {
            for id in self.cluster.running() {
                (self.epoch(id).await.ok()? > before).then_some(())?;
            }
            Some(())
        })
        .await?;
        self.cluster.settled(self.cluster.running().len()).await?;
        self.arrived().await
    }

    async fn epoch(&self, id: usize) -> anyhow::Result<u64> {
        let shown = self.cluster.cache(id).await.context("no answer")?;
        shown["peers"]["cells"].as_u64().context("no cells")
    }

    /// Entries on each node.
    ///
    /// # Errors
    /// When a node does not answer.
    pub(super) async fn entries(&self) -> anyhow::Result<Vec<u64>> {
        let mut entries = Vec::new();
        for id in self.cluster.running() {
            let shown = self.cluster.cache(id).await.context("no answer")?;
            entries.push(shown["entries"].as_u64().context("no entries")?);
        }
        Ok(entries)
    }

    /// One counter of what goes between the caches, over all nodes.
    ///
    /// # Errors
    /// When a node does not answer.
    pub(super) async fn sum(&self, counter: &str) -> anyhow::Result<u64> {
        let sum = self.cluster.cache_sum(counter).await;
        sum.with_context(|| format!("no {counter}"))
    }

    /// HTTP doors of the running nodes.
    pub(super) fn addresses(&self) -> Vec<String> {
        let running = self.cluster.running().into_iter();
        running
            .map(|id| self.cluster.http_address(id).to_owned())
            .collect()
    }
}
