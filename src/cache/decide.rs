//! From a cosine and two texts' features to "serve" or "ask upstream". Pure.
//!
//! Served when the cosine reaches the threshold, no guard objects, and the estimated error stays
//! within the budget. The estimate is a logistic curve whose coefficients are set by hand and
//! checked against open sets of question pairs: with every content word matched in order the risk
//! is a few in a thousand and hardly depends on the cosine; each word without a match, and a
//! change of order, costs far more than any cosine can make up for.

use serde::Serialize;

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

/// The two numbers an operator sets.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Least cosine.
    pub similarity_threshold: f64,
    /// Most wrong answers among served ones.
    pub max_error_rate: f64,
}

impl From<&CacheConfig> for Budget {
    fn from(config: &CacheConfig) -> Self {
        Budget {
            similarity_threshold: config.similarity_threshold,
            max_error_rate: config.max_error_rate,
        }
    }
}

/// Serve or not, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The answer may be reused.
    Hit,
    /// The cosine is below the threshold.
    TooFar,
    /// A guard objects.
    Guarded(Guard),
    /// The estimated error is over the budget.
    TooRisky,
}

impl Decision {
    /// One line for operators.
    pub fn reason(self) -> &'static str {
        match self {
            Decision::Hit => "close enough, no guard objects, risk within the budget",
            Decision::TooFar => "similarity below the threshold",
            Decision::Guarded(guard) => guard.as_str(),
            Decision::TooRisky => "estimated error above the budget",
        }
    }
}

/// Estimated probability that reusing the answer would be wrong, guards aside.
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
pub fn decide(similarity: f32, a: &Features, b: &Features, budget: Budget) -> Decision {
    let close = f64::from(similarity) >= budget.similarity_threshold;
    if !close {
        return Decision::TooFar;
    }
    if let Some(guard) = Guard::first_conflict(a, b) {
        return Decision::Guarded(guard);
    }
    let within = estimated_error(similarity, a, b) <= budget.max_error_rate;
    if within {
        Decision::Hit
    } else {
        Decision::TooRisky
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Budget = Budget {
        similarity_threshold: 0.92,
        max_error_rate: 0.01,
    };

    fn decided(similarity: f32, a: &str, b: &str, budget: Budget) -> Decision {
        decide(similarity, &Features::of(a), &Features::of(b), budget)
    }

    #[test]
    fn no_cosine_and_no_budget_overrules_a_guard() {
        let (a, b) = ("Is aspirin safe for dogs?", "Is aspirin not safe for dogs?");
        let reckless = Budget {
            similarity_threshold: 0.0,
            max_error_rate: 1.0,
        };
        assert_eq!(
            decided(1.0, a, b, reckless),
            Decision::Guarded(Guard::Negation)
        );
    }

    #[test]
    fn a_cosine_below_the_threshold_or_of_no_number_is_a_miss() {
        let same = "What is the capital of France?";
        assert_eq!(decided(0.919, same, same, DEFAULT), Decision::TooFar);
        assert_eq!(decided(f32::NAN, same, same, DEFAULT), Decision::TooFar);
    }

    #[test]
    fn an_unmatched_word_or_another_order_is_over_the_default_budget() {
        let (a, b) = (
            "What is the best laptop?",
            "What is the best gaming laptop?",
        );
        assert_eq!(decided(0.99, a, b, DEFAULT), Decision::TooRisky);
        let (a, b) = ("dog bites man story", "man bites dog story");
        assert_eq!(decided(0.99, a, b, DEFAULT), Decision::TooRisky);
    }

    #[test]
    fn texts_without_any_subject_never_match() {
        assert_eq!(
            decided(1.0, "who are they?", "who are they?", DEFAULT),
            Decision::TooRisky
        );
    }

    #[test]
    fn a_rewording_is_a_hit() {
        let (a, b) = (
            "How do I reset my account password?",
            "How can I reset my account password?",
        );
        assert_eq!(decided(0.993, a, b, DEFAULT), Decision::Hit);
    }

    #[test]
    fn a_lower_threshold_admits_the_same_words_further_apart() {
        let (a, b) = (
            "What is Python?",
            "Tell me about the Python programming language",
        );
        assert_eq!(decided(0.846, a, b, DEFAULT), Decision::TooFar);
        let wider = Budget {
            similarity_threshold: 0.84,
            ..DEFAULT
        };
        assert_eq!(decided(0.846, a, b, wider), Decision::Hit);
    }

    #[test]
    fn the_estimate_grows_with_distance_and_differences() {
        let same = Features::of("how do plants grow roots");
        let longer = Features::of("how do plants grow long roots");
        assert!(estimated_error(0.99, &same, &same) < estimated_error(0.9, &same, &same));
        assert!(estimated_error(0.99, &same, &same) < estimated_error(0.99, &same, &longer));
    }
}
