//! What this node was lent: what of it is still valid, and what was spent of the rates lately. It
//! goes into each report, so that a new leader knows what the last one lent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::policy::{LimitId, LimitKind};
use crate::pulse::{Demand, Directive, Held, LATELY, LATELY_PART_S, Report};

/// Reports whose time of sending is remembered: those of more than a share's validity.
const MAX_SENT: usize = 512;
/// Shares of one limit that are remembered; the leader has no more under way.
const MAX_SHARES: usize = 16;
/// A limit the node does not speak of: it has taken over what reached it so long ago.
const TAKEN_AFTER: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug)]
struct Lent {
    number: u64,
    amount: u64,
    came: Duration,
    ends: Duration,
}

#[derive(Clone, Debug, Default)]
struct Holding {
    shares: VecDeque<Lent>,
    demand: Demand,
    /// Rates: second and amount, the oldest first.
    spent: VecDeque<(u64, u64)>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Holdings {
    sent: VecDeque<(u64, Duration)>,
    limits: BTreeMap<LimitId, Holding>,
}

impl Holdings {
    /// A directive came: says of each share how long it is valid from now on.
    pub(super) fn take(&mut self, directive: &mut Directive, now: Duration) {
        let sent = self
            .sent
            .iter()
            .find(|(number, _)| *number == directive.sequence);
        let passed = sent.map(|(_, at)| now.saturating_sub(*at));
        for (id, share) in &mut directive.shares {
            let valid = Duration::from_millis(share.valid_ms);
            let left = passed.map_or(Duration::ZERO, |passed| valid.saturating_sub(passed));
            share.valid_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            let ends = now.saturating_add(left);
            let shares = &mut self.limits.entry(id.clone()).or_default().shares;
            if let Some(known) = shares.iter_mut().find(|lent| lent.number == share.number) {
                known.ends = known.ends.max(ends);
                continue;
            }
            if shares.len() == MAX_SHARES {
                shares.pop_front();
            }
            shares.push_back(Lent {
                number: share.number,
                amount: share.amount,
                came: now,
                ends,
            });
        }
    }

    /// A report is about to go: says in it what the node holds.
    pub(super) fn fill(&mut self, report: &mut Report, now: Duration) {
        let served: BTreeSet<_> = report.demand.keys().cloned().collect();
        for (id, demand) in &report.demand {
            self.limits
                .entry(id.clone())
                .or_default()
                .note(id, *demand, now);
        }
        for (id, holding) in &mut self.limits {
            if !report.demand.contains_key(id) {
                report.demand.insert(id.clone(), holding.silent(id, now));
            }
            report.held.insert(id.clone(), holding.held(now));
        }
        self.limits
            .retain(|id, holding| served.contains(id) || !holding.is_over(now));
        if self.sent.len() == MAX_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back((report.sequence, now));
    }
}

impl Holding {
    fn note(&mut self, id: &LimitId, demand: Demand, now: Duration) {
        if id.kind != LimitKind::Concurrency {
            let spent = demand.used.saturating_sub(self.demand.used);
            let second = now.as_secs();
            match self.spent.back_mut() {
                Some((last, sum)) if *last == second => *sum = sum.saturating_add(spent),
                Some(_) | None if spent > 0 => self.spent.push_back((second, spent)),
                Some(_) | None => {}
            }
        }
        self.demand = demand;
        self.shares.retain(|lent| lent.number >= demand.taken);
    }

    /// The node neither uses nor wants it: it goes by the latest share that had time to arrive.
    fn silent(&mut self, id: &LimitId, now: Duration) -> Demand {
        let arrived = |lent: &&Lent| now.saturating_sub(lent.came) >= TAKEN_AFTER;
        let taken = self
            .shares
            .iter()
            .filter(arrived)
            .map(|lent| lent.number)
            .max();
        let rate = id.kind != LimitKind::Concurrency;
        let demand = Demand {
            used: if rate { self.demand.used } else { 0 },
            wanted: 0,
            taken: taken.unwrap_or(0).max(self.demand.taken),
        };
        self.note(id, demand, now);
        demand
    }

    fn held(&mut self, now: Duration) -> Held {
        let valid = self.shares.iter().filter(|lent| lent.ends > now);
        let amount = valid.map(|lent| lent.amount).max();
        let parts = LATELY as u64;
        let oldest = (now.as_secs() + 1).saturating_sub(parts * LATELY_PART_S);
        while self
            .spent
            .front()
            .is_some_and(|(second, _)| *second < oldest)
        {
            self.spent.pop_front();
        }
        let mut lately = [0_u64; LATELY];
        for (second, spent) in &self.spent {
            let part = now.as_secs().saturating_sub(*second) / LATELY_PART_S;
            let part = usize::try_from(part)
                .ok()
                .and_then(|part| lately.get_mut(part));
            if let Some(sum) = part {
                *sum = sum.saturating_add(*spent);
            }
        }
        Held { amount, lately }
    }

    /// Nothing of it counts any more, once the node does not speak of it: its model is gone.
    fn is_over(&self, now: Duration) -> bool {
        let valid = self.shares.iter().any(|lent| lent.ends > now);
        !valid && self.spent.is_empty()
    }
}
