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

/// Slots that can run at once: one for each that wants some, more by what is wanted, and what is
/// left evenly, to those that idle first, so that they can start at once. Of many, each that idles
/// keeps one in any case; of few it does not: one that begins asks at once, and the others are cut.
pub(super) fn slots(limit: u64, wanted: &[u64], turn: u64) -> Vec<u64> {
    let mut eager: Vec<usize> = (0..wanted.len()).filter(|&n| wanted[n] > 0).collect();
    let needy = eager.len() as u64;
    let mut given = vec![0; wanted.len()];
    if limit < needy {
        // there are too few to go round: they take turns
        let first = turn.wrapping_mul(limit) % needy;
        eager.rotate_left(usize::try_from(first).unwrap_or(0));
        for index in eager.into_iter().take(usize::try_from(limit).unwrap_or(0)) {
            given[index] = 1;
        }
        return given;
    }
    let beyond: Vec<u64> = wanted.iter().map(|need| need.saturating_sub(1)).collect();
    let idlers = wanted.len() as u64 - needy;
    let spare = u64::from(limit >= (idlers * SPARE).max(needy + idlers));
    let more = portions(limit - needy - idlers * spare, &beyond, 0);
    for index in 0..wanted.len() {
        let one = if wanted[index] > 0 { 1 } else { spare };
        given[index] = more[index] + one;
    }
    let left = limit - given.iter().sum::<u64>();
    let idle = (0..wanted.len()).filter(|&n| wanted[n] == 0);
    let order: Vec<usize> = idle.chain(eager).collect();
    let count = (order.len() as u64).max(1);
    for (index, place) in order.into_iter().zip(0..) {
        given[index] += left / count + u64::from(place < left % count);
    }
    given
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{portions, slots};

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
