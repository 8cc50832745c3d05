//! One budget per minute of one model: requests or tokens. Pure.
//!
//! What an attempt may cost is reserved before it begins and settled with what it did cost. By
//! which terms, is told from outside:
//! - [`Terms::Own`]: an amount in any sixty seconds, counted here. An embedded engine has the whole
//!   limit, a node without a leader its part of it, once what it was lent is used up or has ended.
//! - [`Terms::Lent`]: what the leader has lent, as a sum since the node started. The leader counts
//!   the sixty seconds over all nodes.
//!
//! The bound: what is spent within sixty seconds passes the limit only by what attempts cost beyond
//! their estimate, and by one attempt that is larger than the whole amount (it goes when nothing
//! else was spent, for it would wait for ever).

use std::time::Duration;

use llm_router_cluster::pulse::Demand;

use crate::types::Moment;

/// Seconds kept: sixty whole ones and the current one, so that the sum is never too small.
const SECONDS: usize = 61;
/// Advice to someone who waits for a loan, where what was spent here says nothing.
const LOAN_WAIT: Duration = Duration::from_secs(1);

/// By what rule a purse is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Terms {
    /// So much in any sixty seconds.
    Own(u64),
    /// So much since the node started, on the scale of what was spent.
    Lent(u64),
}

/// There is not enough left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    /// When there may be.
    pub(crate) retry_after: Duration,
    /// The leader may lend more at any moment.
    pub(crate) lendable: bool,
    /// But it lent nothing to one who waited just now.
    pub(crate) dry: bool,
}

/// A budget. What is reserved must be released or settled.
#[derive(Clone, Debug)]
pub(crate) struct Purse {
    /// The whole limit; an attempt that would cost more is taken to cost this.
    limit: u64,
    terms: Terms,
    /// Spent since the node started.
    spent: u64,
    reserved: u64,
    /// What those want who wait for a loan.
    pleaded: u64,
    /// Number of the loan taken over last.
    pub(crate) taken: u64,
    /// Until when nobody waits for a loan: it was waited for in vain.
    pub(crate) dry_until: Moment,
    seconds: [(u64, u64); SECONDS],
}

impl Purse {
    pub(crate) fn new(limit: u64, terms: Terms) -> Self {
        Purse {
            limit,
            terms,
            spent: 0,
            reserved: 0,
            pleaded: 0,
            taken: 0,
            dry_until: Moment::ZERO,
            seconds: [(0, 0); SECONDS],
        }
    }

    /// Another limit; the terms stay as they are.
    pub(crate) fn resize(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Other terms. True when there may be more than before.
    pub(crate) fn set(&mut self, terms: Terms) -> bool {
        let more = match (self.terms, terms) {
            (Terms::Own(before), Terms::Own(now)) | (Terms::Lent(before), Terms::Lent(now)) => {
                now > before
            }
            (Terms::Own(_), Terms::Lent(_)) | (Terms::Lent(_), Terms::Own(_)) => true,
        };
        self.terms = terms;
        if more {
            self.dry_until = Moment::ZERO;
        }
        more
    }

    /// Whether this loan is of no use any more to a node that nobody can lend more: it is spent, was too
    /// little for one who waited, or was left for that before.
    pub(crate) fn outgrew(&self, (number, amount): (u64, u64), now: Moment) -> bool {
        match self.terms {
            Terms::Own(_) => self.taken == number,
            Terms::Lent(_) => {
                now < self.dry_until || self.spent.saturating_add(self.reserved) >= amount
            }
        }
    }

    /// Reserves what an attempt may cost; gives back what is to be released or settled.
    pub(crate) fn reserve(&mut self, cost: u64, now: Moment) -> Result<u64, Short> {
        let (room, cost) = match self.terms {
            Terms::Own(limit) => {
                let used = self.spent_within(now).saturating_add(self.reserved);
                (limit.saturating_sub(used), cost.min(limit))
            }
            Terms::Lent(amount) => {
                let used = self.spent.saturating_add(self.reserved);
                (amount.saturating_sub(used), cost.min(self.limit))
            }
        };
        if cost <= room {
            self.reserved = self.reserved.saturating_add(cost);
            return Ok(cost);
        }
        Err(Short {
            retry_after: self.frees_after(cost - room, now),
            lendable: matches!(self.terms, Terms::Lent(_)),
            dry: now < self.dry_until,
        })
    }

    /// More than half of the whole limit is left after an attempt that may cost so much; of what was
    /// lent, as much again as it takes.
    pub(crate) fn can_spare(&self, cost: u64, now: Moment) -> bool {
        let used = self.spent_within(now).saturating_add(self.reserved);
        let after = used.saturating_add(cost);
        let lent = match self.terms {
            Terms::Own(limit) => after <= limit / 2,
            Terms::Lent(amount) => {
                let used = self.spent.saturating_add(self.reserved);
                cost.saturating_mul(2) <= amount.saturating_sub(used)
            }
        };
        lent && after <= self.limit / 2
    }

    /// The attempt was not made.
    pub(crate) fn release(&mut self, reserved: u64) {
        self.reserved = self.reserved.saturating_sub(reserved);
    }

    /// The attempt cost so much.
    pub(crate) fn settle(&mut self, reserved: u64, cost: u64, now: Moment) {
        self.release(reserved);
        self.spent = self.spent.saturating_add(cost);
        let second = now.as_duration().as_secs();
        let index = usize::try_from(second % SECONDS as u64).unwrap_or_default();
        let bucket = &mut self.seconds[index];
        if bucket.0 != second {
            *bucket = (second, 0);
        }
        bucket.1 = bucket.1.saturating_add(cost);
    }

    /// Somebody begins to wait for a loan of this size.
    pub(crate) fn plead(&mut self, cost: u64) {
        self.pleaded = self.pleaded.saturating_add(cost);
    }

    /// And waits no more.
    pub(crate) fn unplead(&mut self, cost: u64) {
        self.pleaded = self.pleaded.saturating_sub(cost);
    }

    /// As the leader hears it: what the next second would take is what the last one took, what runs
    /// now, and what is waited for.
    pub(crate) fn demand(&self, now: Moment) -> Demand {
        let second = now.as_duration().as_secs();
        let recent = |(at, _): &&(u64, u64)| *at + 1 >= second && *at <= second;
        let last: u64 = self
            .seconds
            .iter()
            .filter(recent)
            .map(|(_, cost)| cost)
            .sum();
        Demand {
            used: self.spent,
            wanted: last
                .saturating_add(self.reserved)
                .saturating_add(self.pleaded),
            taken: self.taken,
        }
    }

    fn spent_within(&self, now: Moment) -> u64 {
        self.live(now).map(|(_, cost)| cost).sum()
    }

    fn live(&self, now: Moment) -> impl Iterator<Item = (u64, u64)> {
        let second = now.as_duration().as_secs();
        let live = move |at: u64| at <= second && second - at < SECONDS as u64;
        self.seconds
            .iter()
            .copied()
            .filter(move |(at, _)| live(*at))
    }

    /// When so much of what was spent is more than sixty seconds ago.
    fn frees_after(&self, missing: u64, now: Moment) -> Duration {
        let mut spent: Vec<_> = self.live(now).filter(|(_, cost)| *cost > 0).collect();
        spent.sort_unstable();
        let mut freed = 0_u64;
        for (at, cost) in spent {
            freed = freed.saturating_add(cost);
            if freed >= missing {
                let free = Moment::from_millis((at + SECONDS as u64).saturating_mul(1000));
                return now.until(free).max(Duration::from_millis(1));
            }
        }
        LOAN_WAIT
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{Purse, Short, Terms};
    use crate::types::Moment;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn an_empty_purse_says_when_a_minute_is_over() {
        let mut purse = Purse::new(2, Terms::Own(2));
        for millis in [0, 900] {
            let reserved = purse.reserve(1, at(millis)).unwrap();
            purse.settle(reserved, 1, at(millis));
        }
        let short = purse.reserve(1, at(1_000)).unwrap_err();
        assert_eq!(
            (short.retry_after, short.lendable),
            (Duration::from_secs(60), false)
        );
        assert!(purse.reserve(1, at(60_999)).is_err());
        assert!(purse.reserve(1, at(61_000)).is_ok());
    }

    #[test]
    fn what_runs_counts_until_it_is_settled_with_what_it_cost() {
        let mut purse = Purse::new(1_000, Terms::Own(1_000));
        let first = purse.reserve(800, at(0)).unwrap();
        assert!(purse.reserve(300, at(0)).is_err());
        purse.settle(first, 100, at(5_000));
        let second = purse.reserve(900, at(5_000)).unwrap();
        purse.release(second);
        assert!(purse.reserve(900, at(5_000)).is_ok());
    }

    #[test]
    fn an_attempt_larger_than_the_limit_goes_when_nothing_else_was_spent() {
        let mut purse = Purse::new(100, Terms::Own(100));
        let reserved = purse.reserve(5_000, at(0)).unwrap();
        purse.settle(reserved, 5_000, at(0));
        assert!(purse.reserve(1, at(60_000)).is_err());
        assert!(purse.reserve(5_000, at(61_000)).is_ok());

        let mut lent = Purse::new(100, Terms::Lent(99));
        assert!(lent.reserve(5_000, at(0)).is_err());
        lent.set(Terms::Lent(100));
        assert!(lent.reserve(5_000, at(0)).is_ok());
    }

    #[test]
    fn a_loan_is_spent_once_and_more_may_come_at_any_moment() {
        let mut purse = Purse::new(10, Terms::Lent(3));
        for _ in 0..3 {
            let reserved = purse.reserve(1, at(0)).unwrap();
            purse.settle(reserved, 1, at(0));
        }
        let Short { lendable, .. } = purse.reserve(1, at(120_000)).unwrap_err();
        assert!(lendable, "a loan does not come back by itself");
        purse.plead(1);
        assert_eq!(purse.demand(at(120_000)).wanted, 1);
        assert!(purse.set(Terms::Lent(4)));
        assert!(purse.reserve(1, at(120_000)).is_ok());
        assert_eq!(
            purse.demand(at(120_000)).used,
            3,
            "what is reserved is not spent yet"
        );
    }

    #[test]
    fn a_loan_that_is_spent_or_too_little_is_left_for_good() {
        let loan = (7, 3);
        let mut purse = Purse::new(10, Terms::Lent(3));
        purse.taken = 7;
        let reserved = purse.reserve(2, at(0)).unwrap();
        purse.settle(reserved, 2, at(0));
        assert!(!purse.outgrew(loan, at(0)), "one is left");
        purse.dry_until = at(1_000);
        assert!(purse.outgrew(loan, at(0)), "and was too little");
        assert!(!purse.outgrew(loan, at(1_000)));
        purse.reserve(1, at(1_000)).unwrap();
        assert!(purse.outgrew(loan, at(1_000)));
        purse.set(Terms::Own(3));
        assert!(purse.outgrew(loan, at(9_000)));
        assert!(!purse.outgrew((8, 4), at(9_000)), "another loan");
    }

    #[test]
    fn what_was_spent_of_a_loan_counts_when_the_leader_is_gone() {
        let mut purse = Purse::new(10, Terms::Lent(10));
        let reserved = purse.reserve(10, at(0)).unwrap();
        purse.settle(reserved, 10, at(0));
        assert!(purse.set(Terms::Own(5)));
        assert!(purse.reserve(1, at(59_000)).is_err());
        assert!(purse.reserve(5, at(61_000)).is_ok());
    }

    proptest! {
        #[test]
        fn no_sixty_seconds_hold_more_than_the_limit(
            limit in 1u64..50,
            steps in vec((0u64..4_000, 1u64..20, 0u64..20), 1..200),
        ) {
            let mut purse = Purse::new(limit, Terms::Own(limit));
            let (mut now, mut spent) = (0, Vec::new());
            for (wait, estimate, cost) in steps {
                now += wait;
                let estimate = estimate.min(limit);
                if let Ok(reserved) = purse.reserve(estimate, at(now)) {
                    let cost = cost.min(reserved); // estimates that hold
                    purse.settle(reserved, cost, at(now));
                    spent.push((now, cost));
                }
            }
            for (end, _) in &spent {
                let within = spent.iter().filter(|(at, _)| at <= end && *at + 60_000 > *end);
                let sum: u64 = within.map(|(_, cost)| cost).sum();
                prop_assert!(sum <= limit, "{sum} of {limit}");
            }
        }
    }
}
