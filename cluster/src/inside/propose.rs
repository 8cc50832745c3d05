//! From a change somebody wants to a change everybody has.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::errors::{ClientWriteError, RaftError};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use super::Inside;
use super::tries::Tries;
use crate::clock::unix_ms;
use crate::command::{Change, Command, Done, Outcome, Rejected, encode};
use crate::error::{Error, Refused};
use crate::handle::Author;
use crate::identity::MemberId;
use crate::trace;
use crate::transport::Proposed;

/// How long a leader that says nothing may stay silent before a change sent to it counts as lost.
const SILENCE: Duration = Duration::from_millis(400);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(25);
/// What a caller is told to wait when there is no quorum: about one election.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Largest command, in bytes: with its frame it fits a message between nodes.
const MAX_COMMAND: usize = 6 << 20;
/// How far a proposer's clock may be ahead of the leader's, in milliseconds. The agreed clock only
/// moves forwards, and keys expire by it: a node that is a year ahead must not take all along.
const AHEAD_MS: u64 = 5 * 60 * 1000;
/// Longest author kept, in bytes.
const MAX_BY: usize = 128;

impl Inside {
    /// Agrees on a change, through the leader wherever it is; see [`crate::Handle::propose`].
    pub(crate) async fn agree(
        &self,
        change: Change,
        author: Author,
        patience: Duration,
    ) -> Result<Done, Error> {
        let Ok(_place) = self.waiting.clone().try_acquire_owned() else {
            return Err(Error::Busy);
        };
        let command = Command {
            request: author.request,
            at_ms: unix_ms(),
            by: shortened(author.by),
            change,
        };
        let deadline = Instant::now() + patience;
        let agreeing = async {
            let proposed = self.carry(&command, deadline).await?;
            self.applied(proposed.index, deadline).await;
            Ok::<_, Error>(proposed)
        };
        let told = trace::doing("agree");
        let proposed = agreeing.instrument(told.span().clone()).await;
        told.end(match &proposed {
            Ok(proposed) => match &proposed.outcome {
                Outcome::Done(_) => Ok(()),
                Outcome::Rejected(_) => Err("rejected"),
            },
            Err(error) => Err(error.name()),
        });
        match proposed?.outcome {
            Outcome::Done(done) => Ok(done),
            Outcome::Rejected(why) => Err(why.into()),
        }
    }

    /// Carries a command to whoever leads. A leader that changes on the way is followed: the
    /// request id makes a second try harmless.
    async fn carry(&self, command: &Command, deadline: Instant) -> Result<Proposed, Error> {
        let mut tries = Tries::new(self, deadline);
        let mut sent = false;
        loop {
            match self.try_leader(command, deadline).await {
                Err(Error::NoQuorum { maybe_applied, .. }) => sent |= maybe_applied,
                Err(Error::Unreachable { .. }) => {}
                // what is refused now may have been taken the time before
                Err(Error::DiskFull { .. } | Error::Busy | Error::Refused(_)) if sent => {
                    return Err(no_quorum(true));
                }
                settled => return settled,
            }
            if !tries.again().await {
                return Err(no_quorum(sent));
            }
        }
    }

    async fn try_leader(&self, command: &Command, deadline: Instant) -> Result<Proposed, Error> {
        let leadership = self.leadership();
        let attempt = async {
            match &leadership.leader {
                Some((member, _)) if *member == self.me() => self.append(command.clone()).await,
                Some((_, peer)) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    self.peers.propose(peer, command, left).await
                }
                None => Err(no_quorum(false)),
            }
        };
        let settled = tokio::select! {
            settled = timeout_at(deadline, attempt) => settled.unwrap_or(Err(Error::Timeout)),
            () = self.silence() => Err(no_quorum(true)),
        };
        settled.inspect_err(|error| self.heed(error))
    }

    /// Resolves when nobody with a quorum has been heard of for a while.
    pub(super) async fn silence(&self) {
        let began = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            let since = self.contact().map_or(began, |at| at.max(began));
            if since.elapsed() >= SILENCE {
                return;
            }
        }
    }

    /// Puts somebody's command in the log, if this node and every voter in reach has room for it;
    /// only a leader can. A follower that finds none could not go on.
    pub(crate) async fn append(&self, command: Command) -> Result<Proposed, Error> {
        self.has_room()?;
        if let Some((member, free_mib)) = self.full_voter() {
            return Err(self.disk_full(member, free_mib));
        }
        self.write(command).await
    }

    /// A voter that told this leader of too little room.
    fn full_voter(&self) -> Option<(MemberId, u64)> {
        // one that led before may still know what is not so any more
        let leads = self.leadership().leading;
        let full = self.coordinator.get().filter(|_| leads)?.full();
        let voters: BTreeSet<u64> = self.raft.get()?.voter_ids().collect();
        full.into_iter()
            .find(|(member, _)| voters.contains(&member.0))
    }

    /// Refuses when this disk is so full that what is left is for what has to go on.
    pub(super) fn has_room(&self) -> Result<(), Error> {
        let room = self.store.room();
        if room.full {
            return Err(self.disk_full(self.me(), room.free_mib));
        }
        Ok(())
    }

    fn disk_full(&self, member: MemberId, free_mib: u64) -> Error {
        let state = self.state();
        let record = state.members().get(&member);
        let place = record.map_or_else(|| member.to_string(), |record| record.name.to_string());
        Error::DiskFull { free_mib, place }
    }

    /// Puts a command in the log, however little room there is: for the leader's own, which are
    /// small and few and protect upstreams. The reserve is for them.
    pub(crate) async fn write(&self, command: Command) -> Result<Proposed, Error> {
        let command = self.fit(command)?;
        let raft = self.raft.get().ok_or(Error::Stopped)?;
        let written = raft.client_write(command).await;
        match written {
            Ok(answer) => Ok(Proposed {
                outcome: answer.data,
                index: answer.log_id.index,
            }),
            Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_))) => {
                Err(no_quorum(true))
            }
            Err(RaftError::APIError(_)) => Err(no_quorum(false)),
            // it was in the log perhaps, before consensus stopped here
            Err(RaftError::Fatal(_)) => Err(no_quorum(true)),
        }
    }

    /// What may stand in the log: understood by every member, small enough to be sent on, and made
    /// at a time that can be.
    fn fit(&self, mut command: Command) -> Result<Command, Error> {
        let (needed, level) = (command.change.level(), self.state().level());
        if needed > level {
            return Err(Refused::Unwise(format!(
                "this change needs command level {needed}, and a member understands only {level}: \
                 upgrade every node first"
            ))
            .into());
        }
        let bytes = encode(&command).len();
        if bytes > MAX_COMMAND {
            let what = format!("a change of {bytes} bytes, of which {MAX_COMMAND} may be");
            return Err(Rejected::TooMuch { what }.into());
        }
        let latest = unix_ms().saturating_add(AHEAD_MS);
        if command.at_ms > latest {
            let ahead_ms = command
                .at_ms
                .saturating_sub(latest)
                .saturating_add(AHEAD_MS);
            tracing::warn!(by = %command.by, ahead_ms, "a change from a clock that is ahead");
            command.at_ms = latest;
        }
        Ok(command)
    }

    /// Waits until the entry is applied here. It is committed already, so a node that lags behind
    /// is no reason to call the change failed.
    async fn applied(&self, index: u64, deadline: Instant) {
        let Some(raft) = self.raft.get() else { return };
        let left = deadline.saturating_duration_since(Instant::now());
        let reached = raft
            .wait(Some(left))
            .applied_index_at_least(Some(index), "the proposer's own change")
            .await;
        if reached.is_err() {
            tracing::debug!(index, "a committed change is not applied here yet");
        }
    }
}

pub(super) const fn no_quorum(maybe_applied: bool) -> Error {
    Error::NoQuorum {
        retry_after: RETRY_AFTER,
        maybe_applied,
    }
}

fn shortened(mut by: String) -> String {
    let mut end = by.len().min(MAX_BY);
    while !by.is_char_boundary(end) {
        end -= 1;
    }
    by.truncate(end);
    by
}
