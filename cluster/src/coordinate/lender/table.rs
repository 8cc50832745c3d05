//! One limit and every node's part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::part::Part;
use super::window::Window;
use super::{rate, slots};
use crate::identity::MemberId;
use crate::policy::{LimitId, LimitKind};
use crate::pulse::{Demand, LATELY_PART_S, Report};

/// The length of a rate's time.
const MINUTE: Duration = Duration::from_secs(60);

/// What all limits go by in one round.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) limit: u64,
    pub(super) members: u64,
    pub(super) now: Duration,
    /// How long this leader leads.
    pub(super) leads: Duration,
    /// Some member may still hold what the last leader lent it, and was not heard yet.
    pub(super) unheard: bool,
    pub(super) number: &'a mut u64,
    pub(super) changed: &'a mut BTreeSet<MemberId>,
}

impl Turn<'_> {
    /// What a node takes when it hears of no leader.
    pub(super) fn even(&self) -> u64 {
        (self.limit / self.members.max(1)).max(1)
    }

    pub(super) fn tell(&mut self, member: MemberId, part: &mut Part, amount: u64) {
        if part.tell(*self.number + 1, amount, self.now) {
            *self.number += 1;
            self.changed.insert(member);
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) parts: BTreeMap<MemberId, Part>,
    /// Rates: what was spent, as far as this leader was told.
    window: Window,
    /// Rates: what the last leader knew of and nobody has told this one yet.
    prior: u64,
    /// Rates: more was wanted than there was.
    pub(super) scarce: bool,
}

impl Table {
    pub(super) fn new(prior: u64) -> Self {
        Table {
            prior,
            ..Table::default()
        }
    }

    /// Takes note of what each live node told, and of those that are not any more; then lends.
    pub(super) fn round(
        &mut self,
        id: &LimitId,
        live: &BTreeMap<MemberId, Arc<Report>>,
        turn: &mut Turn<'_>,
    ) {
        let gone = |member: &MemberId| !live.contains_key(member);
        let gone: Vec<_> = self.parts.keys().copied().filter(gone).collect();
        for member in gone {
            self.give_up(member, turn.now);
        }
        for (member, report) in live {
            self.absorb(id, *member, report, turn.now);
        }
        if self.parts.values().all(|part| part.draining) {
            // nobody stays for whom anything could be kept
            self.parts
                .values_mut()
                .for_each(|part| part.draining = false);
        }
        if turn.leads >= MINUTE {
            self.prior = 0;
        }
        match id.kind {
            LimitKind::Concurrency => slots::lend(self, turn),
            LimitKind::Requests | LimitKind::Tokens => rate::lend(self, turn),
        }
    }

    /// Rates: what was spent in the last minute, or may be.
    pub(super) fn spent(&mut self, now: Duration) -> u64 {
        let lent = self.parts.values().map(Part::lent);
        let lent = lent.fold(0, u64::saturating_add);
        self.window
            .sum(now)
            .saturating_add(lent)
            .saturating_add(self.prior)
    }

    /// A node is gone; what it was lent counts as spent.
    fn give_up(&mut self, member: MemberId, now: Duration) {
        if let Some(part) = self.parts.remove(&member) {
            self.window.add(now, part.lent());
        }
    }

    fn absorb(&mut self, id: &LimitId, member: MemberId, report: &Report, now: Duration) {
        let is_rate = id.kind != LimitKind::Concurrency;
        let told = report.demand.get(id);
        let known = self.parts.get(&member);
        // a rate that was taken away and put back on a node, and is counted there from nothing
        let anew = is_rate
            && known
                .zip(told)
                .is_some_and(|(known, told)| told.used < known.demand.used);
        if anew || known.is_some_and(|part| part.boot != report.boot) {
            self.give_up(member, now);
        }
        let held = report.held.get(id).filter(|_| !anew);
        let known = self.parts.get(&member).map(|part| part.demand);
        // a limit that the node does not speak of is one that it neither uses nor wants
        let silent = known.map_or_else(Demand::default, |known| Demand {
            used: if is_rate { known.used } else { 0 },
            wanted: 0,
            taken: known.taken,
        });
        let demand = told.copied().unwrap_or(silent);
        let part = self.parts.entry(member).or_insert_with(|| {
            let part = Part::new(report.boot, demand, held);
            for (index, spent) in (0..).zip(held.iter().flat_map(|held| held.lately)) {
                let age = Duration::from_secs(index * LATELY_PART_S);
                self.window.add(now.saturating_sub(age), spent);
                self.prior = self.prior.saturating_sub(spent);
            }
            self.prior = self.prior.saturating_sub(part.lent());
            part
        });
        let spent = demand.used.saturating_sub(part.demand.used);
        self.window.add(now, spent);
        part.draining = report.draining;
        part.absorb(demand);
    }
}
