//! What is known of how often reuse was wrong, from the whole cache down to one entry. Pure.
//!
//! Most entries are never checked, so each level begins with the estimate of the level above it and
//! moves away from it as it gathers verdicts of its own: a chain of Beta priors (the Beta-Binomial
//! shrinkage of empirical Bayes; Efron and Morris, "Stein's estimation rule and its competitors",
//! JASA 68, 1973). A verdict counts once: for the lowest level it is about. Verdicts fade with time
//! and with newer ones, so that what is no longer served for being risky gets another chance.
//!
//! ```text
//! what is taken for granted → the cache → the route → the partition → the entry
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Share of wrong answers among served ones before anything was checked.
pub const PRIOR_RATE: f64 = 0.005;
/// Verdicts the estimate of the level above is worth: for the cache, a route, a partition, an entry.
const WORTH: [f64; 4] = [1000.0, 400.0, 200.0, 10.0];
/// Verdicts after which a level's are halved, so that the old ones fade.
const MOST: [f64; 4] = [4000.0, 2000.0, 1000.0, 100.0];
/// Milliseconds in which a verdict loses half of its weight.
const HALF_LIFE: [f64; 4] = [DAY, DAY, DAY, 7.0 * DAY];
const DAY: f64 = 24.0 * 3_600_000.0;
/// Most that good evidence lowers the log odds by: verdicts are sampled and the judge can be wrong.
const MOST_RELIEF: f64 = 1.0;
/// Most that bad evidence raises them by: beyond it nothing is served anyway.
const MOST_BLAME: f64 = 10.0;

/// Where verdicts are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The whole cache.
    Cache,
    /// One route.
    Route,
    /// One partition.
    Partition,
    /// One entry.
    Entry,
}

impl Level {
    const fn index(self) -> usize {
        self as usize
    }
}

/// Verdicts about one level, older ones faded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Reuse was wrong.
    pub wrong: f64,
    /// Reuse was right.
    pub right: f64,
    /// When they had this weight, in milliseconds since 1970.
    pub at: u64,
}

impl Tally {
    /// The same at `now`.
    pub fn faded(self, now: u64, level: Level) -> Self {
        let passed = Duration::from_millis(now.saturating_sub(self.at)).as_secs_f64() * 1000.0;
        let half_life = HALF_LIFE.get(level.index()).copied().unwrap_or(DAY);
        let left = (-passed / half_life).exp2();
        Tally {
            wrong: self.wrong * left,
            right: self.right * left,
            at: now,
        }
    }

    /// One more verdict.
    pub fn add(&mut self, wrong: bool, (level, now): (Level, u64)) {
        *self = self.faded(now, level);
        if wrong {
            self.wrong += 1.0;
        } else {
            self.right += 1.0;
        }
        let most = MOST.get(level.index()).copied().unwrap_or(100.0);
        if self.wrong + self.right > most {
            self.wrong /= 2.0;
            self.right /= 2.0;
        }
    }

    /// The numbers can have come from verdicts.
    pub fn is_sound(&self) -> bool {
        [self.wrong, self.right]
            .iter()
            .all(|count| count.is_finite() && *count >= 0.0)
    }
}

/// What is believed of one entry: a Beta distribution of its rate of wrong reuse, in verdicts.
/// Never empty: without verdicts of its own an entry has those of the levels above it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// Wrong reuse.
    pub wrong: f64,
    /// Right reuse.
    pub right: f64,
}

impl Default for Evidence {
    fn default() -> Self {
        Evidence::pooled([Tally::default(); 4])
    }
}

impl Evidence {
    /// Pools the verdicts about the cache, a route, a partition and an entry, in this order, each
    /// with those of the levels below it; all faded to the same moment.
    pub fn pooled(levels: [Tally; 4]) -> Self {
        let mut rate = PRIOR_RATE;
        let mut evidence = Evidence {
            wrong: rate,
            right: 1.0 - rate,
        };
        let below = levels.iter().skip(1).copied();
        let below = below.chain([Tally::default()]);
        for ((tally, below), worth) in levels.iter().zip(below).zip(WORTH) {
            // halves at different times leave the lower level with more at times
            let wrong = (tally.wrong - below.wrong).max(0.0);
            let right = (tally.right - below.right).max(0.0);
            evidence = Evidence {
                wrong: worth * rate + wrong,
                right: worth * (1.0 - rate) + right,
            };
            rate = evidence.rate();
        }
        evidence
    }

    /// Expected share of wrong reuse, strictly between 0 and 1.
    pub fn rate(&self) -> f64 {
        self.wrong / (self.wrong + self.right)
    }
}

/// Log odds of a wrong answer, corrected by what is known of the entry: the estimate was made for
/// the base rate [`PRIOR_RATE`], and the entry's is another (Saerens, Latinne and Decaestecker,
/// "Adjusting the outputs of a classifier to new a priori probabilities", Neural Computation 14,
/// 2002). Natural logarithm; lowers them by 1 at most.
pub fn adjust(log_odds: f64, evidence: &Evidence) -> f64 {
    let shift = logit(evidence.rate()) - logit(PRIOR_RATE);
    if shift.is_finite() {
        log_odds + shift.clamp(-MOST_RELIEF, MOST_BLAME)
    } else {
        f64::INFINITY
    }
}

/// A probability corrected the same way.
pub fn adjust_probability(wrong: f64, evidence: &Evidence) -> f64 {
    1.0 / (1.0 + (-adjust(logit(wrong), evidence)).exp())
}

fn logit(probability: f64) -> f64 {
    (probability / (1.0 - probability)).ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_000_000_000_000;

    fn tally(wrong: f64, right: f64) -> Tally {
        Tally {
            wrong,
            right,
            at: NOW,
        }
    }

    #[test]
    fn where_nothing_was_checked_nothing_is_corrected() {
        let evidence = Evidence::default();
        assert!((evidence.rate() - PRIOR_RATE).abs() < 1e-12);
        assert!((adjust(-6.0, &evidence) + 6.0).abs() < 1e-9);
        assert!((adjust_probability(0.25, &evidence) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn one_wrong_answer_of_an_entry_outweighs_what_made_it_look_safe() {
        let evidence = Evidence::pooled([tally(1.0, 0.0); 4]);
        // 0.3 % by the words alone
        assert!(adjust_probability(0.003, &evidence) > 0.04);
    }

    #[test]
    fn one_wrong_answer_elsewhere_condemns_nobody() {
        let one = tally(1.0, 0.0);
        let near = Evidence::pooled([one, one, one, tally(0.0, 0.0)]);
        let risk = adjust_probability(0.003, &near);
        assert!((0.003..0.008).contains(&risk), "{risk}");
        let far = Evidence::pooled([one, tally(0.0, 0.0), tally(0.0, 0.0), tally(0.0, 0.0)]);
        assert!(adjust_probability(0.003, &far) < 0.004);
    }

    #[test]
    fn a_partition_that_is_often_wrong_taints_its_unchecked_entries() {
        let (cache, often) = (tally(10.0, 500.0), tally(10.0, 40.0));
        let bad = Evidence::pooled([cache, often, often, tally(0.0, 0.0)]);
        assert!(adjust_probability(0.003, &bad) > 0.02);
        let elsewhere =
            Evidence::pooled([cache, tally(0.0, 0.0), tally(0.0, 0.0), tally(0.0, 0.0)]);
        assert!(adjust_probability(0.003, &elsewhere) < 0.01);
    }

    #[test]
    fn old_verdicts_fade_with_newer_ones_and_with_time() {
        let mut tally = Tally::default();
        tally.add(true, (Level::Entry, NOW));
        for _ in 0..1000 {
            tally.add(false, (Level::Entry, NOW));
        }
        assert!(tally.wrong < 0.01 && tally.right <= 100.0, "{tally:?}");

        let mut tally = Tally::default();
        tally.add(true, (Level::Route, NOW));
        let day = 24 * 3_600_000;
        assert!((tally.faded(NOW + day, Level::Route).wrong - 0.5).abs() < 1e-9);
        // a clock that was set back makes nothing heavier
        assert!((tally.faded(NOW - day, Level::Route).wrong - 1.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn more_blame_never_lowers_the_odds_and_praise_never_raises_them(
            counts in prop::array::uniform4((0.0_f64..50.0, 0.0_f64..500.0)),
            about in 0_usize..4,
            odds in -10.0_f64..5.0,
        ) {
            // every level holds those below it
            let mut levels = counts.map(|(wrong, right)| tally(wrong, right));
            for level in (0..3).rev() {
                levels[level].wrong += levels[level + 1].wrong;
                levels[level].right += levels[level + 1].right;
            }
            let (mut worse, mut better) = (levels, levels);
            for level in 0..=about {
                worse[level].wrong += 1.0;
                better[level].right += 1.0;
            }
            let plain = adjust(odds, &Evidence::pooled(levels));
            prop_assert!(adjust(odds, &Evidence::pooled(worse)) >= plain - 1e-12);
            prop_assert!(adjust(odds, &Evidence::pooled(better)) <= plain + 1e-12);
            prop_assert!(plain >= odds - MOST_RELIEF - 1e-12);
        }
    }
}
