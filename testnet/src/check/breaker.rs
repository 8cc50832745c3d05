//! Breakers: an epoch means the same on every node, epochs never go back on a node, and while a
//! breaker is half-open at most one request is at the upstream.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Verdict;

/// One look at one breaker on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The node.
    pub node: usize,
    /// Which run of the node.
    pub boot: usize,
    /// The model.
    pub model: String,
    /// The agreed epoch.
    pub epoch: u64,
    /// What the record of that epoch says: `closed`, `open`, `half_open`.
    pub state: String,
}

/// Holds looks, in the order they were taken on each node, against one another.
pub fn epochs(looks: &[Look]) -> Verdict {
    let mut wrong = Vec::new();
    let mut meaning: BTreeMap<(&str, u64), (&str, usize)> = BTreeMap::new();
    let mut latest: BTreeMap<(usize, usize, &str), u64> = BTreeMap::new();
    for look in looks {
        let place = (look.model.as_str(), look.epoch);
        let (state, first) = *meaning
            .entry(place)
            .or_insert((look.state.as_str(), look.node));
        if state != look.state {
            wrong.push(format!(
                "epoch {} of {} is {state} on n{first} and {} on n{}",
                look.epoch, look.model, look.state, look.node
            ));
        }
        let run = (look.node, look.boot, look.model.as_str());
        let before = latest.insert(run, look.epoch).unwrap_or(0);
        if before > look.epoch {
            wrong.push(format!(
                "n{} went from epoch {before} of {} back to {}",
                look.node, look.model, look.epoch
            ));
        }
    }
    Verdict::new("an epoch means the same everywhere", looks.len(), wrong)
}

/// Most of these stays at an upstream, from when to when, that overlap.
pub fn most_at_once(stays: &[(Duration, Duration)]) -> usize {
    let mut edges: Vec<(Duration, bool)> = stays
        .iter()
        .flat_map(|&(from, to)| [(from, true), (to, false)])
        .collect();
    // Where one ends as another begins they do not overlap: ends sort first.
    edges.sort_unstable();
    let (mut now, mut most) = (0_usize, 0);
    for (_, begins) in edges {
        now = if begins {
            now + 1
        } else {
            now.saturating_sub(1)
        };
        most = most.max(now);
    }
    most
}
