//! Nodes that die at work on a snapshot.

use tokio::time::sleep;

use super::super::{Board, Step};
use super::{Carried, END_LIMIT, done_if};
use crate::cluster::{Cluster, Faults};

/// When a node dies: before the work is there to be seen, or once it is and nobody was told.
const MOMENTS: [&str; 2] = ["crash_before", "crash_after"];

fn at(point: &str, step: &Step) -> Faults {
    let moment = MOMENTS[step.pick % MOMENTS.len()];
    Faults::default().with(&format!("{point} {moment}"))
}

/// The leader is told to write a snapshot, dies of it, and is started again.
pub(super) async fn dies_writing(
    cluster: &mut Cluster,
    (leader, through): (usize, usize),
    step: &Step,
    board: &Board,
) -> anyhow::Result<Carried> {
    board.excuse(leader);
    cluster.faults(leader, &at("snapshot_write", step))?;
    // Nobody is left to say how it went.
    let _ = cluster.snapshot(through).await;
    let ended = cluster.ends(leader, END_LIMIT).await.is_ok();
    cluster.faults(leader, &Faults::default())?;
    if ended || cluster.has_ended(leader)? {
        cluster.launch(leader).await?;
    }
    board.accuse(leader);
    Ok(done_if(ended))
}

/// A follower is away until the log it misses is dropped, dies of the snapshot it gets instead, and
/// is started again.
pub(super) async fn dies_installing(
    cluster: &mut Cluster,
    id: usize,
    step: &Step,
    board: &Board,
) -> anyhow::Result<Carried> {
    board.excuse(id);
    cluster.kill(id).await?;
    sleep(step.lasts).await;
    if let Some(&other) = cluster.running().first() {
        // Refused, the log is still there, and the node comes back by that.
        let _ = cluster.snapshot(other).await;
    }
    cluster.faults(id, &at("install", step))?;
    cluster.spawn(id)?;
    let ended = cluster.ends(id, END_LIMIT).await.is_ok();
    cluster.faults(id, &Faults::default())?;
    match ended || cluster.has_ended(id)? {
        true => cluster.launch(id).await?,
        false => cluster.ready(id).await?,
    }
    board.accuse(id);
    Ok(done_if(ended))
}
