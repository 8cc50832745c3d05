//! Who belongs, who votes, who leads: carried out by the leader.
//!
//! ```text
//!  join ──► learner ──► voter (with another one, so that the number stays odd; at most five)
//!                         │
//!  remove ◄───────────────┘   its number is retired, its name free again
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, RaftMetrics};
use tokio::time::{Instant, sleep, timeout};

use super::Inside;
use super::propose::no_quorum;
use crate::clock::unix_ms;
use crate::command::{Change, Command, Done, Outcome, Rejected, RequestId};
use crate::error::{Error, Refused};
use crate::handle::Order;
use crate::identity::{MemberId, NodeId};
use crate::raft::{Peer, TypeConfig};
use crate::transport::{JoinRequest, Joined, Raft};

/// Most voters: more make every change wait for more disks and survive no likelier fault.
const MAX_VOTERS: usize = 5;
/// Entries a learner may be behind and still be made a voter.
const CAUGHT_UP: u64 = 100;
/// How often the leader looks whether somebody can be promoted.
const LOOK: Duration = Duration::from_millis(500);
/// How long a transfer of leadership, or a snapshot, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two looks at what was ordered.
const PAUSE: Duration = Duration::from_millis(10);

type Metrics = RaftMetrics<TypeConfig>;

impl Inside {
    /// Lets a node in as a learner.
    pub(crate) async fn let_in(&self, request: JoinRequest) -> Result<Joined, Error> {
        let ours = &self.identity.cluster;
        if let Some(theirs) = request.cluster.as_ref().filter(|theirs| *theirs != ours) {
            return Err(Refused::WrongCluster {
                ours: ours.to_string(),
                theirs: theirs.to_string(),
            }
            .into());
        }
        if request.cluster.is_some() {
            let name = request.node.to_string();
            return Err(Refused::NameTaken { name }.into());
        }
        let level = self.state().level();
        if request.level < level {
            return Err(Refused::TooOld {
                ours: level,
                theirs: request.level,
            }
            .into());
        }
        if self.state().cluster().is_none() {
            // a refusal in the log would be the answer to every repeat of this request
            return Err(no_quorum(false));
        }
        let _one_at_a_time = self.membership.lock().await;
        let admit = Change::Admit {
            name: request.node.clone(),
            address: request.address.clone(),
            level: request.level,
        };
        let member = match self.order_change(request.request, admit).await? {
            Outcome::Done(Done::Member { member }) => member,
            Outcome::Rejected(Rejected::Exists { .. }) => {
                let name = request.node.to_string();
                return Err(Refused::NameTaken { name }.into());
            }
            Outcome::Rejected(why) => return Err(why.into()),
            Outcome::Done(_) => return Err(Error::Stopped),
        };
        let peer = Peer {
            name: request.node,
            address: request.address,
        };
        let raft = self.raft.get().ok_or(Error::Stopped)?;
        let added = raft.add_learner(member.0, peer, false).await;
        added.map_err(|error| unchanged(&error))?;
        Ok(Joined {
            cluster: ours.clone(),
            member,
            seal_key: self.identity.seal_key,
        })
    }

    /// Carries out an order; only the leader can.
    pub(crate) async fn carry_out(&self, order: Order) -> Result<(), Error> {
        let raft = self.raft.get().ok_or(Error::Stopped)?;
        if !self.leadership().leading {
            return Err(no_quorum(false));
        }
        match order {
            Order::Promote(name) => self.promote(raft, &name).await,
            Order::Remove(name) => self.remove(raft, &name).await,
            Order::TransferLeader(to) => self.transfer(raft, to.as_ref()).await,
            Order::Snapshot => {
                self.has_room()?;
                snapshot(raft).await
            }
        }
    }

    async fn promote(&self, raft: &Raft, name: &NodeId) -> Result<(), Error> {
        let _one_at_a_time = self.membership.lock().await;
        let member = self.known(name)?;
        let metrics = metrics(raft);
        let voters = voters(&metrics);
        if voters.contains(&member.0) {
            return Ok(());
        }
        let ready = self.ready(&metrics);
        if !ready.contains(&member.0) {
            return Err(Refused::Unwise(format!(
                "{name} has not caught up with the log or cannot be reached, so it cannot vote yet"
            ))
            .into());
        }
        let mut more = BTreeSet::from([member.0]);
        if (voters.len() + 1).is_multiple_of(2) {
            let second = ready.into_iter().find(|other| *other != member.0);
            let second = second.ok_or_else(|| {
                Refused::Unwise(format!(
                    "{} voters and {name} make an even number, which survives no more than one \
                     fewer; it votes as soon as another learner can vote with it",
                    voters.len()
                ))
            })?;
            more.insert(second);
        }
        if voters.len() + more.len() > MAX_VOTERS {
            let why = format!("there are {MAX_VOTERS} voters already; {name} serves as a learner");
            return Err(Refused::Unwise(why).into());
        }
        change(raft, ChangeMembers::AddVoterIds(more)).await
    }

    async fn remove(&self, raft: &Raft, name: &NodeId) -> Result<(), Error> {
        let member = self.known(name)?;
        if member == self.me() {
            // the new leader is asked again by whoever carries the order
            self.transfer(raft, None).await?;
            return Err(no_quorum(false));
        }
        let _one_at_a_time = self.membership.lock().await;
        let metrics = metrics(raft);
        let voters = voters(&metrics);
        if voters.contains(&member.0) {
            let alive = self.alive(Some(self.me()));
            let left = voters.iter().filter(|voter| **voter != member.0);
            let (left, up): (Vec<_>, Vec<_>) = (
                left.clone().collect(),
                left.filter(|v| alive.contains(&MemberId(**v))).collect(),
            );
            if up.len() * 2 <= left.len() {
                return Err(Refused::Unwise(format!(
                    "without {name} only {} of {} voters can be reached: no quorum",
                    up.len(),
                    left.len()
                ))
                .into());
            }
            let mut steps = vec![ChangeMembers::RemoveVoters(BTreeSet::from([member.0]))];
            let heir = self
                .ready(&metrics)
                .into_iter()
                .find(|heir| *heir != member.0);
            if let Some(heir) = heir.filter(|_| left.len().is_multiple_of(2)) {
                steps.insert(0, ChangeMembers::AddVoterIds(BTreeSet::from([heir])));
            }
            change(raft, ChangeMembers::Batch(steps)).await?;
        }
        if metrics.membership_config.get_node(&member.0).is_some() {
            let gone = ChangeMembers::RemoveNodes(BTreeSet::from([member.0]));
            // a voter removed just now is off the list already
            if let Err(error) = change(raft, gone).await {
                tracing::debug!(%error, "membership had forgotten the member already");
            }
        }
        let dismiss = Change::Dismiss { member };
        match self
            .order_change(RequestId(rand::random()), dismiss)
            .await?
        {
            Outcome::Done(_) | Outcome::Rejected(Rejected::NotFound { .. }) => Ok(()),
            Outcome::Rejected(why) => Err(why.into()),
        }
    }

    /// Hands leadership to a voter that can be reached.
    pub(crate) async fn transfer(&self, raft: &Raft, to: Option<&NodeId>) -> Result<(), Error> {
        let metrics = metrics(raft);
        let alive = self.alive(Some(self.me()));
        let named = to.is_some();
        let to = match to {
            Some(name) => {
                let member = self.known(name)?;
                if member == self.me() {
                    return Ok(());
                }
                if !voters(&metrics).contains(&member.0) {
                    let why = format!("{name} has no vote, so it cannot lead");
                    return Err(Refused::Unwise(why).into());
                }
                // a leader that hands over stands still: to one that cannot take over, for nothing
                if !alive.contains(&member) || !keeps_up(&metrics, member.0) {
                    let why = format!("{name} cannot be reached or lags behind, so it cannot lead");
                    return Err(Refused::Unwise(why).into());
                }
                member
            }
            None => heir(&metrics, self.me(), &alive).ok_or_else(|| {
                Refused::Unwise("no other voter can be reached to lead".to_owned())
            })?,
        };
        raft.trigger()
            .transfer_leader(to.0)
            .await
            .map_err(|_| Error::Stopped)?;
        let leads = |leader: u64| match named {
            true => leader == to.0,
            false => leader != self.me().0,
        };
        let moved = |metrics: &Metrics| metrics.current_leader.is_some_and(leads);
        eventually(raft, moved).await
    }

    /// Changes the agreed state on the leader itself.
    async fn order_change(&self, request: RequestId, change: Change) -> Result<Outcome, Error> {
        let command = Command {
            request,
            at_ms: unix_ms(),
            by: "membership".to_owned(),
            change,
        };
        self.append(command).await.map(|proposed| proposed.outcome)
    }

    fn known(&self, name: &NodeId) -> Result<MemberId, Refused> {
        self.member_called(name).ok_or_else(|| Refused::NotMember {
            name: name.to_string(),
        })
    }

    /// Learners that have caught up and answer.
    fn ready(&self, metrics: &Metrics) -> Vec<u64> {
        let alive = self.alive(Some(self.me()));
        metrics
            .membership_config
            .membership()
            .learner_ids()
            .filter(|member| alive.contains(&MemberId(*member)))
            .filter(|member| keeps_up(metrics, *member))
            .collect()
    }
}

/// Promotes learners while there are fewer than five voters, two at a time so that the number
/// stays odd, and finishes changes a former leader left half-way. Until the node stops.
pub(crate) async fn keep_membership(inside: Arc<Inside>, raft: Raft) {
    loop {
        sleep(LOOK).await;
        if !inside.leadership().leading {
            continue;
        }
        let _one_at_a_time = inside.membership.lock().await;
        let metrics = metrics(&raft);
        let unfinished = metrics.membership_config.get_joint_config().len() > 1;
        let voters = voters(&metrics);
        let mut ready = inside.ready(&metrics);
        ready.truncate(wanted(voters.len(), ready.len()));
        if ready.is_empty() && !unfinished {
            continue;
        }
        let members = ChangeMembers::AddVoterIds(ready.iter().copied().collect());
        match change(&raft, members).await {
            Ok(()) => tracing::info!(promoted = ?ready, "membership changed"),
            Err(error) => tracing::warn!(%error, "membership could not be changed, trying again"),
        }
    }
}

/// How many of `ready` learners to promote beside so many voters.
fn wanted(voters: usize, ready: usize) -> usize {
    let room = MAX_VOTERS.saturating_sub(voters);
    let most = room.min(ready);
    // an odd number of voters takes two or none, an even one takes one
    let parity = (voters + 1) % 2;
    if most % 2 == parity {
        most
    } else {
        most.saturating_sub(1)
    }
}

/// The member has nearly all of the leader's log.
fn keeps_up(metrics: &Metrics, member: u64) -> bool {
    let newest = metrics.last_log_index.unwrap_or(0);
    let mut matched = metrics.replication.iter().flatten();
    let at = matched.find(|(other, _)| **other == member);
    at.is_some_and(|(_, at)| at.as_ref().map_or(0, |at| at.index) + CAUGHT_UP >= newest)
}

/// The voter that has the most of the log, of those that answer.
fn heir(metrics: &Metrics, me: MemberId, alive: &BTreeSet<MemberId>) -> Option<MemberId> {
    let matched = metrics.replication.iter().flatten();
    let voters = voters(metrics);
    matched
        .filter(|(member, _)| **member != me.0 && voters.contains(member))
        .filter(|(member, _)| alive.contains(&MemberId(**member)))
        .max_by_key(|(_, at)| at.as_ref().map(|at| at.index))
        .map(|(member, _)| MemberId(*member))
}

async fn snapshot(raft: &Raft) -> Result<(), Error> {
    let upto = metrics(raft).last_applied.map_or(0, |id| id.index);
    raft.trigger()
        .snapshot()
        .await
        .map_err(|_| Error::Stopped)?;
    let written = |metrics: &Metrics| metrics.snapshot.is_some_and(|id| id.index >= upto);
    eventually(raft, written).await?;
    raft.trigger()
        .purge_log(upto)
        .await
        .map_err(|_| Error::Stopped)
}

async fn change(raft: &Raft, members: ChangeMembers<u64, Peer>) -> Result<(), Error> {
    let changed = timeout(PATIENCE, raft.change_membership(members, false)).await;
    let changed = changed.map_err(|_| Error::Timeout)?;
    changed.map(drop).map_err(|error| unchanged(&error))
}

/// Why the membership stays as it was: the moment is wrong, or the change is.
fn unchanged(error: &RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> Error {
    match error {
        RaftError::APIError(ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_),
        )) => Error::Busy,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(why)) => {
            Refused::Unwise(format!("the membership cannot be changed now: {why}")).into()
        }
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => no_quorum(false),
        RaftError::APIError(_) | RaftError::Fatal(_) => no_quorum(true),
    }
}

fn metrics(raft: &Raft) -> Metrics {
    raft.metrics().borrow_watched().clone()
}

fn voters(metrics: &Metrics) -> BTreeSet<u64> {
    metrics.membership_config.voter_ids().collect()
}

async fn eventually(raft: &Raft, done: impl Fn(&Metrics) -> bool) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    while !done(&metrics(raft)) {
        if Instant::now() >= deadline {
            return Err(Error::Timeout);
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::wanted;

    #[test]
    fn the_number_of_voters_stays_odd_and_at_most_five() {
        for voters in 1..=5 {
            for ready in 0..=10 {
                let after = voters + wanted(voters, ready);
                assert!(after <= 5, "{voters} + {ready}");
                if voters % 2 == 1 || ready > 0 {
                    assert_eq!(after % 2, 1, "{voters} voters, {ready} ready");
                }
            }
        }
        assert_eq!(wanted(1, 1), 0, "two voters survive no more than one");
        assert_eq!(wanted(1, 2), 2);
        assert_eq!(wanted(3, 9), 2);
        assert_eq!(wanted(2, 1), 1, "a voter was removed");
    }
}
