//! The Raft log and vote of one process, on its node's disk.

use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::Arc;

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{AsyncRuntime, OptionalSend, RaftLogReader};
use openraft_rt_sim::SimRuntime;

use crate::disk::Write;
use crate::invariants::Event;
use crate::node::Node;
use crate::types::{Entry, LogId, Sim, Vote};

/// The log as one process sees it.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    node: Arc<Node>,
    boot: u64,
}

impl Log {
    pub(crate) fn of(node: &Arc<Node>) -> Self {
        Log {
            node: Arc::clone(node),
            boot: node.boot(),
        }
    }
}

impl RaftLogReader<Sim> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        self.node.read(self.boot, |image| {
            image
                .log
                .range(range)
                .map(|(_, entry)| entry.clone())
                .collect()
        })
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        self.node.read(self.boot, |image| image.vote)
    }
}

impl RaftLogStorage<Sim> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Sim>, io::Error> {
        self.node.read(self.boot, |image| LogState {
            last_purged_log_id: image.purged,
            last_log_id: image.last(),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let upto = self.node.write(self.boot, Write::Vote(*vote))?;
        self.node.sync(self.boot, upto).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.node
            .write(self.boot, Write::Committed(committed))
            .map(drop)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        self.node.read(self.boot, |image| image.committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Sim>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let mut before = self.node.read(self.boot, |image| image.last())?;
        for entry in &entries {
            self.node.tell(&Event::Appended {
                node: self.node.id,
                before,
                entry,
            });
            before = Some(entry.log_id);
        }
        let upto = self.node.write(self.boot, Write::Append(entries))?;
        let (node, boot) = (Arc::clone(&self.node), self.boot);
        drop(SimRuntime::spawn(async move {
            let synced = node.sync(boot, upto).await;
            callback.io_completed(synced);
        }));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let first_gone = last.map_or(0, |last| last.index + 1);
        let gone: Vec<LogId> = self.node.read(self.boot, |image| {
            image
                .log
                .range(first_gone..)
                .map(|(_, entry)| entry.log_id)
                .collect()
        })?;
        self.node.tell(&Event::Truncated {
            node: self.node.id,
            gone: &gone,
        });
        self.node.write(self.boot, Write::Truncate(last)).map(drop)
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.node.write(self.boot, Write::Purge(upto)).map(drop)
    }
}
