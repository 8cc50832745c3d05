//! A node is killed at full load; a node joins at full load.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep, sleep_until};

use super::asker::Asker;
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
const STORED: usize = 2000;
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
        let (questions, cold) = fill(&fleet, texts).await?;
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
        let cold = ask_cold(&fleet.addresses(), &cold).await?;
        let seen = load.finish().await?;
        told(n, &seen, killed, &mut board);
        told_cold(n, &cold, &mut board);
        fleet.cluster.end().await?;
    }
    Ok(board)
}

/// Asks stored questions that nobody else asks, each once, evenly over the time after a kill; gives
/// the requests and hits of each second. One that fails is no hit.
async fn ask_cold(doors: &[String], cold: &[String]) -> anyhow::Result<Vec<(u64, u64)>> {
    let mut askers: Vec<Asker> = doors.iter().map(|door| Asker::of(door)).collect();
    let began = Instant::now();
    let nodes = askers.len();
    let mut seconds = vec![(0, 0); usize::try_from(AFTER.as_secs())?];
    for (number, question) in cold.iter().enumerate() {
        let part = share(number as u64, cold.len());
        sleep_until(began + AFTER.mul_f64(part)).await;
        let told = askers[number % nodes].ask(question).await;
        let at = usize::try_from(began.elapsed().as_secs())?;
        if let Some((asked, hits)) = seconds.get_mut(at) {
            *asked += 1;
            *hits += u64::from(told.is_ok_and(|told| told.part.is_hit()));
        }
    }
    Ok(seconds)
}

fn told_cold(n: usize, seconds: &[(u64, u64)], board: &mut Board) {
    let sum = |part: fn(&(u64, u64)) -> u64| seconds.iter().map(part).sum::<u64>();
    let (asked, hits) = (sum(|second| second.0), sum(|second| second.1));
    board.tell(n, "answers nobody else asks for, asked after it", asked);
    board.tell(n, "of which not found", asked - hits);
    let low = seconds.iter().enumerate();
    let low = low.filter(|(_, (asked, hits))| share(*hits, 1) < BACK * share(*asked, 1));
    let mut low = low.map(|(second, _)| second + 1);
    let back = low.next_back().unwrap_or(0);
    let goal = ("seconds until 95 % of these are found", "<= 30");
    board.hold(n, goal, back, back <= BACK_WITHIN && hits > 0);
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
    let mut low = low.map(|(second, _)| second + 1);
    let back = low.next_back().unwrap_or(0);
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
        let (questions, _) = fill(&fleet, texts).await?;
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

/// Stores answers and draws the cells; gives the questions of the load, stored ones and rewordings,
/// and stored ones that are not among them.
async fn fill(fleet: &Fleet, texts: &Texts) -> anyhow::Result<(Arc<Vec<String>>, Vec<String>)> {
    let some = texts.stored.len().min(STORED);
    let mut stored = fleet.fill(&texts.stored[..some]).await?;
    fleet.draw_cells().await?;
    let cold = stored.split_off(stored.len() / 2);
    let mut questions = stored;
    // of the same classes, found by meaning
    let class = |text: &&String| questions.iter().any(|one| texts.same(one, text));
    let asked = texts.asked.iter().filter(class).take(REWORDED);
    let asked: Vec<String> = asked.cloned().collect();
    questions.extend(asked);
    Ok((Arc::new(questions), cold))
}
