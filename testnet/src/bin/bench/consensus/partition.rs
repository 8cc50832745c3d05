//! Nodes without a quorum: how soon they say so, what they do meanwhile, and how soon they are
//! equal once healed.

use std::time::Duration;

use http::Method;
use llm_router_testnet::client::{chat, whole};
use llm_router_testnet::cluster::{Break, LIMIT};
use llm_router_testnet::spans::Spans;
use llm_router_testnet::{Cluster, Witness, eventually};
use serde_json::json;
use tokio::time::Instant;

use super::goals::{at_least, at_most, counts, times, within};

/// Changes asked of the node alone, in each round.
const ASKED: usize = 3;
/// How soon a node without a quorum says so.
const REFUSES: Duration = Duration::from_millis(500);
/// How soon healed nodes are equal.
const EQUAL: Duration = Duration::from_secs(2);

/// What all rounds came to.
#[derive(Default)]
struct Seen {
    first: Vec<Duration>,
    later: Vec<Duration>,
    healed: Vec<Duration>,
    served: usize,
    wrong: Vec<String>,
}

/// Measures and prints one table.
///
/// # Errors
/// When nodes do not start or do not agree once healed.
pub(crate) async fn run(rounds: usize) -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let base = format!("models:\n{}", upstream.model("gpt", ""));
    let cluster = Cluster::of(3, &base).await?;
    println!("\none of three nodes cut off, packets dropped");
    let mut seen = Seen::default();
    for round in 0..rounds {
        let leader = cluster.leader().await?;
        let followers = cluster.followers().await?;
        // Leaders and followers in turn.
        let (alone, other) = match round % 2 {
            0 => (leader, followers[0]),
            _ => (followers[0], leader),
        };
        let text = format!("{base}routes:\n  - {{ name: r-{round}, targets: [gpt] }}\n");
        cluster.isolate(alone, Break::Drop);
        seen.alone(&cluster, alone, &text).await?;
        cluster.put_until(other, &text).await?;
        without(&cluster, other, round).await?;
        let mended = Instant::now();
        cluster.heal();
        eventually("the nodes show the same state", LIMIT, async || {
            equal(&cluster).await
        })
        .await?;
        seen.healed.push(mended.elapsed());
        cluster.in_step().await?;
    }
    seen.print(rounds);
    cluster.end().await
}

/// All nodes are in step and show one state: configuration, keys, breakers and members.
async fn equal(cluster: &Cluster) -> Option<()> {
    let first = cluster.shown(1, "gpt").await?;
    for id in cluster.ids() {
        let connected = cluster.status(id).await?["connected"] == true;
        (connected && cluster.shown(id, "gpt").await? == first).then_some(())?;
    }
    Some(())
}

/// A breaker's record changes while one node is away.
async fn without(cluster: &Cluster, through: usize, round: usize) -> anyhow::Result<()> {
    let mode = match round % 2 {
        0 => "force_closed",
        _ => "auto",
    };
    let request = cluster
        .http(through)
        .request(Method::PUT, "/admin/v1/models/gpt/breaker")
        .json(&json!({ "mode": mode }));
    let reply = whole(request).await?;
    anyhow::ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    Ok(())
}

impl Seen {
    /// Asks the node alone for changes, which it is to refuse, and for an answer, which it is to
    /// give.
    async fn alone(&mut self, cluster: &Cluster, id: usize, text: &str) -> anyhow::Result<()> {
        for number in 0..ASKED {
            let request = cluster
                .http(id)
                .request(Method::PUT, "/admin/v1/config")
                .header("content-type", "application/yaml")
                .body(text.to_owned());
            let asked = Instant::now();
            let reply = whole(request).await?;
            let times = match number {
                0 => &mut self.first,
                _ => &mut self.later,
            };
            times.push(asked.elapsed());
            if reply.status != 503 {
                let said = format!("a change: {} {}", reply.status, reply.text());
                self.wrong.push(said);
            }
        }
        let question = chat("gpt", "still there?");
        let reply = cluster
            .http(id)
            .chat_with(&[("cache", "off")], &question)
            .await?;
        match reply.status {
            200 => self.served += 1,
            status => self
                .wrong
                .push(format!("a request: {status} {}", reply.text())),
        }
        Ok(())
    }

    fn print(self, rounds: usize) {
        let mut table = times();
        for (name, spans, goal) in [
            (
                "a change refused, the first after the cut",
                self.first,
                REFUSES,
            ),
            ("a change refused, later", self.later, REFUSES),
            (
                "from healing to equal state on all nodes",
                self.healed,
                EQUAL,
            ),
        ] {
            let spans: Spans = spans.into_iter().collect();
            table.row(within(name, &spans, &[(100, goal)]));
        }
        println!("{table}");
        let mut table = counts();
        table.row(at_least("requests served alone", self.served, rounds));
        table.row(at_most(
            "answers other than 503 to a change, 200 to a request",
            self.wrong.len(),
            0,
        ));
        println!("{table}");
        for problem in self.wrong.iter().take(5) {
            println!("  {problem}");
        }
    }
}
