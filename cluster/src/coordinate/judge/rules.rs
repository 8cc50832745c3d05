//! When what all nodes have seen opens a breaker.

use super::tally::Seen;
use crate::identity::MemberId;
use crate::state::Cause;

/// Fewest calls of which a part means anything.
const MIN_CALLS: u64 = 20;
/// Calls by which a node's word counts at all; as many good ones mean that its path works.
const MIN_WORD: u64 = 5;

/// Why to open, and how far that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) cause: Cause,
    /// It is dead, so there is no use in keeping it as the last of its group.
    pub(super) dead: bool,
}

/// Whether to open, by what the nodes have seen since the breaker closed.
pub(super) fn opening(seen: &[Seen], failure_threshold: u32) -> Option<Opening> {
    let opening = |cause, dead| Some(Opening { cause, dead });
    if fast(seen, failure_threshold) {
        return opening(Cause::Streak, true);
    }
    if rate(seen, failure_threshold) {
        return opening(Cause::Rate, false);
    }
    if slow(seen) {
        return opening(Cause::Slow, false);
    }
    None
}

/// The one node that fails while another reaches the upstream: the fault is on its path.
fn path_fault(seen: &[Seen]) -> Option<MemberId> {
    alone(seen, Seen::fails)
}

/// That node, once its failures are worth telling people.
pub(super) fn path_suspect(seen: &[Seen]) -> Option<MemberId> {
    let member = path_fault(seen)?;
    let mut nodes = seen.iter().filter(|node| node.member == member);
    let told = nodes.any(|node| node.suspect || node.hard >= MIN_WORD);
    told.then_some(member)
}

/// The only node of which this is so, if another that had enough good answers says otherwise.
fn alone(seen: &[Seen], so: fn(&Seen) -> bool) -> Option<MemberId> {
    let mut such = seen.iter().filter(|node| so(node));
    let (first, second) = (such.next()?, such.next());
    let denied = seen.iter().any(|node| !so(node) && node.ok >= MIN_WORD);
    (second.is_none() && denied).then_some(first.member)
}

/// Failures in a row over all nodes, later than the last good answer anywhere.
///
/// A node whose path is at fault adds nothing: the others have to come to it by themselves.
fn fast(seen: &[Seen], failure_threshold: u32) -> bool {
    let at_fault = path_fault(seen);
    let (mut total, mut reporting) = (0, 0_usize);
    for node in seen {
        let others = seen.iter().filter(|other| other.member != node.member);
        let streak = node.streak(others.filter_map(|other| other.last_ok).max());
        reporting += usize::from(streak > 0);
        if at_fault != Some(node.member) {
            total += streak;
        }
    }
    let with_traffic = seen.iter().filter(|node| node.calls() > 0).count();
    total >= u64::from(failure_threshold.max(1)) && (with_traffic < 2 || reporting >= 2)
}

/// At least half of enough calls failed, as two nodes see it, or the only one that has a say. Never
/// fewer failures than the threshold, as on a node by itself.
fn rate(seen: &[Seen], failure_threshold: u32) -> bool {
    let enough = MIN_CALLS.max(u64::from(failure_threshold) * 2);
    let calls: u64 = seen.iter().map(Seen::calls).sum();
    let hard: u64 = seen.iter().map(|node| node.hard).sum();
    let failing = seen.iter().filter(|node| node.hard > 0).count();
    let with_say = seen.iter().filter(|node| node.calls() >= MIN_WORD).count();
    calls >= enough
        && hard * 2 >= calls
        && (failing >= 2 || with_say == 1)
        && path_fault(seen).is_none()
}

/// At least four in five of enough calls took too long to begin, and not on one path alone.
fn slow(seen: &[Seen]) -> bool {
    let calls: u64 = seen.iter().map(Seen::calls).sum();
    let slow: u64 = seen.iter().map(|node| node.slow).sum();
    calls >= MIN_CALLS && slow * 5 >= calls * 4 && alone(seen, Seen::is_slow).is_none()
}
