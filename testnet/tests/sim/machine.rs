//! The state machine of one process: the agreed state itself, stored on its node's disk.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use llm_router_cluster::{Done, Outcome, State};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::SnapshotOf;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot};

use crate::disk::{Applied, Kept, Write};
use crate::invariants::Event;
use crate::node::Node;
use crate::types::{Entry, LogId, Membership, Meta, Rows, Sim};

/// Log indexes between two digests; one takes longer than applying a command.
const DIGEST_EVERY: u64 = 8;
/// How long the file of a snapshot may take.
const LONGEST_BUILD: Duration = Duration::from_millis(600);

/// The state machine as one process holds it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    node: Arc<Node>,
    boot: u64,
    applied: Applied,
}

impl Machine {
    pub(crate) fn of(node: &Arc<Node>) -> Self {
        Machine {
            node: Arc::clone(node),
            boot: node.boot(),
            applied: node.look(|image| image.applied.clone()),
        }
    }

    fn take(&mut self, entry: &Entry) -> Outcome {
        let index = entry.log_id.index;
        let outcome = match &entry.payload {
            EntryPayload::Blank => Outcome::Done(Done::Nothing),
            EntryPayload::Normal(command) => self.applied.state.apply(index, command),
            EntryPayload::Membership(membership) => {
                self.applied.membership = Membership::new(Some(entry.log_id), membership.clone());
                Outcome::Done(Done::Nothing)
            }
        };
        self.applied.last = Some(entry.log_id);
        self.applied.state.changes();
        let digest = index
            .is_multiple_of(DIGEST_EVERY)
            .then(|| self.applied.state.digest());
        self.node.tell(&Event::Applied {
            node: self.node.id,
            boot: self.boot,
            id: entry.log_id(),
            outcome: &outcome,
            digest,
        });
        outcome
    }
}

impl RaftStateMachine<Sim> for Machine {
    type SnapshotData = Rows;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), io::Error> {
        Ok((self.applied.last, self.applied.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Sim>, io::Error>> + Unpin + OptionalSend,
    {
        let mut answers = Vec::new();
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            // A process that crashed applies nothing more.
            self.node.read(self.boot, |_| ())?;
            let outcome = self.take(&entry);
            if let Some(responder) = responder {
                answers.push((responder, outcome));
            }
        }
        self.node
            .write(self.boot, Write::Applied(self.applied.clone()))?;
        for (responder, outcome) in answers {
            responder.send(outcome);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &Meta, rows: Rows) -> Result<(), io::Error> {
        let applied = Applied {
            state: State::from_rows(rows.iter().cloned()).map_err(io::Error::other)?,
            last: meta.last_log_id,
            membership: meta.last_membership.clone(),
        };
        self.node.tell(&Event::Installed {
            node: self.node.id,
            boot: self.boot,
            last: meta.last_log_id,
            digest: applied.state.digest(),
        });
        let kept = Kept {
            meta: meta.clone(),
            rows,
        };
        let write = Write::Install(kept, applied.clone());
        let upto = self.node.write(self.boot, write)?;
        self.applied = applied;
        self.node.sync(self.boot, upto).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Sim, Rows>>, io::Error> {
        self.node.read(self.boot, |image| {
            image.snapshot.clone().map(|kept| Snapshot {
                meta: kept.meta,
                snapshot: kept.rows,
            })
        })
    }
}

impl RaftSnapshotBuilder<Sim> for Machine {
    type SnapshotData = Rows;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Sim, Rows>, io::Error> {
        let kept = Kept {
            meta: Meta {
                last_log_id: self.applied.last,
                last_membership: self.applied.membership.clone(),
            },
            rows: Arc::new(self.applied.state.rows()),
        };
        // Time passes until the file is published: another one may come in meanwhile.
        self.node.linger(self.boot, LONGEST_BUILD).await?;
        let upto = self.node.write(self.boot, Write::Snapshot(kept.clone()))?;
        self.node.sync(self.boot, upto).await?;
        Ok(Snapshot {
            meta: kept.meta,
            snapshot: kept.rows,
        })
    }
}
