//! Nodes come and go under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use llm_router_testnet::client::Client;
use llm_router_testnet::cluster::cache::SETTLES;
use llm_router_testnet::cluster::{Cluster, Setup};
use llm_router_testnet::{Upstream, eventually};
use tokio::task::JoinSet;

use super::{ask, found, questions, routing, store};

/// Clients of each node.
const CLIENTS: usize = 2;

/// Clients that ask stored questions over and over, through these nodes.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: JoinSet<Result<(), String>>,
}

impl Load {
    fn start(cluster: &Cluster, nodes: &[usize], questions: &[String]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS * nodes.len() {
            let client = cluster.http(nodes[number % nodes.len()]).clone();
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            clients.spawn(over_and_over(client, questions.to_vec(), stop, answered));
        }
        Load {
            stop,
            answered,
            clients,
        }
    }

    /// Stops; no request may have failed, and there were some.
    async fn end(mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended?.map_err(anyhow::Error::msg)?;
        }
        let answered = self.answered.load(Ordering::Relaxed);
        anyhow::ensure!(answered > 100, "only {answered} requests were answered");
        Ok(())
    }
}

async fn over_and_over(
    client: Client,
    questions: Vec<String>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
) -> Result<(), String> {
    for question in questions.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let asked = ask(&client, question).await;
        asked.map_err(|error| format!("{question}: {error:#}"))?;
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[tokio::test]
async fn a_node_is_killed_under_load_and_nobody_notices() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let mut cluster = super::three(&upstream).await?;
    let (busy, quiet) = (questions("busy", 50), questions("quiet", 120));
    store(&cluster, &busy).await?;
    store(&cluster, &quiet).await?;
    let gone = cluster.followers().await?[0];
    let stay: Vec<usize> = cluster.ids().filter(|&id| id != gone).collect();
    let load = Load::start(&cluster, &stay, &busy);
    cluster.kill(gone).await?;
    cluster.settled(2).await?;
    load.end().await?;
    // nobody asked for these meanwhile, so nobody brought them back
    for (id, part) in stay.into_iter().zip(quiet.chunks(60)) {
        let hits = found(cluster.http(id), part).await?;
        assert_eq!(hits, part.len(), "through n{id}, after n{gone} was killed");
    }
    cluster.end().await
}

#[tokio::test]
async fn a_node_joins_under_load_and_gets_its_part() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let setup = Setup {
        routing: routing(&upstream),
        ..Setup::default()
    };
    let mut cluster = Cluster::prepare(4, setup).await?;
    cluster.form(3).await?;
    cluster.settled(3).await?;
    let (busy, quiet) = (questions("busy", 50), questions("quiet", 120));
    store(&cluster, &busy).await?;
    store(&cluster, &quiet).await?;
    let seen = upstream.requests();
    let load = Load::start(&cluster, &[1, 2, 3], &busy);
    cluster.launch(4).await?;
    cluster.settled(4).await?;
    let also = Load::start(&cluster, &[4], &busy);
    let hits = found(cluster.http(4), &quiet).await?;
    assert_eq!(hits, quiet.len(), "through the node that joined");
    also.end().await?;
    load.end().await?;
    assert_eq!(upstream.requests(), seen, "an answer was lost on the move");
    // two copies of each on four nodes, and those that were hot besides
    eventually("it holds its part", SETTLES, async || {
        (cluster.cache(4).await?["entries"].as_u64()? >= 60).then_some(())
    })
    .await?;
    cluster.end().await
}
