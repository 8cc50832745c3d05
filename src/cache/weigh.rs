//! One stored entry weighed against a question: guards, estimate, evidence, vetoes, the tier's
//! caution.

use super::Inner;
use super::answer::{Pair, Question};
use super::decide::{Budget, Decision, decide, estimated_error};
use super::entry::{Entry, Meaning};
use super::explain::Weighed;
use super::learn::record::adjust_probability;
use super::learn::{About, TierState};
use super::stats::Counters;

/// A question that looks for an answer on a route.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) question: &'a Question,
    pub(super) route: &'a str,
    pub(super) tier: TierState,
    /// What the operator allows; the tier's caution comes on top.
    pub(super) budget: Budget,
    /// Milliseconds since 1970.
    pub(super) now: u64,
}

/// What came of it.
pub(super) enum Outcome {
    /// Serve it.
    Serve(Weighed, Pair),
    /// Not this one.
    Refuse(Weighed, &'static str),
    /// Not this one, and none further away.
    TooFar(Weighed, &'static str),
}

/// Weighs one entry at this cosine.
pub(super) fn weigh(
    inner: &Inner,
    asking: Asking<'_>,
    (entry, meaning): (&Entry, &Meaning),
    similarity: f32,
) -> Outcome {
    let (a, b) = (&asking.question.features, &meaning.features);
    let tolerated = asking.tier.risk(asking.budget.max_error_rate);
    let tolerated = tolerated.unwrap_or_default();
    let decision = decide(similarity, a, b, asking.budget);
    let about = About {
        route: asking.route,
        partition: meaning.partition,
        entry: entry.id,
    };
    let (evidence, pair) = match decision {
        Decision::Hit => {
            let id = inner.keys.pair(entry.id, &asking.question.text);
            let (evidence, vetoed) = inner.learner.about(&about, id, asking.now);
            (evidence, Some((id, vetoed)))
        }
        Decision::TooFar | Decision::Guarded(_) | Decision::TooRisky => {
            (inner.learner.evidence(&about, asking.now), None)
        }
    };
    let wrong = adjust_probability(estimated_error(similarity, a, b), &evidence);
    let guard = match decision {
        Decision::Guarded(guard) => Some(guard.as_str()),
        Decision::Hit | Decision::TooFar | Decision::TooRisky => None,
    };
    let weighed = Weighed {
        entry: entry.id,
        similarity,
        probability: if guard.is_some() { 0.0 } else { 1.0 - wrong },
        upper_bound: if guard.is_some() { 1.0 } else { wrong },
        tolerated,
        evidence,
        guard,
    };
    match (decision, pair) {
        (Decision::Hit, Some((_, true))) => Outcome::Refuse(weighed, "vetoed"),
        (Decision::Hit, Some((id, false))) if wrong <= tolerated => {
            let partition = meaning.partition;
            let entry = entry.id;
            let pair = Pair {
                id,
                entry,
                partition,
            };
            Outcome::Serve(weighed, pair)
        }
        (Decision::TooFar, _) => Outcome::TooFar(weighed, decision.reason()),
        (Decision::Guarded(_), _) => {
            Counters::add(&inner.counters.guard_refusals);
            Outcome::Refuse(weighed, "a guard objects")
        }
        (Decision::Hit | Decision::TooRisky, _) => {
            Outcome::Refuse(weighed, Decision::TooRisky.reason())
        }
    }
}
