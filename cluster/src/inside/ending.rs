//! How a node leaves the stage: leadership first, then the store.

use std::time::Duration;

use tokio::time::timeout;

use super::Inside;

/// How long handing over leadership may hold up a node that stops.
const HANDOVER: Duration = Duration::from_secs(2);
/// How long consensus may take to stop.
const STOP: Duration = Duration::from_secs(5);

impl Inside {
    /// See [`crate::Handle::drain`].
    pub(crate) async fn drain(&self) {
        if let Some(coordinator) = self.coordinator.get() {
            coordinator.drain();
        }
        let Some(raft) = self.raft.get() else { return };
        let others = raft.voter_ids().any(|voter| voter != self.me().0);
        if self.leadership().leading && others {
            match timeout(HANDOVER, self.transfer(raft, None)).await {
                Ok(Ok(())) => tracing::info!("leadership handed over"),
                Ok(Err(error)) => tracing::warn!(%error, "leadership not handed over"),
                Err(_) => tracing::warn!("leadership not handed over in time"),
            }
        }
    }

    /// See [`crate::Handle::shutdown`].
    pub(crate) async fn stop(&self) {
        self.drain().await;
        if let Some(raft) = self.raft.get()
            && timeout(STOP, raft.shutdown()).await.is_err()
        {
            tracing::warn!("consensus did not stop in time");
        }
        self.tasks.lock().abort_all();
    }
}
