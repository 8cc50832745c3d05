//! Reads a list of candidates that did not answer as one error for the caller. Pure.

use std::time::Duration;

use crate::error::{Error, Kind, Rejection, Retry, Tried};
use crate::model::Refusal;
use crate::provider::{Class, Failure};
use crate::queue;
use crate::routing::{Bar, Barred};
use crate::types::ModelName;

/// Longest advice to wait that is sent on.
const MAX_ADVICE: Duration = Duration::from_secs(300);

/// Why one candidate gave no answer, in the terms that decide the final error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Failed,
    Rejected,
    TimedOut,
    Gated,
    Overloaded,
    Broken,
    Unfit,
}

/// Collects candidates that did not answer.
#[derive(Debug, Default)]
pub(super) struct Exhausted {
    tried: Vec<Tried>,
    reasons: Vec<Reason>,
    retry_after: Option<Duration>,
    rejection: Option<(Rejection, String)>,
}

impl Exhausted {
    fn note(&mut self, model: &ModelName, text: String, reason: Reason, wait: Option<Duration>) {
        let tried = Tried {
            model: model.clone(),
            reason: text,
        };
        if self.tried.last() != Some(&tried) {
            self.tried.push(tried); // a repeat that failed alike is told once
        }
        self.reasons.push(reason);
        self.retry_after = match (self.retry_after, wait) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
    }

    /// Skipped by the plan.
    pub(super) fn barred(&mut self, model: &ModelName, bar: &Barred) {
        self.note(
            model,
            bar.reason.clone(),
            reason_of(bar.cause),
            bar.retry_after,
        );
    }

    /// Refused by its queue or breaker.
    pub(super) fn refused(&mut self, model: &ModelName, refusal: &Refusal) {
        match refusal {
            Refusal::Queue(refused) => {
                let reason = match refused {
                    queue::Denied::Broken | queue::Denied::Restarting => Reason::Broken,
                    queue::Denied::Busy { .. } | queue::Denied::Expired => Reason::Overloaded,
                };
                self.note(model, refused.to_string(), reason, refused.retry_after());
            }
            Refusal::Limited(limited) => {
                let wait = Some(limited.retry_after);
                self.note(model, limited.to_string(), Reason::Gated, wait);
            }
            Refusal::Breaker(refused) => {
                self.note(
                    model,
                    refused.to_string(),
                    reason_of(refused.bar()),
                    refused.retry_after(),
                );
            }
        }
    }

    /// Asked, and failed.
    pub(super) fn failed(&mut self, model: &ModelName, failure: &Failure) {
        let (reason, wait) = match failure.class {
            Class::Gate { retry_after } => (Reason::Gated, retry_after),
            Class::Hard if failure.timed_out => (Reason::TimedOut, None),
            Class::Caller => (Reason::Rejected, None),
            Class::Hard | Class::Credential => (Reason::Failed, None),
        };
        if failure.class == Class::Caller {
            let rejection = Rejection {
                status: failure.status.unwrap_or(400),
                body: failure.body.clone(),
            };
            self.rejection = Some((rejection, failure.message.clone()));
        }
        self.note(model, failure.message.clone(), reason, wait);
    }

    /// The upstream's refusal settles the matter: no other model is asked, and none of those asked
    /// before matters.
    pub(super) fn into_rejection(mut self) -> Error {
        self.reasons.clear();
        self.into_error()
    }

    /// What the caller is told.
    pub(super) fn into_error(self) -> Error {
        let of_the_request = |r: &Reason| matches!(r, Reason::Rejected | Reason::Unfit);
        let rejection = self
            .rejection
            .filter(|_| self.reasons.iter().all(of_the_request));
        if let Some((rejection, message)) = rejection {
            let text = format!("the upstream refused the request: {message}");
            let mut error = Error::new(Kind::UpstreamRejected, text).with_tried(self.tried);
            error.rejection = Some(rejection);
            return error;
        }
        let any = |reason: Reason| self.reasons.contains(&reason);
        let all = |reason: Reason| self.reasons.iter().all(|known| *known == reason);
        let advice = Retry::After(
            self.retry_after
                .unwrap_or(Duration::from_secs(1))
                .min(MAX_ADVICE),
        );
        let (kind, lead, retry) = if all(Reason::Unfit) {
            (
                Kind::InvalidRequest,
                "no model can take this request",
                Retry::Never,
            )
        } else if self
            .reasons
            .iter()
            .all(|r| matches!(r, Reason::Gated | Reason::Unfit))
        {
            (Kind::RateLimited, "every model asks for patience", advice)
        } else if any(Reason::Failed) {
            (Kind::UpstreamFailed, "every model failed", Retry::Never)
        } else if any(Reason::TimedOut) {
            (
                Kind::DeadlineExceeded,
                "no model answered in time",
                Retry::Never,
            )
        } else if any(Reason::Overloaded) {
            (Kind::Overloaded, "every queue is full", advice)
        } else {
            (Kind::Unavailable, "no model is available", advice)
        };
        let list: Vec<String> = self
            .tried
            .iter()
            .map(|tried| format!("{}: {}", tried.model, tried.reason))
            .collect();
        let message = format!("{lead} ({})", list.join("; "));
        Error::new(kind, message)
            .with_retry(retry)
            .with_tried(self.tried)
    }
}

const fn reason_of(bar: Bar) -> Reason {
    match bar {
        Bar::Broken => Reason::Broken,
        Bar::Gated => Reason::Gated,
        Bar::Full => Reason::Overloaded,
        Bar::Unfit => Reason::Unfit,
    }
}

/// A refusal of the caller's making that another model may not share: an unknown model, a body or
/// context too large.
pub(super) fn another_may_take_it(failure: &Failure) -> bool {
    matches!(failure.status, Some(404 | 413)) || is_too_long(failure)
}

/// The upstream refused the request because it is longer than the model's context window.
pub(super) fn is_too_long(failure: &Failure) -> bool {
    crate::provider::is_context_length(failure)
}

/// The windows that were too small for the request, as their upstreams counted it.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// The largest that is known.
    largest: Option<(ModelName, u64)>,
}

impl Windows {
    /// The request did not fit into this model's.
    pub(super) fn refused(&mut self, model: &ModelName, window: Option<u64>) {
        let known = self.largest.as_ref().map_or(0, |(_, window)| *window);
        if let Some(window) = window.filter(|window| *window > known) {
            self.largest = Some((model.clone(), window));
        }
    }

    /// Why a model with this window need not be asked. An unknown one may be larger.
    pub(super) fn bar(&self, window: Option<u64>) -> Option<Barred> {
        let (model, refused) = self.largest.as_ref()?;
        let window = window.filter(|window| window <= refused)?;
        Some(Barred {
            reason: format!("context of {window} tokens is no larger than that of {model}"),
            retry_after: None,
            cause: Bar::Unfit,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Exhausted, Windows};
    use crate::error::{Kind, Retry};
    use crate::provider::{Class, Failure};
    use crate::routing::{Bar, Barred};

    fn gate(seconds: u64) -> Failure {
        let retry_after = Some(Duration::from_secs(seconds));
        Failure::new(Class::Gate { retry_after }, "http 429")
    }

    #[test]
    fn spent_on_429s_means_429_with_the_soonest_retry_after() {
        let mut exhausted = Exhausted::default();
        exhausted.failed(&"a".into(), &gate(30));
        exhausted.failed(&"b".into(), &gate(7));
        let error = exhausted.into_error();
        assert_eq!(error.kind, Kind::RateLimited);
        assert_eq!(error.retry, Retry::After(Duration::from_secs(7)));
    }

    #[test]
    fn only_a_larger_or_unknown_window_is_worth_asking() {
        let mut windows = Windows::default();
        assert!(windows.bar(Some(1)).is_none());
        windows.refused(&"a".into(), Some(8000));
        windows.refused(&"b".into(), Some(4000));
        windows.refused(&"c".into(), None);
        assert!(windows.bar(Some(8001)).is_none() && windows.bar(None).is_none());
        let bar = windows.bar(Some(8000)).unwrap();
        assert_eq!(bar.cause, Bar::Unfit);
        assert_eq!(
            bar.reason,
            "context of 8000 tokens is no larger than that of a"
        );
    }

    #[test]
    fn the_error_names_every_candidate_and_why() {
        let mut exhausted = Exhausted::default();
        let bar = Barred {
            reason: "breaker open".into(),
            retry_after: None,
            cause: Bar::Broken,
        };
        exhausted.barred(&"a".into(), &bar);
        exhausted.failed(&"b".into(), &Failure::new(Class::Hard, "http 503"));
        let error = exhausted.into_error();
        assert_eq!(error.kind, Kind::UpstreamFailed);
        assert_eq!(
            error.message,
            "every model failed (a: breaker open; b: http 503)"
        );
        assert_eq!(error.tried.len(), 2);
    }

    #[test]
    fn a_model_unknown_to_one_upstream_does_not_hide_that_the_other_is_down() {
        let mut exhausted = Exhausted::default();
        let mut unknown = Failure::new(Class::Caller, "http 404");
        unknown.status = Some(404);
        exhausted.failed(&"a".into(), &unknown);
        let bar = Barred {
            reason: "breaker open".into(),
            retry_after: None,
            cause: Bar::Broken,
        };
        exhausted.barred(&"b".into(), &bar);
        let error = exhausted.into_error();
        assert_eq!(error.kind, Kind::Unavailable);
        assert_eq!(error.tried.len(), 2);
    }

    #[test]
    fn nothing_but_open_breakers_is_unavailable_until_the_first_may_be_probed() {
        let mut exhausted = Exhausted::default();
        for (model, seconds) in [("a", 40), ("b", 12)] {
            let retry_after = Some(Duration::from_secs(seconds));
            let bar = Barred {
                reason: "breaker open".into(),
                retry_after,
                cause: Bar::Broken,
            };
            exhausted.barred(&model.into(), &bar);
        }
        let error = exhausted.into_error();
        assert_eq!(error.kind, Kind::Unavailable);
        assert_eq!(error.retry, Retry::After(Duration::from_secs(12)));
    }
}
