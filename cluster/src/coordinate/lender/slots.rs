//! Attempts that may run at once.

use super::part::Part;
use super::split;
use super::table::{Table, Turn};

/// Gives each node its slots: cuts first, and lends only what nobody can be using any more.
pub(super) fn lend(table: &mut Table, turn: &mut Turn<'_>) {
    let asking: Vec<_> = table.parts.values().filter(|part| !part.draining).collect();
    let wanted: Vec<_> = asking
        .iter()
        .map(|part| part.demand.wanted.max(part.demand.used))
        .collect();
    let mut targets = split::slots(turn.limit, &wanted, turn.now.as_secs()).into_iter();
    let targets: Vec<u64> = table
        .parts
        .values()
        .map(|part| if part.draining { None } else { targets.next() })
        .map(Option::unwrap_or_default)
        .collect();
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
        // one that was never told anything goes on by itself rather than be told to stand still
        let first = part.latest().is_none() && (amount > 0 || *target == 0);
        if first || amount > part.amount() {
            turn.tell(*member, part, amount);
            free = free.saturating_sub(most(part).saturating_sub(before));
        }
    }
}
