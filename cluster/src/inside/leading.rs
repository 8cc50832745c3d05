//! Who leads: Raft's metrics and the leader's own quorum, boiled down to one word.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::time::Instant;

use super::Inside;
use crate::coordinate::Leadership;
use crate::identity::MemberId;
use crate::raft::Peer;
use crate::transport::Raft;

/// How often a leader looks whether its quorum still answers: its metrics do not move when nobody
/// answers any more.
const LOOK: Duration = Duration::from_millis(50);

/// Publishes who leads until the node stops.
pub(crate) async fn follow_leadership(inside: Arc<Inside>, raft: Raft) {
    let mut metrics = raft.metrics();
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let now = leadership(&inside, &raft);
        inside.leading.send_if_modified(|published| {
            let moved = *published != now;
            if moved {
                *published = now;
            }
            moved
        });
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() { return },
            _ = ticks.tick() => {}
        }
    }
}

fn leadership(inside: &Inside, raft: &Raft) -> Leadership {
    // a copy: `as_leader` below looks at the same channel, and looking twice at once stands still
    // for ever when consensus waits to write in between
    let metrics = raft.metrics().borrow_watched().clone();
    let leader = metrics.current_leader.and_then(|member| {
        let peer = metrics.membership_config.get_node(&member)?;
        // a member that moved is known by its record; Raft's own list keeps where it was first
        let record = inside.state();
        let record = record.members().get(&MemberId(member)).cloned();
        let peer = record.map_or_else(
            || peer.clone(),
            |record| Peer {
                name: record.name,
                address: record.address,
            },
        );
        Some((MemberId(member), peer))
    });
    let me = inside.me();
    let mine = leader.as_ref().is_some_and(|(member, _)| *member == me);
    Leadership {
        term: metrics.current_term,
        leading: mine && has_quorum(inside, raft),
        leader,
    }
}

/// A leader must have been answered by its quorum within its lease.
fn has_quorum(inside: &Inside, raft: &Raft) -> bool {
    acknowledged(raft).is_some_and(|at| at.elapsed() < inside.timing.election_max)
}

/// When its quorum last answered, on a node that leads. One alone is its own quorum.
pub(super) fn acknowledged(raft: &Raft) -> Option<Instant> {
    let leader = raft.as_leader().ok()?;
    // one that has stopped leads nobody, whatever it knew last
    raft.metrics()
        .borrow_watched()
        .running_state
        .as_ref()
        .ok()?;
    let me = *raft.node_id();
    if raft.voter_ids().all(|voter| voter == me) {
        return Some(Instant::now());
    }
    let since = openraft::Instant::elapsed(&leader.last_quorum_acked()?);
    Instant::now().checked_sub(since)
}
