//! One cache over several real nodes.

mod alone;
mod away;
mod flights;
mod hits;
mod moves;
mod purge;

use llm_router_testnet::client::{Client, chat};
use llm_router_testnet::cluster::cache::SPREADS;
use llm_router_testnet::cluster::{Cluster, Setup};
use llm_router_testnet::{Upstream, eventually, node, say};

/// A cache that checks none of its hits and has time to ask the other nodes, so that a busy machine
/// turns no hit into a miss.
const UNHURRIED: &str = "shadow_rate: 0, lookup_budget: 500ms";

/// One model whose answers say the question back.
fn routing(upstream: &Upstream) -> String {
    upstream.config("gpt", &format!("cache: {{ {UNHURRIED} }}\n"))
}

/// Three nodes with the real embedder; `None`, said aloud, without its weights.
async fn with_weights(upstream: &Upstream) -> anyhow::Result<Option<Cluster>> {
    if node::weights().is_none() {
        say("skipped: no embedder weights; run: llm-router model pull");
        return Ok(None);
    }
    let setup = Setup {
        routing: routing(upstream),
        weights: true,
        ..Setup::default()
    };
    let cluster = Cluster::start(3, setup).await?;
    cluster.settled(3).await?;
    Ok(Some(cluster))
}

/// Three nodes whose cache is the exact tier alone, their entries settled.
async fn three(upstream: &Upstream) -> anyhow::Result<Cluster> {
    let cluster = Cluster::of(3, &routing(upstream)).await?;
    cluster.settled(3).await?;
    Ok(cluster)
}

/// Asks once; gives the cache's part, as `miss` or `exact`.
async fn ask(client: &Client, question: &str) -> anyhow::Result<String> {
    ask_with(client, &[], question).await
}

/// The same with `x-llm-router-*` headers. The answer is checked: it says the question back, or one
/// of the same meaning.
async fn ask_with(
    client: &Client,
    options: &[(&str, &str)],
    question: &str,
) -> anyhow::Result<String> {
    let reply = client.chat_with(options, &chat("gpt", question)).await?;
    anyhow::ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    let part = reply.header("x-llm-router-cache").to_owned();
    let said = reply.content();
    anyhow::ensure!(
        part == "semantic" || said == question,
        "asked {question}, told {said}"
    );
    Ok(part)
}

/// Questions that have nothing to do with one another.
fn questions(topic: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{topic}: what is written on page {number}?"))
        .collect()
}

/// Asks all of them for the first time, through one node after the other.
async fn store(cluster: &Cluster, questions: &[String]) -> anyhow::Result<()> {
    let running = cluster.running();
    for (question, &id) in questions.iter().zip(running.iter().cycle()) {
        let part = ask(cluster.http(id), question).await?;
        anyhow::ensure!(part == "miss", "{question}: {part}");
    }
    Ok(())
}

/// Waits until two nodes hold each of so many answers.
async fn copied(cluster: &Cluster, answers: usize) -> anyhow::Result<()> {
    eventually("each answer lies on two nodes", SPREADS, async || {
        let mut entries = 0;
        for id in cluster.running() {
            entries += cluster.cache(id).await?["entries"].as_u64()?;
        }
        (entries >= 2 * answers as u64).then_some(())
    })
    .await
}

/// How many of them a node finds.
async fn found(client: &Client, questions: &[String]) -> anyhow::Result<usize> {
    let mut found = 0;
    for question in questions {
        found += usize::from(ask(client, question).await? != "miss");
    }
    Ok(found)
}
