//! One stored entry weighed against a question: guards, estimate, evidence, vetoes, the tier's
//! caution.

use super::Inner;
use super::answer::Pair;
use super::decide::{Decision, Grounds, Risk, decide};
use super::explain::Weighed;
use super::learn::About;
use super::learn::record::adjust_probability;
use super::semantic::{Asking, Candidate};
use super::stats::Counters;

/// What came of it.
pub(super) enum Outcome {
    /// Serve it.
    Serve(Weighed, Pair),
    /// The words do not settle it.
    Open(Weighed),
    /// Not this one.
    Refuse(Weighed, &'static str),
    /// Not this one, and none further away.
    TooFar(Weighed, &'static str),
}

/// Weighs one entry at this cosine, with the verifier's word if it was asked.
pub(super) fn weigh(
    inner: &Inner,
    asking: Asking<'_>,
    candidate: &Candidate,
    verified: Option<Risk>,
) -> Outcome {
    let (entry, meaning) = (&candidate.entry, &candidate.meaning);
    let (similarity, partition) = (candidate.similarity, meaning.partition);
    let grounds = Grounds {
        similarity,
        a: &asking.question.features,
        b: &meaning.features,
        verified,
    };
    let tolerated = asking.tier.risk(asking.budget.max_error_rate);
    let tolerated = tolerated.unwrap_or_default();
    let decision = decide(grounds, asking.budget);
    let about = About {
        route: asking.route,
        partition,
        entry: entry.id,
    };
    let id = inner.keys.pair(entry.id, &asking.question.text);
    let (evidence, vetoed) = match decision {
        Decision::Hit | Decision::Unsettled => inner.learner.about(&about, id, asking.now),
        Decision::TooFar | Decision::Guarded(_) | Decision::TooRisky | Decision::Ambiguous => {
            (inner.learner.evidence(&about, asking.now), false)
        }
    };
    let guard = match decision {
        Decision::Guarded(guard) => Some(guard.as_str()),
        Decision::Hit
        | Decision::Unsettled
        | Decision::TooFar
        | Decision::TooRisky
        | Decision::Ambiguous => None,
    };
    let risk = grounds.risk();
    let adjusted = |rate: f64| match guard {
        Some(_) => 1.0,
        None => adjust_probability(rate, &evidence),
    };
    let upper_bound = adjusted(risk.upper_bound);
    let weighed = Weighed {
        entry: entry.id,
        similarity,
        probability: 1.0 - adjusted(risk.wrong),
        upper_bound,
        tolerated,
        evidence,
        guard,
        verified: verified.is_some(),
    };
    match decision {
        Decision::Hit | Decision::Unsettled if vetoed => Outcome::Refuse(weighed, "vetoed"),
        Decision::Hit if upper_bound <= tolerated => {
            let pair = Pair {
                id,
                entry: entry.id,
                partition,
            };
            Outcome::Serve(weighed, pair)
        }
        // a bar raised by evidence or by the tier's caution may still be cleared by the verifier
        Decision::Hit if verified.is_none() => Outcome::Open(weighed),
        Decision::Unsettled => Outcome::Open(weighed),
        Decision::TooFar => Outcome::TooFar(weighed, decision.reason()),
        Decision::Guarded(_) => {
            Counters::add(&inner.counters.guard_refusals);
            Outcome::Refuse(weighed, "a guard objects")
        }
        Decision::Hit | Decision::TooRisky | Decision::Ambiguous => {
            Outcome::Refuse(weighed, Decision::TooRisky.reason())
        }
    }
}
