//! Start-time fair queuing: whoever has had least, measured in virtual time, goes next.
//!
//! Virtual time rather than a deficit round robin, because costs differ by 4000 : 1 and a quantum
//! that covers the largest would serve the small ones in bursts.

use std::collections::{BTreeMap, BTreeSet};

/// Most contenders remembered after they left with a debt; beyond it the smallest debt is forgiven.
const MAX_REMEMBERED: usize = 1_024;

/// Contenders with work, ordered by the virtual time at which their next item starts.
#[derive(Clone, Debug)]
pub(super) struct FairQueue<K> {
    /// Virtual time: the start of whatever was served last.
    now: u64,
    tags: BTreeMap<K, Tag>,
    order: BTreeSet<(u64, u64, K)>,
    /// Starts of contenders without work that lie ahead of `now`, and the same by start.
    debts: BTreeMap<K, u64>,
    debts_by_start: BTreeSet<(u64, K)>,
}

#[derive(Clone, Copy, Debug)]
struct Tag {
    start: u64,
    rank: u64,
    /// How much of `start` is a late entry rather than work received.
    lag: u64,
}

impl<K: Ord + Clone> FairQueue<K> {
    pub(super) fn new() -> Self {
        FairQueue {
            now: 0,
            tags: BTreeMap::new(),
            order: BTreeSet::new(),
            debts: BTreeMap::new(),
            debts_by_start: BTreeSet::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.tags.len()
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.tags.contains_key(key)
    }

    /// A contender without work gets some. It starts `lag` after virtual now, or where it left off
    /// if that is later; among equal starts the lower rank goes first.
    pub(super) fn enter(&mut self, key: K, rank: u64, lag: u64) {
        if self.contains(&key) {
            return;
        }
        let debt = self.debts.remove(&key).unwrap_or(self.now);
        self.debts_by_start.remove(&(debt, key.clone()));
        let start = debt.max(self.now.saturating_add(lag));
        self.tags.insert(
            key.clone(),
            Tag {
                start,
                rank,
                lag: start - debt,
            },
        );
        self.order.insert((start, rank, key));
    }

    /// A contender has no more work. What it has had beyond virtual now stays on its account.
    pub(super) fn leave(&mut self, key: &K) {
        let Some(tag) = self.tags.remove(key) else {
            return;
        };
        self.order.remove(&(tag.start, tag.rank, key.clone()));
        let debt = tag.start - tag.lag;
        if self.tags.is_empty() {
            let furthest = self.debts_by_start.last().map_or(0, |(start, _)| *start);
            self.now = self.now.max(debt).max(furthest);
            self.debts.clear();
            self.debts_by_start.clear();
        } else if debt > self.now {
            self.debts.insert(key.clone(), debt);
            self.debts_by_start.insert((debt, key.clone()));
            if self.debts.len() > MAX_REMEMBERED {
                self.forgive_smallest();
            }
        }
    }

    /// Who goes next.
    pub(super) fn next(&self) -> Option<&K> {
        self.order.first().map(|(_, _, key)| key)
    }

    /// Serves a contender: virtual time comes up to its start, and its next item starts `amount` later.
    pub(super) fn charge(&mut self, key: &K, amount: u64) {
        let Some(tag) = self.tags.get_mut(key) else {
            return;
        };
        self.order.remove(&(tag.start, tag.rank, key.clone()));
        self.now = self.now.max(tag.start);
        tag.start = tag.start.saturating_add(amount);
        tag.lag = 0;
        self.order.insert((tag.start, tag.rank, key.clone()));
        while self
            .debts_by_start
            .first()
            .is_some_and(|(start, _)| *start <= self.now)
        {
            self.forgive_smallest();
        }
    }

    fn forgive_smallest(&mut self) {
        if let Some((_, key)) = self.debts_by_start.pop_first() {
            self.debts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(queue: &mut FairQueue<&'static str>, amount: u64) -> &'static str {
        let key = *queue.next().expect("somebody has work");
        queue.charge(&key, amount);
        key
    }

    #[test]
    fn nobody_goes_next_when_nobody_has_work() {
        let mut queue: FairQueue<&str> = FairQueue::new();
        assert_eq!(queue.next(), None);
        queue.charge(&"a", 10);
        queue.leave(&"a");
        assert!(queue.is_empty());
    }

    #[test]
    fn equals_take_turns() {
        let mut queue = FairQueue::new();
        queue.enter("a", 0, 0);
        queue.enter("b", 1, 0);
        let order: Vec<_> = (0..4).map(|_| serve(&mut queue, 10)).collect();
        assert_eq!(order, ["a", "b", "a", "b"]);
    }

    #[test]
    fn a_latecomer_gets_no_credit_for_its_absence() {
        let mut queue = FairQueue::new();
        queue.enter("a", 0, 0);
        for _ in 0..100 {
            serve(&mut queue, 10);
        }
        queue.enter("b", 1, 0);
        let served = (0..10).filter(|_| serve(&mut queue, 10) == "b").count();
        assert!(served <= 6, "b was served {served} of 10");
    }

    #[test]
    fn leaving_and_returning_does_not_wipe_a_debt() {
        let mut queue = FairQueue::new();
        queue.enter("a", 0, 0);
        queue.enter("b", 1, 0);
        assert_eq!(serve(&mut queue, 1_000), "a");
        queue.leave(&"a");
        queue.enter("a", 2, 0);
        let order: Vec<_> = (0..10).map(|_| serve(&mut queue, 100)).collect();
        assert_eq!(order, ["b"; 10]);
    }

    #[test]
    fn a_late_entry_withdrawn_costs_nothing() {
        let mut queue = FairQueue::new();
        queue.enter("busy", 0, 0);
        queue.enter("low", 1, 500);
        queue.leave(&"low");
        queue.enter("low", 2, 10);
        assert_eq!(serve(&mut queue, 20), "busy");
        assert_eq!(serve(&mut queue, 20), "low");
    }

    #[test]
    fn remembered_debts_are_bounded() {
        let mut queue = FairQueue::new();
        queue.enter(u64::MAX, 0, 0);
        for key in 0..5_000 {
            queue.enter(key, 0, 0);
            queue.charge(&key, 1_000);
            queue.leave(&key);
        }
        assert_eq!(queue.debts.len(), MAX_REMEMBERED);
        assert_eq!(queue.debts_by_start.len(), MAX_REMEMBERED);
    }
}
