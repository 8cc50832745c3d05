//! Follows what is agreed to be called off: the table first, so that nothing of it is served from
//! that moment; then memory and disk.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use llm_router_cluster::MemberId;
use tokio::sync::watch;

use super::{Peers, mark};
use crate::cache::answer::{Purge, Purged};
use crate::cache::{Error, Inner};

/// Longest wait for this node to forget what it called off.
const HERE_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for another node.
const THERE_WITHIN: Duration = Duration::from_secs(2);
/// Wait before the disk is tried again.
const BREATH: Duration = Duration::from_secs(1);

/// What was forgotten so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Forgotten {
    /// Everything called off up to this epoch.
    pub(super) epoch: u64,
    /// Entries the latest time took out.
    pub(super) entries: u64,
}

/// Takes over what is agreed the moment it is, whatever the disk is busy with.
pub(super) async fn adopt(inner: Arc<Inner>) {
    let Some(peers) = inner.peers() else { return };
    let mut changes = peers.link.changes();
    let stopping = peers.keeper.stopping();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            change = changes.next() => if change.is_none() { return },
            () = &mut stopping => return,
        }
        if peers.link.epoch() > inner.epochs.epoch() {
            inner.epochs.adopt(peers.link.epochs());
        }
    }
}

/// Forgets what was called off, in memory and on disk.
pub(super) async fn run(inner: Arc<Inner>) {
    let Some(peers) = inner.peers() else { return };
    let mut changes = peers.link.changes();
    let stopping = peers.keeper.stopping();
    tokio::pin!(stopping);
    // a mark from another cluster's time says nothing about this one's
    let known = inner.forgotten.as_ref().map_or(0, mark::read);
    let known = known.min(peers.link.epoch());
    peers
        .standing
        .forgotten
        .send_modify(|forgotten| forgotten.epoch = known);
    loop {
        tokio::select! {
            change = changes.next() => if change.is_none() { return },
            () = &mut stopping => return,
        }
        follow(&inner, peers).await;
    }
}

/// Forgets what is called off by now.
async fn follow(inner: &Arc<Inner>, peers: &Peers) {
    let done = *peers.standing.forgotten.borrow();
    if peers.link.epoch() <= done.epoch {
        return;
    }
    inner.epochs.adopt(peers.link.epochs());
    let table = inner.epochs.now();
    let purges = table.since(done.epoch);
    let epoch = table.epoch();
    let entries = loop {
        let (worker, purges) = (Arc::clone(inner), purges.clone());
        let forgotten = tokio::task::spawn_blocking(move || {
            let entries = worker.forget(&purges)?;
            if let Some(file) = &worker.forgotten {
                mark::write(file, epoch)?;
            }
            Ok::<_, Error>(entries)
        });
        match forgotten.await {
            Ok(Ok(entries)) => break entries,
            Ok(Err(error)) => {
                // nothing of it is served; that it is gone from the disk is not said before it is
                tracing::warn!(%error, "called-off answers are still on disk");
                if peers.is_stopping() {
                    return;
                }
                tokio::time::sleep(BREATH).await;
            }
            Err(_) => return,
        }
    };
    let forgotten = Forgotten { epoch, entries };
    peers.standing.forgotten.send_replace(forgotten);
}

/// Calls something off everywhere. Returns once every node that could be reached has forgotten it.
pub(crate) async fn call_off(inner: &Arc<Inner>, what: &Purge) -> Result<Purged, Error> {
    let peers = inner.peers().ok_or(Error::Stopped)?;
    let epoch = peers.link.call_off(what).await?;
    let here = wait(peers.standing.forgotten.subscribe(), epoch, HERE_WITHIN).await;
    let here = here.ok_or(match peers.is_stopping() {
        true => Error::Stopped,
        false => Error::StillOnDisk,
    })?;
    let members = peers.link.members();
    let others: Vec<MemberId> = members
        .names
        .keys()
        .copied()
        .filter(|member| *member != peers.me())
        .collect();
    let asked = others.into_iter().map(async |member| {
        let stand = peers.link.stand(member, epoch, THERE_WITHIN).await;
        (member, stand.ok().filter(|stand| stand.epoch >= epoch))
    });
    let mut purged = Purged {
        removed: here.entries,
        unreached: Vec::new(),
    };
    for (member, stand) in futures::future::join_all(asked).await {
        match stand {
            Some(stand) => purged.removed += stand.forgotten,
            None => purged.unreached.extend(members.names.get(&member).cloned()),
        }
    }
    Ok(purged)
}

/// Waits until what was called off up to `epoch` is forgotten.
pub(super) async fn wait(
    mut forgotten: watch::Receiver<Forgotten>,
    epoch: u64,
    within: Duration,
) -> Option<Forgotten> {
    let enough = forgotten.wait_for(|forgotten| forgotten.epoch >= epoch);
    let waited = tokio::time::timeout(within, enough).await.ok()?;
    waited.ok().map(|forgotten| *forgotten)
}
