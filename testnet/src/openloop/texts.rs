//! What is asked: another question every time, or a few of them again and again.

use rand::RngExt as _;
use rand::rngs::SmallRng;

/// Where questions come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts(Option<u32>);

/// Made into a question with a number; no two of these mean the same.
const THINGS: [&str; 12] = [
    "the harbour of Lübeck",
    "a heat pump",
    "the orbit of Titan",
    "sourdough",
    "a bicycle's hub gear",
    "the Treaty of Utrecht",
    "coral reefs",
    "a mechanical watch",
    "the Fibonacci numbers",
    "alpine plants",
    "an induction hob",
    "the Suez Canal",
];

impl Texts {
    pub(super) fn new(distinct: Option<u32>) -> Self {
        Texts(distinct)
    }

    /// The question of the `nth` request.
    pub(super) fn draw(self, random: &mut SmallRng, nth: usize) -> String {
        let Texts(Some(distinct)) = self else {
            // past every cache and every joining of identical requests
            return text(nth, random.random());
        };
        // the density falls as 1/x: the first ones often, the last ones seldom
        let most = f64::from(distinct.max(1));
        let drawn = most.powf(random.random_range(0.0..1.0_f64));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "1 to `distinct`"
        )]
        let number = drawn as usize;
        text(number, 0)
    }
}

fn text(number: usize, mark: u32) -> String {
    let thing = THINGS[number % THINGS.len()];
    format!("What should I know about {thing}, case {number}, mark {mark}?")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn a_few_questions_come_again_and_the_first_ones_most() {
        let mut random = SmallRng::seed_from_u64(1);
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        for nth in 0..10_000 {
            *seen
                .entry(Texts::new(Some(100)).draw(&mut random, nth))
                .or_default() += 1;
        }
        assert!((90..=100).contains(&seen.len()), "{}", seen.len());
        assert!(seen[&text(1, 0)] > 5 * seen[&text(50, 0)]);
    }

    #[test]
    fn without_a_number_no_question_comes_twice() {
        let mut random = SmallRng::seed_from_u64(1);
        let mut draw = |nth| Texts::new(None).draw(&mut random, nth);
        assert_ne!(draw(1), draw(1));
    }
}
