//! From a cosine and two texts' features to "serve" or "ask upstream". Pure.
//!
//! ```text
//! guards ──object──▶ never
//!   │ pass
//! words settle it: cosine ≥ similarity_threshold, risk within the budget ──▶ hit
//!   │ they do not
//! verifier: cosine ≥ verified_threshold, upper bound of its risk within the budget ──▶ hit
//!   │ it does not                     and in both cases only if no rival comes as near
//!   ▼
//! miss
//! ```
//!
//! The risk by words is a logistic curve whose coefficients are set by hand and checked against
//! open sets of question pairs: with every content word matched in order the risk is a few in a
//! thousand and hardly depends on the cosine; each word without a match, and a change of order,
//! costs far more than any cosine can make up for. What the words leave open is the verifier's.

use serde::Serialize;

use super::embed::Calibration;
use super::guard::{Features, Guard};
use crate::config::routing::CacheConfig;

/// Log odds of a wrong answer at cosine 1 with nothing unmatched.
const BASE: f64 = -6.0;
/// Added per unit of cosine missing to 1.
const PER_DISTANCE: f64 = 6.0;
/// Added per content word without its match.
const PER_UNMATCHED: f64 = 3.0;
/// Added when the matched words stand in another order.
const REORDERED: f64 = 1.8;

/// How much nearer than every rival the best entry must be. Two questions that both lie this close
/// to a third and were not taken for one another make it doubtful which of them it repeats.
const LEAD: f32 = 0.14;

/// Words of content from which a text is a story rather than a question.
const LONG: usize = 14;

/// What an operator allows and a caller tightens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Least cosine of what is served on its words alone.
    pub similarity_threshold: f64,
    /// Least cosine of what the verifier approves.
    pub verified_threshold: f64,
    /// Most wrong answers among served ones.
    pub max_error_rate: f64,
}

impl Budget {
    /// The route's, with the least cosine a caller asks for on top.
    pub fn of(config: &CacheConfig, least: Option<f32>) -> Self {
        let least = least.map_or(0.0, f64::from);
        Budget {
            similarity_threshold: config.similarity_threshold.max(least),
            verified_threshold: config.verified_threshold.max(least),
            max_error_rate: config.max_error_rate,
        }
    }

    /// Within a space whose cosines mean something else: the stricter of both.
    #[must_use]
    pub fn within(self, space: Calibration) -> Self {
        let least = space.similarity_threshold;
        Budget {
            similarity_threshold: self.similarity_threshold.max(least),
            verified_threshold: self.verified_threshold.max(space.candidate_floor),
            ..self
        }
    }

    /// Least cosine of what could be served, or rival with what could be.
    #[expect(clippy::cast_possible_truncation, reason = "a bound, rounded a little")]
    pub(crate) fn least_interesting(&self) -> f32 {
        self.floor() as f32 - LEAD - 0.001
    }

    fn floor(&self) -> f64 {
        self.similarity_threshold.min(self.verified_threshold)
    }
}

/// How likely reuse would be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Risk {
    /// The estimate, in [0, 1].
    pub wrong: f64,
    /// Its upper confidence bound, in [0, 1].
    pub upper_bound: f64,
}

/// What is known about a question and one asked before.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    /// Their cosine.
    pub similarity: f32,
    /// The words of one.
    pub a: &'a Features,
    /// The words of the other.
    pub b: &'a Features,
    /// What the verifier says, once it was asked.
    pub verified: Option<Risk>,
}

impl Grounds<'_> {
    /// The verifier's word where there is one, else what the words tell.
    pub fn risk(&self) -> Risk {
        self.verified.unwrap_or_else(|| {
            let wrong = estimated_error(self.similarity, self.a, self.b);
            Risk {
                wrong,
                upper_bound: wrong,
            }
        })
    }
}

/// Serve or not, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The answer may be reused.
    Hit,
    /// The cosine is below every threshold.
    TooFar,
    /// A guard objects.
    Guarded(Guard),
    /// The words alone do not settle it.
    Unsettled,
    /// The estimated error is over the budget.
    TooRisky,
    /// Another entry comes as near.
    Ambiguous,
}

impl Decision {
    /// One line for operators.
    pub fn reason(self) -> &'static str {
        match self {
            Decision::Hit => "close enough, no guard objects, risk within the budget",
            Decision::TooFar => "similarity below the threshold",
            Decision::Guarded(guard) => guard.as_str(),
            Decision::Unsettled => "the words alone do not settle it",
            Decision::TooRisky => "estimated error above the budget",
            Decision::Ambiguous => "another entry comes as near",
        }
    }
}

/// Estimated probability that reusing the answer would be wrong, guards aside, by the words alone.
pub fn estimated_error(similarity: f32, a: &Features, b: &Features) -> f64 {
    if a.is_empty() || b.is_empty() || !similarity.is_finite() {
        return 1.0;
    }
    let unmatched = u32::try_from(a.unmatched(b)).unwrap_or(u32::MAX);
    let reordered = if a.is_reordering_of(b) {
        REORDERED
    } else {
        0.0
    };
    let distance = f64::from(1.0 - similarity).max(0.0);
    let odds = BASE + PER_DISTANCE * distance + PER_UNMATCHED * f64::from(unmatched) + reordered;
    1.0 / (1.0 + (-odds).exp())
}

/// Decides about one candidate.
pub fn decide(grounds: Grounds<'_>, budget: Budget) -> Decision {
    let Grounds {
        similarity, a, b, ..
    } = grounds;
    let reaches = |least: f64| f64::from(similarity) >= least;
    if !reaches(budget.floor()) {
        return Decision::TooFar;
    }
    if let Some(guard) = Guard::first_firm_conflict(a, b) {
        return Decision::Guarded(guard);
    }
    if a.is_empty() || b.is_empty() || is_small_edit(a, b) {
        return Decision::TooRisky;
    }
    let within = grounds.risk().upper_bound <= budget.max_error_rate;
    match (grounds.verified, Guard::first_conflict(a, b)) {
        (Some(_), _) if within && reaches(budget.verified_threshold) => Decision::Hit,
        (Some(_), Some(guard)) => Decision::Guarded(guard),
        (Some(_), None) => Decision::TooRisky,
        (None, None) if within && reaches(budget.similarity_threshold) => Decision::Hit,
        (None, _) if reaches(budget.verified_threshold) => Decision::Unsettled,
        (None, Some(guard)) => Decision::Guarded(guard),
        (None, None) => Decision::TooRisky,
    }
}

/// A long text with a few words exchanged, added or left out: whoever edits a story changes its
/// outcome. A long text told another way is no such edit.
fn is_small_edit(a: &Features, b: &Features) -> bool {
    let long = a.subjects().min(b.subjects()) >= LONG;
    long && a.unmatched(b) > 0 && !a.is_rewording_of(b)
}

/// A candidate with another answer comes as near as the best one, so it is open which of the two the
/// question repeats. One that counts other things cannot be meant.
pub fn is_rival(best: f32, question: &Features, (similarity, other): (f32, &Features)) -> bool {
    similarity > best - LEAD && Guard::Numbers.allows(question, other)
}

#[cfg(test)]
mod tests;
