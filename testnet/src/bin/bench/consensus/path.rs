//! Requests while nothing is agreed, and while twenty configurations a second are, in turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use llm_router_testnet::cluster::admin::put;
use llm_router_testnet::table::Table;
use llm_router_testnet::{Client, Cluster};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::goals::verdict;
use crate::client::{Question, drive};
use crate::compare::node_config;
use crate::series::Series;
use crate::upstream::Upstream;

/// Writers at once, so that one slow change holds up a part of the twenty only.
const WRITERS: u32 = 5;
/// Between two changes of all writers together: twenty a second.
const PERIOD: Duration = Duration::from_millis(50);
/// Fewer changes a second than this were not the load that was asked for.
const ENOUGH: f64 = 19.0;
/// How much worse than idle is still the same.
const WORSE: f64 = 1.10;
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
    let head = [
        "", "p50 us", "of idle", "p99 us", "of idle", "req/s", "of idle", "writes/s", "errors",
        "goal", "verdict",
    ];
    let mut table = Table::new(&head);
    for (name, node) in [("the leader", leader), ("a follower", follower)] {
        for clients in [1, 16] {
            let address = cluster.http_address(node);
            let writer = cluster.http(leader);
            let turn = seconds / TURNS;
            let sides = in_turns(address, (writer, &base), clients, turn).await?;
            let name = format!("{name}, {clients} at once");
            for row in rows(&name, &sides) {
                table.row(row);
            }
        }
    }
    println!("{table}");
    cluster.end().await
}

/// Requests on either side, and changes agreed in a second on the busy one.
struct Sides {
    idle: Series,
    busy: Series,
    writes: f64,
}

fn rows(name: &str, sides: &Sides) -> [Vec<String>; 2] {
    let Sides { idle, busy, writes } = sides;
    let row = |state: &str, series: &Series, writes: f64| {
        let figures = |mine: f64, idle: f64| [format!("{mine:.0}"), format!("{:.2}", mine / idle)];
        let mut row = vec![format!("{name}, {state}")];
        for percentile in [50.0, 99.0] {
            let times = (series.total_us(percentile), idle.total_us(percentile));
            row.extend(figures(times.0, times.1));
        }
        row.extend(figures(series.rate(), idle.rate()));
        row.extend([format!("{writes:.1}"), series.errors.to_string()]);
        row
    };
    let mut busy_row = row("20 a second", busy, *writes);
    let worse = |percentile| busy.total_us(percentile) / idle.total_us(percentile);
    let missed: Vec<&str> = [
        (worse(50.0) > WORSE, "p50"),
        (worse(99.0) > WORSE, "p99"),
        (busy.rate() * WORSE < idle.rate(), "req/s"),
        (*writes < ENOUGH, "too few writes"),
        (idle.errors + busy.errors > 0, "errors"),
    ]
    .into_iter()
    .filter_map(|(missed, name)| missed.then_some(name))
    .collect();
    let told = match missed.is_empty() {
        true => verdict(true),
        false => format!("{}: {}", verdict(false), missed.join(", ")),
    };
    busy_row.extend(["10 % of idle".to_owned(), told]);
    [row("idle", idle, 0.0), busy_row]
}

async fn in_turns(
    address: &str,
    (writer, base): (&Client, &str),
    clients: usize,
    turn: Duration,
) -> anyhow::Result<Sides> {
    let question = Question::chat(false);
    let (mut idle, mut busy) = (Series::new()?, Series::new()?);
    let (mut agreed, mut written) = (0, Duration::ZERO);
    drive(address, clients, turn, &question).await?;
    for number in 0..TURNS * 2 {
        // idle, busy, busy, idle: drift hits both alike
        if matches!(number % 4, 1 | 2) {
            let writers = Writers::start(writer, base);
            let seen = drive(address, clients, turn, &question).await?;
            let (more, time) = writers.stop();
            agreed += more;
            written += time;
            busy.absorb(&seen)?;
            busy.spent += turn;
        } else {
            idle.absorb(&drive(address, clients, turn, &question).await?)?;
            idle.spent += turn;
        }
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a bench are far below 2^53"
    )]
    let writes = agreed as f64 / written.as_secs_f64().max(1e-9);
    Ok(Sides { idle, busy, writes })
}

/// Several who write in turn until they are stopped.
struct Writers {
    agreed: Arc<AtomicU64>,
    began: Instant,
    _tasks: JoinSet<()>,
}

impl Writers {
    fn start(client: &Client, base: &str) -> Self {
        let agreed = Arc::new(AtomicU64::new(0));
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for number in 0..WRITERS {
            let first = began + PERIOD * number;
            let names = format!("{base}routes:\n  - {{ name: r-{number}-");
            tasks.spawn(write(client.clone(), names, first, Arc::clone(&agreed)));
        }
        Writers {
            agreed,
            began,
            _tasks: tasks,
        }
    }

    /// What was agreed, in how much time.
    fn stop(self) -> (u64, Duration) {
        (self.agreed.load(Ordering::Relaxed), self.began.elapsed())
    }
}

/// Writes at its turns; one that is late makes up for it.
async fn write(client: Client, names: String, first: Instant, agreed: Arc<AtomicU64>) {
    let mut ticks = interval_at(first, PERIOD * WRITERS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for count in 0_u64.. {
        ticks.tick().await;
        let text = format!("{names}{count}, targets: [bench] }}\n");
        if put(&client, &text, None).await.agreed().is_some() {
            agreed.fetch_add(1, Ordering::Relaxed);
        }
    }
}
