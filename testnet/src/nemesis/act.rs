//! Carries out one fault and takes it back.

mod snapshots;

use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use super::{Board, Fault, Frail, Step, Wire};
use crate::cluster::damage::{How, What};
use crate::cluster::{Cluster, Faults, LIMIT};
use crate::eventually;

/// How long a node that must end may go on.
const END_LIMIT: Duration = Duration::from_secs(5);
/// Fail points at which a node dies.
const CRASHES: [&str; 9] = [
    "append enospc",
    "append crash_before",
    "append crash_after",
    "fsync crash_before",
    "fsync crash_after",
    "vote crash_before",
    "vote crash_after",
    "apply crash_before",
    "apply crash_after",
];
/// How long a node stands still at least, where that is to be long: several elections, and longer
/// than a client of the harness waits for a word about a breaker or a leader.
const LONG: Duration = Duration::from_secs(6);
const SLOWEST_MS: usize = 500;
const NARROW: u32 = 64 << 10;

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// It happened.
    Done,
    /// A node refused to start on damaged data, and was rebuilt.
    Rebuilt,
    /// There was nothing to do it to: no leader just then, or no such file.
    Void,
}

/// Carries out `step`, waits as long as it lasts, and takes it back: afterwards every node runs and
/// every link is whole, unless the fault is of the network, whose links the caller heals.
///
/// # Errors
/// When a node does not come back, which is a finding.
pub async fn carry_out(
    cluster: &mut Cluster,
    step: &Step,
    board: &Board,
    frail: &Frail,
) -> anyhow::Result<Carried> {
    let leader = cluster.leader_now().await;
    let mut others = cluster.running();
    others.retain(|&id| Some(id) != leader);
    let other = others.get(step.pick % others.len().max(1)).copied();
    let all = cluster.running();
    let any = all.get(step.pick % all.len().max(1)).copied();
    let (Some(other), Some(any)) = (other, any) else {
        return Ok(Carried::Void);
    };
    match step.fault {
        Fault::KillLeader => kill(cluster, &[leader.unwrap_or(any)], step, board).await,
        Fault::KillFollower => kill(cluster, &[other], step, board).await,
        Fault::KillAll => kill(cluster, &all, step, board).await,
        Fault::PauseLeader => pause(cluster, leader.unwrap_or(any), step.lasts, board).await,
        Fault::PauseFollower => pause(cluster, other, step.lasts, board).await,
        Fault::PauseLong => pause(cluster, any, LONG + step.lasts, board).await,
        Fault::Network(wire) => {
            network(cluster, step, wire, (leader.unwrap_or(any), other));
            sleep(step.lasts).await;
            Ok(Carried::Done)
        }
        Fault::CrashInSnapshot => match leader {
            Some(leader) => snapshots::dies_writing(cluster, (leader, other), step, board).await,
            None => Ok(Carried::Void),
        },
        Fault::CrashInInstall => snapshots::dies_installing(cluster, other, step, board).await,
        Fault::Replace => {
            board.excuse(other);
            rebuild(cluster, other).await?;
            board.accuse(other);
            Ok(Carried::Done)
        }
        Fault::SyncFails => dies(cluster, any, "fsync error 1", board).await,
        Fault::Crash => dies(cluster, any, CRASHES[step.pick % CRASHES.len()], board).await,
        Fault::SyncStalls => suffers(cluster, any, "fsync delay:200 *", step).await,
        Fault::DiskFull => suffers(cluster, any, "room enospc *", step).await,
        Fault::Snapshot => {
            let reply = cluster.snapshot(any).await?;
            Ok(done_if(reply.status < 300))
        }
        Fault::Transfer => {
            let reply = cluster.transfer(any, None).await?;
            Ok(done_if(reply.status < 300))
        }
        Fault::Upstream(trouble) => Ok(frail.suffer(cluster, trouble, (any, step.lasts)).await),
        Fault::Corrupt => corrupt(cluster, other, step, board).await,
    }
}

fn done_if(happened: bool) -> Carried {
    match happened {
        true => Carried::Done,
        false => Carried::Void,
    }
}

async fn kill(
    cluster: &mut Cluster,
    ids: &[usize],
    step: &Step,
    board: &Board,
) -> anyhow::Result<Carried> {
    for &id in ids {
        board.excuse(id);
        cluster.kill(id).await?;
    }
    sleep(step.lasts).await;
    for &id in ids {
        cluster.spawn(id)?;
    }
    for &id in ids {
        cluster.ready(id).await?;
        board.accuse(id);
    }
    Ok(Carried::Done)
}

async fn pause(
    cluster: &Cluster,
    id: usize,
    lasts: Duration,
    board: &Board,
) -> anyhow::Result<Carried> {
    board.excuse(id);
    cluster.pause(id).await?;
    sleep(lasts).await;
    cluster.resume(id).await?;
    board.accuse(id);
    Ok(Carried::Done)
}

fn network(cluster: &Cluster, step: &Step, wire: Wire, (leader, other): (usize, usize)) {
    let delay = Duration::from_millis((50 + step.pick % (SLOWEST_MS - 50)) as u64);
    let (from, to) = match step.pick % 2 {
        0 => (leader, other),
        _ => (other, leader),
    };
    match wire {
        Wire::CutOffLeader => cluster.isolate(leader, step.how),
        Wire::CutOffFollower => cluster.isolate(other, step.how),
        Wire::CutOffAll => cluster.partition(&[], step.how),
        Wire::OneWay => cluster.one_way(from, to, step.how),
        Wire::Bridge => cluster.separate(leader, other, step.how),
        Wire::SlowLink => cluster.slow(leader, other, delay),
        Wire::NarrowLink => cluster.narrow(leader, other, NARROW),
    }
}

/// The node lives on with a fault of its disk.
async fn suffers(cluster: &Cluster, id: usize, line: &str, step: &Step) -> anyhow::Result<Carried> {
    cluster.faults(id, &Faults::default().with(line))?;
    sleep(step.lasts).await;
    cluster.faults(id, &Faults::default())?;
    Ok(Carried::Done)
}

/// The node ends at a fail point, and is started again.
async fn dies(
    cluster: &mut Cluster,
    id: usize,
    line: &str,
    board: &Board,
) -> anyhow::Result<Carried> {
    board.excuse(id);
    cluster.faults(id, &Faults::default().with(line))?;
    // It may pass no such point now: a follower of a leader that lives does not vote.
    let ended = cluster.ends(id, END_LIMIT).await.is_ok();
    cluster.faults(id, &Faults::default())?;
    if ended || cluster.has_ended(id)? {
        cluster.launch(id).await?;
    }
    board.accuse(id);
    Ok(done_if(ended))
}

async fn corrupt(
    cluster: &mut Cluster,
    id: usize,
    step: &Step,
    board: &Board,
) -> anyhow::Result<Carried> {
    const WHATS: [What; 5] = [
        What::Log,
        What::Table,
        What::Manifest,
        What::Snapshot,
        What::Watermark,
    ];
    board.excuse(id);
    cluster.kill(id).await?;
    let how = match step.pick % 2 {
        0 => How::Flip,
        _ => How::Truncate,
    };
    let harmed = cluster.damage(id, WHATS[step.pick / 2 % WHATS.len()], how)?;
    let carried = match cluster.launch(id).await {
        // What was harmed is not needed any more, or is made good by a copy, or lies in a block that
        // only housekeeping reads: then the node ends when it does. Its disk is replaced either way.
        Ok(()) => {
            sleep(step.lasts).await;
            rebuild(cluster, id).await?;
            done_if(harmed.is_some())
        }
        Err(_) if harmed.is_some() => {
            rebuild(cluster, id).await?;
            Carried::Rebuilt
        }
        Err(error) => return Err(error),
    };
    board.accuse(id);
    Ok(carried)
}

/// Takes a node out, empties it, and lets it join again under its name.
///
/// # Errors
/// When it does not come back.
pub async fn rebuild(cluster: &mut Cluster, id: usize) -> anyhow::Result<()> {
    cluster.kill(id).await?;
    let through = *cluster.running().first().context("nobody is left to ask")?;
    let what = format!("n{id} is taken out");
    let mut said = String::new();
    eventually(&what, LIMIT, async || {
        let reply = cluster.remove(through, id).await.ok()?;
        said = reply.text();
        (reply.status < 300 || reply.status == 404).then_some(())
    })
    .await
    .with_context(|| said.clone())?;
    cluster.wipe(id)?;
    cluster.write_file(id, Some(through))?;
    cluster.launch(id).await
}
