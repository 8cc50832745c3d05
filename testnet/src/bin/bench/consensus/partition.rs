//! Nodes without a quorum: how soon they say so, and how soon they are equal once healed.

use llm_router_testnet::cluster::Break;
use llm_router_testnet::cluster::admin::put;
use llm_router_testnet::spans::Spans;
use llm_router_testnet::{Cluster, Witness};
use tokio::time::Instant;

use super::times;

/// Changes asked of the node alone, in each round.
const ASKED: usize = 3;

/// Measures and prints one table.
///
/// # Errors
/// When nodes do not start or do not agree once healed.
pub(crate) async fn run(rounds: usize) -> anyhow::Result<()> {
    let upstream = Witness::start().await?;
    let base = format!("models:\n{}", upstream.model("gpt", ""));
    let cluster = Cluster::of(3, &base).await?;
    println!("\none of three nodes cut off, packets dropped");
    let (mut first, mut later, mut healed) = (Vec::new(), Vec::new(), Vec::new());
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
        for number in 0..ASKED {
            let asked = Instant::now();
            let told = put(cluster.http(alone), &text, None).await;
            anyhow::ensure!(told.agreed().is_none(), "a minority agreed: {told:?}");
            let times = if number == 0 { &mut first } else { &mut later };
            times.push(asked.elapsed());
        }
        cluster.put_until(other, &text).await?;
        let mended = Instant::now();
        cluster.heal();
        cluster.in_step().await?;
        healed.push(mended.elapsed());
    }
    let mut table = times();
    for (name, spans) in [
        ("a change refused, the first after the cut", first),
        ("a change refused, later", later),
        ("from healing to equal state on all nodes", healed),
    ] {
        let spans: Spans = spans.into_iter().collect();
        table.row(spans.row(name));
    }
    println!("{table}");
    cluster.end().await
}
