//! Reading the agreed state, as fresh as asked.

use std::sync::Arc;
use std::time::Duration;

use openraft::ReadPolicy;
use tokio::time::{Instant, timeout_at};

use super::Inside;
use super::propose::no_quorum;
use super::tries::Tries;
use crate::error::Error;
use crate::handle::Consistency;
use crate::identity::Revision;
use crate::state::State;

impl Inside {
    /// See [`crate::Handle::read`].
    pub(crate) async fn read(
        &self,
        consistency: Consistency,
        patience: Duration,
    ) -> Result<Arc<State>, Error> {
        if consistency == Consistency::Local {
            return Ok(self.state());
        }
        let deadline = Instant::now() + patience;
        let mut tries = Tries::new(self, deadline);
        let index = loop {
            match self.try_index(consistency, deadline).await {
                Err(Error::NoQuorum { .. } | Error::Unreachable { .. }) => {}
                settled => break settled?,
            }
            if !tries.again().await {
                return Err(no_quorum(false));
            }
        };
        let raft = self.raft.get().ok_or(Error::Stopped)?;
        let left = deadline.saturating_duration_since(Instant::now());
        raft.wait(Some(left))
            .applied_index_at_least(Some(index), "a read")
            .await
            .map_err(|_| Error::Timeout)?;
        Ok(self.state())
    }

    async fn try_index(&self, consistency: Consistency, deadline: Instant) -> Result<u64, Error> {
        let asked = async {
            match self.leadership().leader {
                Some((member, _)) if member == self.me() => self.read_index(consistency).await,
                Some((_, peer)) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    self.peers.read_index(&peer, left).await
                }
                None => Err(no_quorum(false)),
            }
        };
        tokio::select! {
            settled = timeout_at(deadline, asked) => settled.unwrap_or(Err(Error::Timeout)),
            () = self.silence() => Err(no_quorum(false)),
        }
    }

    /// The index a read has to have seen; only a leader knows.
    pub(crate) async fn read_index(&self, consistency: Consistency) -> Result<u64, Error> {
        let raft = self.raft.get().ok_or(Error::Stopped)?;
        let policy = match consistency {
            Consistency::Lease => ReadPolicy::LeaseRead,
            Consistency::Local | Consistency::Linearizable => ReadPolicy::ReadIndex,
        };
        let read = raft.get_read_linearizer(policy).await;
        let linearizer = read.map_err(|_| no_quorum(false))?;
        Ok(linearizer.read_log_id().index())
    }

    /// See [`crate::Handle::at_least`].
    pub(crate) async fn at_least(
        &self,
        revision: Revision,
        patience: Duration,
    ) -> Result<Arc<State>, Error> {
        self.until(patience, |state| state.revision() >= revision)
            .await;
        let state = self.state();
        if state.revision() >= revision {
            return Ok(state);
        }
        Err(Error::Behind {
            wanted: revision.0,
            newest: state.revision().0,
        })
    }
}
