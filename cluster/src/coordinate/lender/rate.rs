//! What may be spent in any sixty seconds.

use std::time::Duration;

use super::part::Part;
use super::split;
use super::table::{Table, Turn};

/// A node keeps what it does not use for so long.
const UNUSED: Duration = Duration::from_secs(2);
/// Seconds of a rate's time.
const MINUTE: u64 = 60;

/// Allows each node what the next second takes, from what is left of the minute.
pub(super) fn lend(table: &mut Table, turn: &mut Turn<'_>) {
    let floor = (turn.even() / MINUTE).max(1);
    // where others want more than there is, an idle node keeps nothing
    let floor = if table.scarce { 0 } else { floor };
    // one that drains still serves what has reached it, and wants nothing beyond that
    let desired = |part: &Part| {
        let floor = if part.draining { 0 } else { floor };
        part.demand.wanted.max(floor)
    };
    for (member, part) in &mut table.parts {
        let unused = part.amount().saturating_sub(part.demand.used);
        let old = turn.now.saturating_sub(part.grown) >= UNUSED;
        if unused > desired(part) && (old || part.draining) {
            let amount = part.demand.used.saturating_add(desired(part));
            turn.tell(*member, part, amount);
        }
    }
    let free = turn.limit.saturating_sub(table.spent(turn.now));
    let needs: Vec<u64> = table
        .parts
        .values()
        .map(|part| desired(part).saturating_sub(part.lent()))
        .collect();
    let given = split::portions(free, &needs, turn.now.as_secs());
    table.scarce = needs.iter().sum::<u64>() > free;
    for ((member, part), given) in table.parts.iter_mut().zip(given) {
        // a part of what it may go by already needs no asking
        let ceiling = part.demand.used.saturating_add(part.lent());
        let amount = ceiling.saturating_add(given);
        if part.latest().is_none() || given > 0 {
            turn.tell(*member, part, amount);
        }
    }
}
