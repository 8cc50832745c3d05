//! Attempts that may run at once.

use super::part::Part;
use super::split::{self, Want};
use super::table::{Table, Turn};

/// Gives each node its slots: cuts first, and lends only what nobody can be using any more.
pub(super) fn lend(table: &mut Table, turn: &mut Turn<'_>) {
    let want = |part: &Part| Want {
        slots: part.demand.wanted.max(part.demand.used),
        stays: !part.draining,
    };
    let wants: Vec<_> = table.parts.values().map(want).collect();
    let targets = split::slots(turn.limit, &wants, turn.now.as_secs());
    for (part, target) in table.parts.iter_mut().zip(&targets) {
        let (member, part) = part;
        if part.latest().is_some() && *target < part.amount() {
            turn.tell(*member, part, *target);
        }
    }
    let most = |part: &Part| part.ceiling().max(part.demand.used);
    let held: u64 = table.parts.values().map(most).sum();
    // more runs than may, or who knows: what a node runs on its own is no reason to lend it as much
    let over = held > turn.limit;
    let mut free = if turn.unheard {
        0
    } else {
        turn.limit.saturating_sub(held)
    };
    for (part, target) in table.parts.iter_mut().zip(&targets) {
        let (member, part) = part;
        let before = most(part);
        let without = if over || turn.unheard {
            part.ceiling()
        } else {
            before
        };
        let amount = (*target).min(without.saturating_add(free));
        // one that was told nothing goes on by what the last leader told it, or by itself, rather than
        // be told to stand still
        let first = part.latest().is_none() && (amount > 0 || *target == 0);
        if first || amount > part.amount() {
            turn.tell(*member, part, amount);
            free = free.saturating_sub(most(part).saturating_sub(before));
        }
    }
}
