//! One cache over several real nodes.

mod alone;
mod away;
mod flights;
mod hits;
mod moves;
mod purge;

use llm_router_testnet::client::{Client, Reply, chat};
use llm_router_testnet::cluster::cache::SPREADS;
use llm_router_testnet::cluster::{Cluster, Setup};
use llm_router_testnet::{Upstream, eventually, node, say};
use serde_json::Value;

use crate::orders::until_told;

/// A cache that checks none of its hits and has time to embed and to ask the other nodes, so that a
/// busy machine turns no hit into a miss.
const UNHURRIED: &str = "shadow_rate: 0, embed_budget: 10s, lookup_budget: 5s, attach_budget: 10s";

/// The same where nodes are away: to ask one in vain costs no more than this.
const BRISK: &str = "shadow_rate: 0, lookup_budget: 500ms, attach_budget: 2s";

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

/// The same for stories in which nodes are away.
async fn three_brisk(upstream: &Upstream) -> anyhow::Result<Cluster> {
    let routing = upstream.config("gpt", &format!("cache: {{ {BRISK} }}\n"));
    let cluster = Cluster::of(3, &routing).await?;
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

/// Calls answers off through a node, as [`until_called_off`].
async fn call_off(cluster: &Cluster, through: usize, what: &Value) -> anyhow::Result<Value> {
    until_called_off(async || cluster.try_purge(through, what).await).await
}

/// Calls answers off, again and again while there is no leader; gives the reply's body. Where an order
/// was left open, the one before may have taken entries out and `removed` is null.
async fn until_called_off(
    mut order: impl AsyncFnMut() -> anyhow::Result<Reply>,
) -> anyhow::Result<Value> {
    let mut open = false;
    let reply = until_told(async || {
        let told = order().await;
        open |= told.as_ref().is_ok_and(is_left_open);
        told
    })
    .await?;
    anyhow::ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    let mut called_off = reply.json();
    anyhow::ensure!(called_off["removed"].is_u64(), "{called_off}");
    if open {
        called_off["removed"] = Value::Null;
    }
    Ok(called_off)
}

/// Nothing was agreed that anybody knows of, and it may be.
fn is_left_open(reply: &Reply) -> bool {
    reply.status == 503 && reply.json()["error"]["maybe_applied"] != false
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
