//! After a purge is acknowledged, everything that was stored is asked for on every node.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::asker::Asker;
use super::board::Board;
use super::fleet::Fleet;

/// Answers stored each time; few, so that the look-ups come soon after the purge.
const STORED: usize = 200;
/// Times that each is asked for after a purge, over all nodes.
const TIMES: usize = 50;
/// Purges.
const ROUNDS: usize = 10;
/// Connections that ask at once.
const AT_ONCE: usize = 8;
/// Look-ups below which "none" says little.
const LOOKUPS: u64 = 100_000;

/// Measures each number of nodes.
///
/// # Errors
/// When a node fails.
pub(super) async fn run(nodes: &[usize]) -> anyhow::Result<Board> {
    let mut board = Board::default();
    for &n in nodes {
        let fleet = Fleet::start(n, n).await?;
        let (mut lookups, mut stale, mut before) = (0, 0, 0);
        for round in 0..ROUNDS {
            let questions: Vec<String> = (0..STORED)
                .map(|number| format!("what is on page {number}?"))
                .collect();
            let questions = Arc::new(questions);
            let tag = format!("round=r{round}");
            fleet.upstream.keep(true);
            store(&fleet, &questions, &tag).await?;
            fleet.upstream.keep(false);
            before += asked_for(&fleet, &questions, 1).await?;
            let purge = what(round, &tag);
            let told = fleet.cluster.purge(1 + round % n, &purge).await?;
            anyhow::ensure!(told["unreached"] == json!([]), "{purge}: {told}");
            stale += asked_for(&fleet, &questions, TIMES).await?;
            lookups += (STORED * TIMES) as u64;
        }
        let stored = (STORED * ROUNDS) as u64;
        let all = ("hits before the purges, of 2000", "2000");
        board.hold(n, all, before, before == stored);
        let goal = ("look-ups after a purge was acknowledged", ">= 100000");
        board.hold(n, goal, lookups, lookups >= LOOKUPS);
        board.hold(n, ("stale answers", "0"), stale, stale == 0);
        fleet.cluster.end().await?;
    }
    Ok(board)
}

/// Everything, a tag, a model, a tenant, in turns.
fn what(round: usize, tag: &str) -> Value {
    match round % 4 {
        0 => json!({ "all": true }),
        1 => json!({ "tag": tag }),
        2 => json!({ "model": "gpt" }),
        _ => json!({ "tenant": "default" }),
    }
}

async fn store(fleet: &Fleet, questions: &[String], tag: &str) -> anyhow::Result<()> {
    let doors = fleet.addresses();
    let mut askers: Vec<Asker> = doors.iter().map(|door| Asker::of(door)).collect();
    let nodes = askers.len();
    for (number, question) in questions.iter().enumerate() {
        let told = askers[number % nodes]
            .ask_as(("exact", tag), question)
            .await?;
        anyhow::ensure!(
            !told.part.is_hit(),
            "{question} is there before it is stored"
        );
    }
    Ok(())
}

/// Asks for each so many times, over all nodes in turn; gives how many hits there were.
async fn asked_for(
    fleet: &Fleet,
    questions: &Arc<Vec<String>>,
    times: usize,
) -> anyhow::Result<u64> {
    let doors = fleet.addresses();
    let mut clients = JoinSet::new();
    for client in 0..AT_ONCE {
        let questions = Arc::clone(questions);
        let mut askers: Vec<Asker> = doors.iter().map(|door| Asker::of(door)).collect();
        clients.spawn(async move {
            let (mut hits, nodes) = (0, askers.len());
            for number in (client..questions.len() * times).step_by(AT_ONCE) {
                let question = &questions[number % questions.len()];
                // another node each time round
                let node = (number + number / questions.len()) % nodes;
                let told = askers[node].ask_as(("exact", ""), question).await?;
                hits += u64::from(told.part.is_hit());
            }
            anyhow::Ok(hits)
        });
    }
    let mut hits = 0;
    while let Some(told) = clients.join_next().await {
        hits += told??;
    }
    Ok(hits)
}
