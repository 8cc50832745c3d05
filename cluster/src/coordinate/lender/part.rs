//! One node's part of one limit: what it was told, what of that it may still go by.

use std::time::Duration;

use crate::identity::BootId;
use crate::pulse::{Demand, Held};

/// Most changes that are under way to one node. One that does not confirm any of them keeps the
/// latest until it does, or is silent for so long that its shares have ended.
const MAX_PENDING: usize = 16;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) boot: BootId,
    pub(super) demand: Demand,
    /// It leaves: it gets what it wants and nothing in advance.
    pub(super) draining: bool,
    /// What the last leader lent it, until it takes over a share of this one's. What a node uses
    /// on its own before it hears of any leader is beyond the limit, as the bound says.
    before: u64,
    /// Numbers and amounts it may go by, the latest last.
    told: Vec<(u64, u64)>,
    /// When its amount last grew.
    pub(super) grown: Duration,
}

impl Part {
    pub(super) fn new(boot: BootId, demand: Demand, held: Option<&Held>) -> Self {
        Part {
            boot,
            demand,
            draining: false,
            before: held.and_then(|held| held.amount).unwrap_or(0),
            told: vec![],
            grown: Duration::ZERO,
        }
    }

    /// Takes note of what the node does with it.
    pub(super) fn absorb(&mut self, demand: Demand) {
        self.demand = demand;
        let Some((first, _)) = self.told.first() else {
            return;
        };
        if demand.taken >= *first {
            self.before = 0;
        }
        // the latest stays, whatever a node says of numbers that were never told
        let taken = |(number, _): &(u64, u64)| *number >= demand.taken;
        let keep = self.told.iter().position(taken);
        self.told.drain(..keep.unwrap_or(self.told.len() - 1));
    }

    /// What the node should go by.
    pub(super) fn latest(&self) -> Option<(u64, u64)> {
        self.told.last().copied()
    }

    pub(super) fn amount(&self) -> u64 {
        self.latest().map_or(0, |(_, amount)| amount)
    }

    /// The most it may go by, whichever of what it was told has reached it.
    pub(super) fn ceiling(&self) -> u64 {
        let told = self.told.iter().map(|(_, amount)| *amount).max();
        told.unwrap_or(0).max(self.before)
    }

    /// Rates: what it may spend beyond what it has told of.
    pub(super) fn lent(&self) -> u64 {
        self.ceiling().saturating_sub(self.demand.used)
    }

    /// Tells it another amount, unless too much is under way already.
    pub(super) fn tell(&mut self, number: u64, amount: u64, now: Duration) -> bool {
        let latest = self.latest();
        if latest.is_some_and(|(_, told)| told == amount) || self.told.len() >= MAX_PENDING {
            return false;
        }
        if latest.is_none_or(|(_, told)| told < amount) {
            self.grown = now;
        }
        self.told.push((number, amount));
        true
    }
}
