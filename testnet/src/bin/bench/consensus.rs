//! What nodes agree on: how fast, how soon after a fault, and what it costs the requests.

mod breaker;
mod commits;
mod failover;
mod goals;
mod partition;
mod path;

use std::time::Duration;

use clap::ValueEnum;

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    /// Per side and scenario.
    pub(crate) seconds: Duration,
    /// Leaders killed, and as many followers.
    pub(crate) kills: usize,
    /// Rounds of everything else.
    pub(crate) rounds: usize,
    /// Only these; everything when empty.
    pub(crate) only: Vec<Chapter>,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Chapter {
    /// Latency and throughput of agreed changes.
    Commits,
    /// Leaders that are killed, told to end, or hand over.
    Failover,
    /// From the deciding failure to every node, and back.
    Breaker,
    /// Nodes without a quorum, and healing.
    Partition,
    /// Requests while nothing, and while much, is agreed.
    Path,
}

/// Measures and prints one table each.
///
/// # Errors
/// When nodes do not start or do not agree.
pub(crate) async fn run(extent: &Extent) -> anyhow::Result<()> {
    let wanted = |chapter| extent.only.is_empty() || extent.only.contains(&chapter);
    if wanted(Chapter::Commits) {
        commits::run(extent.seconds).await?;
    }
    if wanted(Chapter::Failover) {
        failover::run(extent.kills, extent.rounds).await?;
    }
    if wanted(Chapter::Breaker) {
        breaker::run(extent.rounds).await?;
    }
    if wanted(Chapter::Partition) {
        partition::run(extent.rounds).await?;
    }
    if wanted(Chapter::Path) {
        path::run(extent.seconds).await?;
    }
    Ok(())
}
