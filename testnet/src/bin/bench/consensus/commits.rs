//! Latency and throughput of agreed changes on three nodes that share this machine's disk.

use std::time::Duration;

use anyhow::bail;
use http::Method;
use llm_router_testnet::client::whole;
use llm_router_testnet::cluster::admin::put;
use llm_router_testnet::spans::Spans;
use llm_router_testnet::table::Table;
use llm_router_testnet::{Client, Cluster, Witness};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::goals::verdict;

/// What is changed.
#[derive(Clone, Copy, Debug)]
enum What {
    /// A breaker's override: a few bytes.
    Override,
    /// The routing configuration: checked, agreed, taken into service everywhere.
    Config,
}

/// Measures and prints one table.
///
/// # Errors
/// When nodes do not start.
pub(crate) async fn run(seconds: Duration) -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let base = format!("models:\n{}", upstream.model("gpt", ""));
    let cluster = Cluster::of(3, &base).await?;
    let leader = cluster.leader().await?;
    let follower = cluster.followers().await?[0];
    println!("\nagreed changes, three nodes on one disk");
    let head = [
        "",
        "changes",
        "per second",
        "p50 ms",
        "p99 ms",
        "longest ms",
        "failed",
        "goal",
        "verdict",
    ];
    let mut table = Table::new(&head);
    for (what, name) in [(What::Override, "small"), (What::Config, "configuration")] {
        for (clients, through) in [(1, leader), (1, follower), (64, leader)] {
            let place = if through == leader {
                "leader"
            } else {
                "follower"
            };
            let name = format!("{name}, {clients} at once, through the {place}");
            let client = cluster.http(through);
            let (spans, failed) = measure(client, &base, what, clients, seconds).await?;
            let mut row = spans.row(&name);
            let rate = rate(spans.count(), seconds);
            row.insert(2, format!("{rate:.0}"));
            row.push(failed.to_string());
            let (goal, met) = judge(what, clients, (&spans, rate));
            row.extend([goal.to_owned(), verdict(met && failed == 0)]);
            table.row(row);
        }
    }
    println!("{table}");
    cluster.end().await
}

/// What is asked of small changes: one after the other they are as fast as a shared disk lets them
/// be, many at once share its syncs. Of the others only that none fails.
fn judge(what: What, clients: usize, (spans, rate): (&Spans, f64)) -> (&'static str, bool) {
    let within = |percent, most| {
        let time = spans.at(percent);
        time.is_some_and(|time| time <= Duration::from_millis(most))
    };
    match (what, clients) {
        (What::Override, 1) => (
            "p50 <= 20, p99 <= 80, 0 failed",
            within(50, 20) && within(99, 80),
        ),
        (What::Override, _) => (">= 2000 per second, 0 failed", rate >= 2_000.0),
        (What::Config, _) => ("0 failed", spans.count() > 0),
    }
}

async fn measure(
    client: &Client,
    base: &str,
    what: What,
    clients: usize,
    seconds: Duration,
) -> anyhow::Result<(Spans, usize)> {
    let mut workers = JoinSet::new();
    let until = Instant::now() + seconds;
    for worker in 0..clients {
        let (client, base) = (client.clone(), base.to_owned());
        workers.spawn(async move {
            let (mut times, mut failed, mut count) = (Vec::new(), 0, 0);
            while Instant::now() < until {
                count += 1;
                let started = Instant::now();
                match change(&client, &base, what, (worker, count)).await {
                    Ok(()) => times.push(started.elapsed()),
                    Err(_) => failed += 1,
                }
            }
            (times, failed)
        });
    }
    let (mut times, mut failed) = (Vec::new(), 0);
    while let Some(seen) = workers.join_next().await {
        let (more, lost) = seen?;
        times.extend(more);
        failed += lost;
    }
    Ok((times.into_iter().collect(), failed))
}

async fn change(
    client: &Client,
    base: &str,
    what: What,
    (worker, count): (usize, usize),
) -> anyhow::Result<()> {
    match what {
        What::Override => {
            let mode = if count % 2 == 0 {
                "auto"
            } else {
                "force_closed"
            };
            let request = client
                .request(Method::PUT, "/admin/v1/models/gpt/breaker")
                .json(&json!({ "mode": mode }));
            let reply = whole(request).await?;
            if reply.status != 200 {
                bail!("{}: {}", reply.status, reply.text());
            }
        }
        What::Config => {
            let text =
                format!("{base}routes:\n  - {{ name: r-{worker}-{count}, targets: [gpt] }}\n");
            let told = put(client, &text, None).await;
            if told.agreed().is_none() {
                bail!("{told:?}");
            }
        }
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a bench are far below 2^53"
)]
fn rate(count: usize, seconds: Duration) -> f64 {
    count as f64 / seconds.as_secs_f64()
}
