//! One member of each class is stored, the others are asked with: what is found, where it lies, and
//! how many nodes are asked for it.

use llm_router_testnet::cluster::Cluster;

use super::asker::{Asker, Part};
use super::board::Board;
use super::fleet::Fleet;
use super::recall;
use super::texts::Texts;

/// Look-ups whose asked nodes are counted one by one.
const COUNTED: usize = 200;

/// Measures a single node and each number of nodes.
///
/// # Errors
/// When a node fails.
pub(super) async fn run(nodes: &[usize], texts: &Texts) -> anyhow::Result<Board> {
    let mut board = Board::default();
    let mut single = None;
    let judge = recall::Judge::load(texts).await?;
    for &n in [1].iter().chain(nodes) {
        let fleet = Fleet::start(n, n).await?;
        let stored = fleet.fill(&texts.stored).await?;
        if n > 1 {
            fleet.draw_cells().await?;
        }
        board.tell(n, "answers stored", stored.len());
        balance(&fleet, n, stored.len(), &mut board).await?;
        let rate = stream(&fleet, n, texts, &mut board).await?;
        match single {
            None => single = Some(rate),
            Some(single) => {
                let apart = (rate - single).abs() * 100.0;
                let goal = ("points from the single node", "<= 1");
                board.hold(n, goal, format!("{apart:.2}"), apart <= 1.0);
            }
        }
        fan_out(&fleet, n, texts, &mut board).await?;
        judge.ask(&fleet, n, &stored, &mut board).await?;
        let unanswered = fleet.sum("unanswered").await?;
        board.tell(n, "calls without an answer in time", unanswered);
        fleet.cluster.end().await?;
    }
    Ok(board)
}

async fn balance(fleet: &Fleet, n: usize, stored: usize, board: &mut Board) -> anyhow::Result<()> {
    let entries = fleet.entries().await?;
    let mean = share(entries.iter().sum(), n);
    let most = entries.iter().max().copied().unwrap_or(0);
    let per_answer = mean / share(stored as u64, 1).max(1.0);
    board.tell(n, "entries per node, mean", format!("{mean:.0}"));
    board.tell(
        n,
        "of all answers, a node's part",
        format!("{per_answer:.3}"),
    );
    if n > 1 {
        let uneven = share(most, 1) / mean.max(1.0);
        let goal = ("entries per node, max / mean", "<= 1.3");
        board.hold(n, goal, format!("{uneven:.2}"), uneven <= 1.3);
    }
    Ok(())
}

/// The hit rate.
async fn stream(fleet: &Fleet, n: usize, texts: &Texts, board: &mut Board) -> anyhow::Result<f64> {
    let before = [fleet.sum("looks").await?, fleet.sum("asked").await?];
    let told = fleet.ask_all(&texts.asked).await?;
    let after = [fleet.sum("looks").await?, fleet.sum("asked").await?];
    let (mut hits, mut wrong) = (0, 0);
    for (place, told) in &told {
        hits += u64::from(told.part.is_hit());
        let other = !texts.same(&texts.asked[*place], &told.text());
        wrong += u64::from(told.part.is_hit() && other);
    }
    let rate = share(hits, told.len());
    board.tell(n, "asked", told.len());
    board.tell(n, "hit rate, %", format!("{:.2}", rate * 100.0));
    let wrong = share(wrong, told.len()) * 100.0;
    board.tell(n, "served another class's answer, %", format!("{wrong:.2}"));
    if n > 1 {
        let (looks, asked) = (after[0] - before[0], after[1] - before[1]);
        let mean = share(asked, 1) / share(looks, 1).max(1.0);
        let goal = ("nodes asked by a look-up, mean", "<= 2");
        board.hold(n, goal, format!("{mean:.2}"), looks > 0 && mean <= 2.0);
    }
    Ok(rate)
}

/// The most nodes that one look-up asks, one at a time.
async fn fan_out(fleet: &Fleet, n: usize, texts: &Texts, board: &mut Board) -> anyhow::Result<()> {
    if n == 1 {
        return Ok(());
    }
    let mut most = 0;
    for (text, id) in texts.asked.iter().take(COUNTED).zip((1..=n).cycle()) {
        let mut asker = Asker::of(fleet.cluster.http_address(id));
        let before = asked(&fleet.cluster, id).await;
        let told = asker.ask(text).await?;
        if told.part != Part::Exact {
            most = most.max(asked(&fleet.cluster, id).await - before);
        }
    }
    let goal = ("nodes asked by a look-up, most", "<= 3");
    board.hold(n, goal, most, (1..=3).contains(&most));
    Ok(())
}

async fn asked(cluster: &Cluster, id: usize) -> u64 {
    let shown = cluster.cache(id).await.unwrap_or_default();
    shown["peers"]["asked"].as_u64().unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(super) fn share(of: u64, all: usize) -> f64 {
    of as f64 / all.max(1) as f64
}
