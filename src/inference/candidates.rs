//! Walks the candidates of a plan until one answers: tries, repeats, fails over.

use std::time::Duration;

use super::engine::Inner;
use super::errand::Errand;
use super::outcome::{Exhausted, another_may_take_it};
use super::retry::backoff;
use super::state::State;
use crate::config::routing::RetryConfig;
use crate::error::{Error, Kind, Tried};
use crate::model::{AttemptError, ModelHandle, Refusal};
use crate::provider::{Class, Failure};
use crate::routing::Plan;
use crate::types::{ModelName, Moment};

/// How long a 429 without Retry-After asks for; the breaker's gate assumes the same.
const UNSAID_PATIENCE: Duration = Duration::from_secs(1);
/// The breaker's gate is shut when its actor hears of the 429, a little after the attempt's end.
const GATE_SLACK: Duration = Duration::from_millis(20);

/// What the walk has cost so far; kept even when it fails.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Upstreams asked.
    pub(super) attempts: u32,
    /// Time in queues.
    pub(super) queue_wait: Duration,
    /// Time waiting for upstreams.
    pub(super) upstream: Duration,
}

/// What to do after an attempt failed.
enum Next {
    Again(Duration),
    Other,
    GiveUp,
}

impl Inner {
    /// Tries candidates in order.
    pub(super) async fn walk<E: Errand>(
        &self,
        (state, plan): (&State, &Plan),
        request: &E,
        walk: &mut Walk,
    ) -> Result<(ModelName, E::Answer), Error> {
        let mut exhausted = Exhausted::default();
        let mut previous: Option<(ModelName, &'static str)> = None;
        for (at, candidate) in plan.candidates.iter().enumerate() {
            if let Some(bar) = &candidate.barred {
                exhausted.barred(&candidate.model, bar);
                previous.get_or_insert_with(|| (candidate.model.clone(), "barred"));
                continue;
            }
            let Some(model) = state.models.get(&candidate.model) else {
                continue;
            };
            if let Some((from, reason)) = previous.take() {
                self.recorder
                    .metrics()
                    .failed_over(&from, model.name(), reason);
            }
            let rest = &plan.candidates[at + 1..];
            let last = rest.iter().all(|other| other.barred.is_some());
            match self
                .try_model(
                    model,
                    (request, last),
                    &state.config.retry,
                    (&mut *walk, &mut exhausted),
                )
                .await
            {
                Ok(attempted) => return Ok((model.name().clone(), attempted)),
                Err(Stop::Other(reason)) => previous = Some((model.name().clone(), reason)),
                Err(Stop::Deadline) => return Err(out_of_time(model.name(), exhausted)),
                Err(Stop::GiveUp) => return Err(exhausted.into_rejection()),
            }
        }
        Err(exhausted.into_error())
    }

    /// Tries one model, repeating where that may help.
    async fn try_model<E: Errand>(
        &self,
        model: &ModelHandle,
        (request, last): (&E, bool),
        retry: &RetryConfig,
        (walk, exhausted): (&mut Walk, &mut Exhausted),
    ) -> Result<E::Answer, Stop> {
        self.budget.lock().first_try(retry.budget);
        let mut failed = 0;
        loop {
            let number = walk.attempts + 1;
            let asked = Moment::now();
            let attempted = request.attempt(model, number).await;
            let took = Moment::now().since(asked);
            let failure = match attempted {
                Ok(attempted) => {
                    let timing = E::timing(&attempted);
                    walk.attempts = number;
                    walk.queue_wait += timing.queue_wait;
                    walk.upstream += timing.upstream;
                    return Ok(attempted);
                }
                Err(AttemptError::Refused(refusal)) => {
                    walk.queue_wait += took;
                    exhausted.refused(model.name(), &refusal);
                    return Err(Stop::Other(refusal_label(&refusal)));
                }
                Err(AttemptError::Deadline) => {
                    walk.upstream += took;
                    return Err(Stop::Deadline);
                }
                Err(AttemptError::Failed(failure)) => failure,
            };
            walk.attempts = number;
            walk.upstream += took;
            failed += 1;
            exhausted.failed(model.name(), &failure);
            match self.after(&failure, (failed, last), retry, request.deadline()) {
                Next::Again(wait) => tokio::time::sleep(wait).await,
                Next::Other => return Err(Stop::Other(class_label(&failure))),
                Next::GiveUp => return Err(Stop::GiveUp),
            }
        }
    }

    fn after(
        &self,
        failure: &Failure,
        (failed, last): (u32, bool),
        retry: &RetryConfig,
        deadline: Moment,
    ) -> Next {
        let now = Moment::now();
        let wait = match failure.class {
            Class::Caller if another_may_take_it(failure) => return Next::Other,
            Class::Caller => return Next::GiveUp,
            Class::Credential => return Next::Other,
            // patience is only worth it when there is nobody else to ask
            Class::Gate { .. } if !last => return Next::Other,
            Class::Gate { retry_after } => retry_after.unwrap_or(UNSAID_PATIENCE),
            Class::Hard => backoff(&retry.backoff, failed, self.roll()),
        };
        let worth_it = failed < retry.max_attempts
            && wait <= retry.backoff.max.get()
            && now + wait < deadline
            && self.budget.lock().take(now);
        if worth_it {
            self.recorder.metrics().retried();
            // our own gate opens a moment after the upstream's, for it was shut a moment later
            let gated = matches!(failure.class, Class::Gate { .. });
            Next::Again(if gated { wait + GATE_SLACK } else { wait })
        } else {
            Next::Other
        }
    }
}

/// Why the walk leaves a model.
enum Stop {
    Other(&'static str),
    Deadline,
    GiveUp,
}

fn out_of_time(model: &ModelName, exhausted: Exhausted) -> Error {
    let mut error = exhausted.into_error();
    error.tried.push(Tried {
        model: model.clone(),
        reason: "no answer in time".to_owned(),
    });
    let list: Vec<String> = error
        .tried
        .iter()
        .map(|tried| format!("{}: {}", tried.model, tried.reason))
        .collect();
    let message = format!("the request's time ran out ({})", list.join("; "));
    Error::new(Kind::DeadlineExceeded, message).with_tried(error.tried)
}

/// The metric label of a failure.
pub(super) const fn class_label(failure: &Failure) -> &'static str {
    match failure.class {
        Class::Hard if failure.timed_out => "timeout",
        Class::Hard => "failed",
        Class::Gate { .. } => "rate_limited",
        Class::Credential => "credential",
        Class::Caller => "rejected",
    }
}

const fn refusal_label(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Queue(_) => "queue",
        Refusal::Breaker(_) => "breaker",
        Refusal::Limited(_) => "limited",
    }
}
