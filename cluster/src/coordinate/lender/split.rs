//! How an amount is split between those who need some of it.

/// In proportion to the needs, nobody more than its need. What does not divide goes round one by
/// one, beginning with `turn`, so that over several turns everybody comes first.
pub(super) fn portions(amount: u64, needs: &[u64], turn: u64) -> Vec<u64> {
    let total: u128 = needs.iter().map(|need| u128::from(*need)).sum();
    if total <= u128::from(amount) {
        return needs.to_vec();
    }
    let part = |need: &u64| {
        let part = u128::from(amount) * u128::from(*need) / total;
        u64::try_from(part).unwrap_or(u64::MAX)
    };
    let mut given: Vec<u64> = needs.iter().map(part).collect();
    let mut left = amount.saturating_sub(given.iter().sum());
    let count = needs.len();
    let start = usize::try_from(turn % (count as u64)).unwrap_or(0);
    for index in (0..count).cycle().skip(start).take(count) {
        if left == 0 {
            break;
        }
        if given[index] < needs[index] {
            given[index] += 1;
            left -= 1;
        }
    }
    given
}

/// What one node wants of the slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    /// Attempts that run or wait.
    pub(super) slots: u64,
    /// It stays, so it gets room for what has not come yet; one that leaves gets what it wants.
    pub(super) stays: bool,
}

/// Slots that can run at once: one for each where there are enough, more by what is wanted, and
/// what is left evenly between those that stay, so that a node that idles can start at once.
pub(super) fn slots(limit: u64, wants: &[Want], turn: u64) -> Vec<u64> {
    let first = |want: &Want| u64::from(want.stays || want.slots > 0);
    let firsts: u64 = wants.iter().map(first).sum();
    if limit < firsts {
        return turns(limit, wants, turn);
    }
    let beyond = wants.iter().map(|want| want.slots.saturating_sub(1));
    let beyond: Vec<u64> = beyond.collect();
    let more = portions(limit - firsts, &beyond, 0);
    let left = limit - firsts - more.iter().sum::<u64>();
    let staying = wants.iter().filter(|want| want.stays).count() as u64;
    let (even, odd) = (
        left.checked_div(staying).unwrap_or(0),
        left.checked_rem(staying).unwrap_or(0),
    );
    let mut index = 0;
    let head_room = wants.iter().map(|want| {
        if !want.stays {
            return 0;
        }
        index += 1;
        even + u64::from(index <= odd)
    });
    let given = wants.iter().zip(more).zip(head_room);
    given
        .map(|((want, more), room)| first(want) + more + room)
        .collect()
}

/// There are too few to go round: those that want one take turns, then come the others.
fn turns(limit: u64, wants: &[Want], turn: u64) -> Vec<u64> {
    let mut eager: Vec<usize> = (0..wants.len()).filter(|&n| wants[n].slots > 0).collect();
    if eager.len() as u64 > limit {
        let first = turn.wrapping_mul(limit) % (eager.len() as u64);
        eager.rotate_left(usize::try_from(first).unwrap_or(0));
    }
    eager.extend((0..wants.len()).filter(|&n| wants[n].slots == 0 && wants[n].stays));
    let mut given = vec![0; wants.len()];
    for index in eager.into_iter().take(usize::try_from(limit).unwrap_or(0)) {
        given[index] = 1;
    }
    given
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{Want, portions};

    /// Of nodes that stay.
    fn slots(limit: u64, wanted: &[u64], turn: u64) -> Vec<u64> {
        let stays = |slots: &u64| Want {
            slots: *slots,
            stays: true,
        };
        let wants: Vec<_> = wanted.iter().map(stays).collect();
        super::slots(limit, &wants, turn)
    }

    #[test]
    fn everybody_has_one_and_the_rest_follows_demand() {
        assert_eq!(slots(10, &[0, 0, 0], 0), [4, 3, 3]);
        assert_eq!(slots(10, &[0, 9, 0], 0), [1, 8, 1]);
        assert_eq!(slots(10, &[20, 10, 0], 0), [6, 3, 1]);
        assert_eq!(slots(10, &[3, 0, 0], 0), [5, 3, 2]);
    }

    #[test]
    fn a_node_that_leaves_gets_what_it_wants_and_no_more() {
        let leaves = |slots| Want {
            slots,
            stays: false,
        };
        let stays = |slots| Want { slots, stays: true };
        let given = |limit, wants: &[Want]| super::slots(limit, wants, 0);
        assert_eq!(given(10, &[leaves(0), stays(0)]), [0, 10]);
        assert_eq!(given(10, &[leaves(4), stays(2)]), [4, 6]);
        assert_eq!(given(10, &[leaves(9), stays(9)]), [5, 5]);
        assert_eq!(given(1, &[leaves(0), stays(0)]), [0, 1]);
        assert_eq!(given(1, &[leaves(2), stays(0)]), [1, 0]);
    }

    #[test]
    fn where_there_are_too_few_those_that_want_take_turns() {
        assert_eq!(slots(1, &[0, 0, 5], 0), [0, 0, 1]);
        assert_eq!(slots(2, &[0, 0, 5], 3), [1, 0, 1]);
        let turns = [0, 1, 2].map(|turn| slots(1, &[1, 1, 1], turn));
        assert_eq!(turns, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]);
        assert_eq!(slots(0, &[1, 1], 0), [0, 0]);
    }

    proptest! {
        #[test]
        fn nothing_is_split_beyond_what_there_is(
            amount in 0_u64..1_000,
            needs in vec(0_u64..1_000, 1..10),
            turn in any::<u64>(),
        ) {
            let given = portions(amount, &needs, turn);
            let total: u64 = needs.iter().sum();
            prop_assert_eq!(given.iter().sum::<u64>(), amount.min(total));
            prop_assert!(given.iter().zip(&needs).all(|(given, need)| given <= need));
            prop_assert_eq!(slots(amount, &needs, turn).iter().sum::<u64>(), amount);
        }
    }
}
