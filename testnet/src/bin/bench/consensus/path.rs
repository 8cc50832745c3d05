//! Requests while nothing is agreed, and while twenty configurations a second are, in turns.

use std::time::Duration;

use llm_router_testnet::cluster::admin::put;
use llm_router_testnet::table::Table;
use llm_router_testnet::{Client, Cluster};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Question, drive};
use crate::compare::node_config;
use crate::series::Series;
use crate::upstream::Upstream;

/// Between two changes: twenty a second.
const PERIOD: Duration = Duration::from_millis(50);
const TURNS: u32 = 6;

/// Measures and prints one table.
///
/// # Errors
/// When nodes do not start.
pub(crate) async fn run(seconds: Duration) -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let base = node_config(&upstream.address);
    let cluster = Cluster::of(3, &base).await?;
    let leader = cluster.leader().await?;
    let follower = cluster.followers().await?[0];
    println!("\nrequests to one of three nodes while 0 and 20 configurations a second are agreed");
    let head = ["", "p50 us", "p99 us", "req/s", "of idle", "errors"];
    let mut table = Table::new(&head);
    for (name, node) in [("the leader", leader), ("a follower", follower)] {
        for clients in [1, 16] {
            let address = cluster.http_address(node);
            let writer = cluster.http(leader);
            let turn = seconds / TURNS;
            let [idle, busy] = in_turns(address, (writer, &base), clients, turn).await?;
            for (state, series) in [("idle", &idle), ("20 a second", &busy)] {
                table.row(vec![
                    format!("{name}, {clients} at once, {state}"),
                    format!("{:.0}", series.total_us(50.0)),
                    format!("{:.0}", series.total_us(99.0)),
                    format!("{:.0}", series.rate()),
                    format!("{:.2}", series.rate() / idle.rate()),
                    series.errors.to_string(),
                ]);
            }
        }
    }
    println!("{table}");
    cluster.end().await
}

async fn in_turns(
    address: &str,
    (writer, base): (&Client, &str),
    clients: usize,
    turn: Duration,
) -> anyhow::Result<[Series; 2]> {
    let question = Question::chat(false);
    let mut all = [Series::new()?, Series::new()?];
    drive(address, clients, turn, &question).await?;
    for number in 0..TURNS * 2 {
        // idle, busy, busy, idle: drift hits both alike
        let busy = matches!(number % 4, 1 | 2);
        let writing = busy.then(|| write(writer.clone(), base.to_owned()));
        let seen = drive(address, clients, turn, &question).await?;
        drop(writing);
        let series = &mut all[usize::from(busy)];
        series.absorb(&seen)?;
        series.spent += turn;
    }
    Ok(all)
}

/// Writes until it is dropped.
fn write(client: Client, base: String) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        for count in 0_u64.. {
            ticks.tick().await;
            let text = format!("{base}routes:\n  - {{ name: r-{count}, targets: [bench] }}\n");
            put(&client, &text, None).await;
        }
    });
    task
}
