//! Memory of an idle node without embedder, then 5,000 idle and 500 active connections.

use std::time::Duration;

use llm_router_testnet::Node;
use tokio::time::sleep;

use crate::client::{Connection, Question, drive};
use crate::compare::node_config;
use crate::upstream::Upstream;
use llm_router_testnet::table::{Table, mebibytes};

const IDLE: usize = 5_000;
const ACTIVE: usize = 500;
/// How long the active ones stay busy.
const BUSY: Duration = Duration::from_secs(8);
/// Open files each process needs: the idle connections, both ends of the active ones, and the rest.
const FILES: u64 = 6_500;

/// Measures and prints one table.
///
/// # Errors
/// When a process does not start or a connection is refused.
pub(crate) async fn run() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let node = Node::start(&node_config(&upstream.address)).await?;
    sleep(Duration::from_secs(2)).await;
    println!("\nmemory and connections, embedder off");
    let mut table = Table::new(&["", "resident", "requests", "errors"]);
    let resident = || {
        node.resident_bytes()
            .map_or_else(|| "unknown".to_owned(), mebibytes)
    };
    table.row(vec![
        "idle".to_owned(),
        resident(),
        String::new(),
        String::new(),
    ]);
    if open_files() < FILES {
        println!("{table}");
        println!(
            "connections left out: {FILES} open files are needed (ulimit -n), {} allowed",
            open_files()
        );
        return Ok(());
    }

    let mut idle = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        idle.push(Connection::open(node.http_address()).await?);
    }
    let errors = ask_each(&mut idle).await;
    table.row(vec![
        format!("{IDLE} idle connections"),
        resident(),
        IDLE.to_string(),
        errors.to_string(),
    ]);

    let busy = drive(node.http_address(), ACTIVE, BUSY, &Question::chat(false)).await?;
    table.row(vec![
        format!("and {ACTIVE} active for {BUSY:?}"),
        resident(),
        busy.count().to_string(),
        busy.errors.to_string(),
    ]);
    let errors = ask_each(&mut idle).await;
    table.row(vec![
        "the idle ones again".to_owned(),
        resident(),
        IDLE.to_string(),
        errors.to_string(),
    ]);
    drop(idle);
    sleep(Duration::from_secs(2)).await;
    table.row(vec![
        "all closed".to_owned(),
        resident(),
        String::new(),
        String::new(),
    ]);
    println!("{table}");
    Ok(())
}

/// One health check on every connection; gives how many failed.
async fn ask_each(connections: &mut [Connection]) -> usize {
    let mut errors = 0;
    for connection in connections {
        errors += usize::from(connection.ask(&Question::health()).await.is_err());
    }
    errors
}

/// The soft limit on open files; unlimited where the system does not tell.
fn open_files() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(u64::MAX)
}
