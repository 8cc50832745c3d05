//! How far this node is, as it tells others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::called_off::{Forgotten, wait};
use super::words::Stand;
use crate::cache::Inner;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) forgotten: watch::Sender<Forgotten>,
    /// The placement all entries have been brought to.
    pub(super) settled: AtomicU64,
}

/// Says how far the node is, at the latest once it has forgotten what was called off up to `epoch`.
pub(crate) async fn stand(inner: &Inner, epoch: u64, within: Duration) -> Stand {
    let Some(peers) = inner.peers() else {
        return Stand::default();
    };
    let standing = &peers.standing;
    let forgotten = wait(standing.forgotten.subscribe(), epoch, within).await;
    let forgotten = forgotten.unwrap_or_else(|| *standing.forgotten.borrow());
    Stand {
        epoch: forgotten.epoch,
        placement: peers.views().target.fingerprint(),
        settled: standing.settled.load(Ordering::Relaxed),
        forgotten: if forgotten.epoch == epoch {
            forgotten.entries
        } else {
            0
        },
    }
}
