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

/// Of so many slots, one for each node that idles is nothing that the others miss.
const SPARE: u64 = 8;

/// What one node wants of the slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    /// Attempts that run or wait.
    pub(super) slots: u64,
    /// It stays, so it gets room for what has not come yet; one that leaves gets what it wants.
    pub(super) stays: bool,
}

/// Slots that can run at once: one for each that wants some, more by what is wanted, and what is
/// left evenly between those that stay, the idle ones first, so that they can start at once.
///
/// Of many slots, each node that idles keeps one in any case. Of few it does not: one that begins
/// asks at once, and the others are cut.
pub(super) fn slots(limit: u64, wants: &[Want], turn: u64) -> Vec<u64> {
    let eager: Vec<usize> = (0..wants.len()).filter(|&n| wants[n].slots > 0).collect();
    let idle = (0..wants.len()).filter(|&n| wants[n].slots == 0 && wants[n].stays);
    let idle: Vec<usize> = idle.collect();
    let (needy, idlers) = (eager.len() as u64, idle.len() as u64);
    if limit < needy {
        return turns(limit, eager, wants.len(), turn);
    }
    let spare = u64::from(limit >= (idlers * SPARE).max(needy + idlers));
    let beyond = wants.iter().map(|want| want.slots.saturating_sub(1));
    let beyond: Vec<u64> = beyond.collect();
    let mut given = portions(limit - needy - idlers * spare, &beyond, 0);
    for &index in &eager {
        given[index] += 1;
    }
    for &index in &idle {
        given[index] += spare;
    }
    let left = limit - given.iter().sum::<u64>();
    let staying: Vec<usize> = idle
        .into_iter()
        .chain(eager.into_iter().filter(|&n| wants[n].stays))
        .collect();
    let count = (staying.len() as u64).max(1);
    for (index, place) in staying.into_iter().zip(0..) {
        given[index] += left / count + u64::from(place < left % count);
    }
    given
}

/// There are too few to go round: those that want one take turns.
fn turns(limit: u64, mut eager: Vec<usize>, nodes: usize, turn: u64) -> Vec<u64> {
    let first = turn.wrapping_mul(limit) % (eager.len() as u64).max(1);
    eager.rotate_left(usize::try_from(first).unwrap_or(0));
    let mut given = vec![0; nodes];
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
    fn demand_comes_first_and_what_is_left_goes_to_those_that_idle() {
        assert_eq!(slots(10, &[0, 0, 0], 0), [4, 3, 3]);
        assert_eq!(slots(6, &[12, 0, 0], 0), [6, 0, 0]);
        assert_eq!(slots(10, &[0, 9, 0], 0), [1, 9, 0]);
        assert_eq!(slots(10, &[20, 10, 0], 0), [6, 3, 1]);
        assert_eq!(
            slots(8, &[1, 1, 1, 1, 1, 1, 1, 1, 0], 0),
            [1, 1, 1, 1, 1, 1, 1, 1, 0]
        );
        assert_eq!(slots(10, &[3, 0, 0], 0), [5, 3, 2]);
        assert_eq!(slots(6, &[100, 1, 0], 0), [5, 1, 0]);
        assert_eq!(slots(64, &[100, 0, 0], 0), [62, 1, 1]);
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
        assert_eq!(slots(2, &[0, 0, 5], 3), [0, 0, 2]);
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
