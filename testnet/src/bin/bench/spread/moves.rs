//! A node is killed at full load; a node joins at full load.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;

use super::board::Board;
use super::fleet::Fleet;
use super::load::{Load, Seen};
use super::stream::share;
use super::texts::Texts;

/// Load before anything happens.
const BEFORE: Duration = Duration::from_secs(14);
/// The first of it, in which vectors are made, does not count.
const WARM_SECONDS: usize = 8;
/// Load after a node was killed.
const AFTER: Duration = Duration::from_secs(40);
/// Longest time until the hit rate is back, in seconds.
const BACK_WITHIN: usize = 30;
/// Part of the hit rate that has to be back.
const BACK: f64 = 0.95;
/// Answers stored.
const STORED: usize = 1500;
/// Rewordings asked beside them.
const REWORDED: usize = 300;
/// Bytes moved to a node that joins, over those of a fair part.
const MOVED: f64 = 1.3;

/// Kills a node of each number of nodes.
///
/// # Errors
/// When another node fails.
pub(super) async fn kill(nodes: &[usize], texts: &Texts) -> anyhow::Result<Board> {
    let mut board = Board::default();
    for &n in nodes {
        let mut fleet = Fleet::start(n, n).await?;
        let questions = fill(&fleet, texts).await?;
        let gone = fleet.cluster.followers().await?[0];
        let survivors = fleet.cluster.ids().filter(|&id| id != gone);
        let doors = survivors.map(|id| fleet.cluster.http_address(id).to_owned());
        let load = Load::start(&doors.collect::<Vec<_>>(), &questions);
        // it serves as well, but what it fails is nobody's concern
        let door = fleet.cluster.http_address(gone).to_owned();
        let victims = Load::start(&[door], &questions);
        sleep(BEFORE).await;
        let killed = load.second();
        fleet.cluster.kill(gone).await?;
        drop(victims);
        sleep(AFTER).await;
        let seen = load.finish().await?;
        told(n, &seen, killed, &mut board);
        fleet.cluster.end().await?;
    }
    Ok(board)
}

fn told(n: usize, seen: &Seen, killed: usize, board: &mut Board) {
    board.tell(n, "requests on the others", seen.requests());
    board.hold(n, ("of which failed", "0"), seen.failed, seen.failed == 0);
    let rate = |seconds: &[(u64, u64)]| {
        let hits = seconds.iter().map(|(_, hits)| hits).sum();
        let asked = seconds.iter().map(|(asked, _)| asked).sum::<u64>();
        share(hits, usize::try_from(asked).unwrap_or(usize::MAX))
    };
    let before = rate(&seen.seconds[WARM_SECONDS.min(killed)..killed]);
    board.tell(n, "hit rate before, %", format!("{:.1}", before * 100.0));
    // the last second is cut off
    let after = &seen.seconds[killed..seen.seconds.len() - 1];
    let lows = after.iter().map(|second| rate(&[*second]));
    let lowest = lows.clone().fold(1.0, f64::min);
    board.tell(n, "lowest in a second, %", format!("{:.1}", lowest * 100.0));
    let low = lows.enumerate().filter(|(_, rate)| *rate < BACK * before);
    let back = low.map(|(second, _)| second + 1).last().unwrap_or(0);
    let goal = ("seconds until 95 % of it is back", "<= 30");
    board.hold(n, goal, back, back <= BACK_WITHIN && before > 0.0);
    for problem in &seen.told {
        println!("  {n} nodes: {problem}");
    }
}

/// Adds a node to each number of nodes.
///
/// # Errors
/// When a node fails.
pub(super) async fn join(nodes: &[usize], texts: &Texts) -> anyhow::Result<Board> {
    let mut board = Board::default();
    for &n in nodes {
        let mut fleet = Fleet::start(n, n + 1).await?;
        let questions = fill(&fleet, texts).await?;
        let held: u64 = fleet.entries().await?.iter().sum();
        let load = Load::start(&fleet.addresses(), &questions);
        sleep(BEFORE).await;
        let before = [fleet.sum("moved").await?, fleet.sum("moved_bytes").await?];
        let began = load.second();
        fleet.cluster.launch(n + 1).await?;
        fleet.cluster.settled(n + 1).await?;
        let took = load.second() - began;
        let seen = load.finish().await?;
        fleet.arrived().await?;
        let moved = fleet.sum("moved").await? - before[0];
        let bytes = fleet.sum("moved_bytes").await? - before[1];
        board.tell(n, "requests meanwhile", seen.requests());
        board.hold(n, ("of which failed", "0"), seen.failed, seen.failed == 0);
        board.tell(n, "seconds until it has its part", took);
        let entries = fleet.entries().await?;
        let its = entries.last().copied().context("no node")?;
        board.tell(n, "entries it holds", its);
        let each = share(bytes, usize::try_from(moved)?.max(1));
        let ideal = share(held, n + 1) * each;
        board.tell(n, "MB moved", format!("{:.2}", share(bytes, 1) / 1e6));
        let over = share(bytes, 1) / ideal.max(1.0);
        let goal = ("over a fair part of all", "<= 1.3");
        board.hold(n, goal, format!("{over:.2}"), moved > 0 && over <= MOVED);
        for problem in &seen.told {
            println!("  {n} nodes: {problem}");
        }
        fleet.cluster.end().await?;
    }
    Ok(board)
}

/// Stores answers and draws the cells; gives the questions of the load, stored ones and rewordings.
async fn fill(fleet: &Fleet, texts: &Texts) -> anyhow::Result<Arc<Vec<String>>> {
    let some = texts.stored.len().min(STORED);
    let mut questions = fleet.fill(&texts.stored[..some]).await?;
    fleet.draw_cells().await?;
    // of the same classes, found by meaning
    let stored = &texts.stored[..some];
    let class = |text: &&String| stored.iter().any(|one| texts.same(one, text));
    let asked = texts.asked.iter().filter(class).take(REWORDED);
    questions.extend(asked.cloned());
    Ok(Arc::new(questions))
}
