//! What is lent, and that it is never more than there is.

mod model;
mod rates;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Lender;
use crate::identity::{BootId, MemberId};
use crate::policy::{LimitId, LimitKind};
use crate::pulse::{Demand, Held, Report};
use crate::state::TargetId;

fn id(kind: LimitKind) -> LimitId {
    LimitId {
        target: TargetId("gpu".to_owned()),
        kind,
    }
}

/// A lender with one limit, and its clock.
struct Bank {
    lender: Lender,
    id: LimitId,
    limit: u64,
    members: BTreeSet<MemberId>,
    now: Duration,
    sequence: u64,
}

impl Bank {
    fn new(kind: LimitKind, limit: u64, members: u64) -> Self {
        let mut lender = Lender::default();
        let now = Duration::from_secs(100);
        lender.begin(3, BTreeMap::new(), now);
        Bank {
            lender,
            id: id(kind),
            limit,
            members: (1..=members).map(MemberId).collect(),
            now,
            sequence: 0,
        }
    }

    fn hear(&mut self, member: u64, used: u64, wanted: u64) {
        let taken = self.share(member).map_or(0, |(number, _)| number);
        self.hear_demand(
            member,
            Demand {
                used,
                wanted,
                taken,
            },
        );
    }

    fn hear_demand(&mut self, member: u64, demand: Demand) {
        let report = Report {
            demand: BTreeMap::from([(self.id.clone(), demand)]),
            ..Report::default()
        };
        self.hear_report(member, report);
    }

    fn hear_report(&mut self, member: u64, report: Report) {
        self.sequence += 1;
        let sequence = self.sequence;
        let report = Arc::new(Report { sequence, ..report });
        self.lender.hear(MemberId(member), &report, self.now);
    }

    fn round(&mut self) {
        let limits = BTreeMap::from([(self.id.clone(), self.limit)]);
        self.lender.round(&limits, &self.members, self.now);
    }

    fn share(&self, member: u64) -> Option<(u64, u64)> {
        let shares = self.lender.shares(MemberId(member));
        shares
            .get(&self.id)
            .map(|share| (share.number, share.amount))
    }

    fn amounts(&self) -> Vec<u64> {
        let members = self.members.iter();
        let amounts = members.map(|member| self.share(member.0).map_or(0, |(_, amount)| amount));
        amounts.collect()
    }

    /// All report, having taken over what they were told, and shares are lent anew.
    fn all(&mut self, demands: &[(u64, u64)]) -> Vec<u64> {
        for (member, (used, wanted)) in (1..).zip(demands) {
            self.hear(member, *used, *wanted);
        }
        self.round();
        self.now += Duration::from_millis(200);
        self.amounts()
    }
}

#[test]
fn idle_nodes_share_evenly_and_demand_moves_it_within_two_rounds() {
    let mut bank = Bank::new(LimitKind::Concurrency, 9, 3);
    assert_eq!(bank.all(&[(0, 0), (0, 0), (0, 0)]), [3, 3, 3]);
    // the others are cut first
    assert_eq!(bank.all(&[(3, 20), (0, 0), (0, 0)]), [3, 0, 0]);
    assert_eq!(bank.all(&[(3, 20), (0, 0), (0, 0)]), [9, 0, 0]);
}

#[test]
fn what_was_cut_is_lent_only_when_the_node_says_that_it_gave_it_back() {
    let mut bank = Bank::new(LimitKind::Concurrency, 9, 3);
    bank.all(&[(0, 0), (0, 0), (0, 0)]);
    bank.all(&[(0, 0), (0, 0), (0, 0)]);
    let (before, _) = bank.share(2).expect("a share");
    assert_eq!(bank.all(&[(3, 20), (3, 3), (0, 0)]), [3, 1, 1]);
    // node 2 has not taken its cut over
    let still = Demand {
        used: 3,
        wanted: 3,
        taken: before,
    };
    bank.hear_demand(2, still);
    bank.hear(3, 0, 0);
    bank.round();
    assert_eq!(bank.amounts(), [5, 1, 1]);
    // it has, but two of its attempts go on
    bank.hear(2, 2, 2);
    bank.round();
    assert!(bank.amounts()[0] <= 6, "{:?}", bank.amounts());
    bank.hear(2, 1, 1);
    bank.round();
    assert_eq!(bank.amounts(), [7, 1, 1]);
}

#[test]
fn a_silent_nodes_share_returns_when_it_has_ended() {
    let mut bank = Bank::new(LimitKind::Concurrency, 10, 2);
    bank.all(&[(0, 0), (0, 0)]);
    for _ in 0..15 {
        bank.hear(1, 5, 30);
        bank.round();
        assert!(bank.amounts()[0] <= 5, "{:?}", bank.amounts());
        bank.now += Duration::from_millis(200);
    }
    bank.now += Duration::from_millis(50);
    bank.hear(1, 5, 30);
    bank.round();
    assert_eq!(bank.amounts(), [10, 0]);
}

fn drains(bank: &Bank, used: u64, wanted: u64) -> Report {
    let demand = Demand {
        used,
        wanted,
        taken: bank.share(2).map_or(0, |(number, _)| number),
    };
    Report {
        draining: true,
        demand: BTreeMap::from([(bank.id.clone(), demand)]),
        ..Report::default()
    }
}

#[test]
fn a_draining_node_gets_what_waits_there_and_nothing_in_advance() {
    let mut bank = Bank::new(LimitKind::Concurrency, 4, 2);
    bank.all(&[(0, 0), (2, 2)]);
    bank.all(&[(0, 0), (2, 2)]);
    for (used, wanted, expected) in [(2, 3, [1, 1]), (1, 2, [3, 1]), (0, 1, [3, 1])] {
        let report = drains(&bank, used, wanted);
        bank.hear_report(2, report);
        bank.hear(1, 2, 9);
        bank.round();
        assert_eq!(bank.amounts(), expected, "{used} run, {wanted} are wanted");
    }
    for _ in 0..2 {
        let report = drains(&bank, 0, 0);
        bank.hear_report(2, report);
        bank.hear(1, 2, 9);
        bank.round();
    }
    assert_eq!(bank.amounts(), [4, 0]);
}

#[test]
fn a_node_that_drains_alone_keeps_everything() {
    for kind in [LimitKind::Concurrency, LimitKind::Requests] {
        let mut bank = Bank::new(kind, 60, 2);
        bank.members = BTreeSet::from([MemberId(2)]);
        bank.hear(2, 0, 0);
        bank.round();
        let (_, before) = bank.share(2).expect("a share");
        for _ in 0..2 {
            let report = drains(&bank, 0, 0);
            bank.hear_report(2, report);
            bank.round();
            let (_, amount) = bank.share(2).expect("a share");
            assert!(amount >= before && amount > 0, "{amount} of {before}");
        }
    }
}

#[test]
fn a_new_leader_goes_by_what_nodes_hold_and_waits_for_those_it_has_not_heard() {
    let mut bank = Bank::new(LimitKind::Concurrency, 10, 3);
    let holds = |amount| Report {
        demand: BTreeMap::from([(
            id(LimitKind::Concurrency),
            Demand {
                used: 1,
                wanted: 9,
                taken: 7,
            },
        )]),
        held: BTreeMap::from([(
            id(LimitKind::Concurrency),
            Held {
                amount: Some(amount),
                ..Held::default()
            },
        )]),
        ..Report::default()
    };
    bank.hear_report(1, holds(2));
    bank.hear_report(2, holds(3));
    bank.round();
    assert_eq!(bank.amounts(), [2, 3, 0]);
    let (number, _) = bank.share(1).expect("a share");
    assert!(number > 7, "numbers grow over leaders");
    // the third may hold the other five, until its shares have ended
    bank.now += Duration::from_millis(3_200);
    bank.hear(1, 2, 9);
    bank.hear(2, 3, 9);
    bank.round();
    assert_eq!(bank.amounts(), [2, 3, 0]);
    bank.now += Duration::from_millis(50);
    bank.round();
    assert_eq!(bank.amounts(), [5, 5, 0]);
}

#[test]
fn fewer_than_there_are_nodes_take_turns() {
    let mut bank = Bank::new(LimitKind::Concurrency, 1, 3);
    let mut had = [0; 3];
    for _ in 0..60 {
        let using: Vec<_> = bank.amounts().iter().map(|amount| (*amount, 5)).collect();
        let amounts = bank.all(&using);
        assert!(amounts.iter().sum::<u64>() <= 1, "{amounts:?}");
        for (had, amount) in had.iter_mut().zip(amounts) {
            *had += amount;
        }
    }
    assert!(had.iter().all(|had| *had >= 5), "{had:?}");
}

#[test]
fn a_restarted_node_begins_with_nothing_of_what_ran_before() {
    let mut bank = Bank::new(LimitKind::Concurrency, 10, 2);
    bank.all(&[(5, 5), (5, 5)]);
    bank.all(&[(5, 5), (5, 5)]);
    let fresh = Report {
        boot: BootId(99),
        ..Report::default()
    };
    bank.hear_report(2, fresh);
    bank.round();
    let (number, amount) = bank.share(2).expect("a share");
    assert!(amount >= 1);
    let taken = Report {
        boot: BootId(99),
        demand: BTreeMap::from([(
            bank.id.clone(),
            Demand {
                taken: number,
                ..Demand::default()
            },
        )]),
        ..Report::default()
    };
    bank.hear_report(2, taken);
    bank.hear(1, 5, 30);
    bank.round();
    bank.hear(1, 5, 30);
    bank.round();
    assert!(bank.amounts().iter().sum::<u64>() <= 10);
}
