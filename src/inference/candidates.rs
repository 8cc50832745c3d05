//! Walks the candidates of a plan until one answers: tries, repeats, fails over.

use std::time::Duration;

use tracing::Instrument as _;

use super::engine::Inner;
use super::errand::Errand;
use super::outcome::{Exhausted, Windows, another_may_take_it, is_too_long};
use super::retry::backoff;
use super::state::State;
use crate::breaker::GATE_SPREAD;
use crate::config::routing::RetryConfig;
use crate::error::{Error, Kind, Tried};
use crate::model::{AttemptError, Attempted, ModelHandle, Refusal, Timing};
use crate::provider::{Class, Failure};
use crate::routing::Plan;
use crate::telemetry::spans;
use crate::types::{ChatRequest, ModelName, Moment};

/// How long a 429 without Retry-After asks for; the breaker's gate assumes the same.
const UNSAID_PATIENCE: Duration = Duration::from_secs(1);

/// Most times one model is asked for one request while it asks for patience or is unavailable,
/// whatever `retry.max_attempts` allows: more is hammering.
const MOST_TRIES: u32 = 3;

/// Who was asked for one request, and how often.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Vec<(ModelName, u32)>);

impl Asked {
    /// One more time.
    pub(super) fn count(&mut self, model: &ModelName) {
        match self.0.iter_mut().find(|(known, _)| known == model) {
            Some((_, times)) => *times += 1,
            None => self.0.push((model.clone(), 1)),
        }
    }

    /// How often this one was.
    pub(super) fn times(&self, model: &ModelName) -> u32 {
        let known = self.0.iter().find(|(known, _)| known == model);
        known.map_or(0, |(_, times)| *times)
    }

    /// How often all of them were.
    pub(super) fn total(&self) -> u32 {
        self.0.iter().map(|(_, times)| times).sum()
    }

    /// Asking it once more is not hammering.
    pub(super) fn may_again(&self, model: &ModelName) -> bool {
        self.times(model) < MOST_TRIES
    }
}

/// What the walk has cost so far; kept even when it fails.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Upstreams asked.
    pub(super) asked: Asked,
    /// Time in queues.
    pub(super) queue_wait: Duration,
    /// Time waiting for upstreams.
    pub(super) upstream: Duration,
    /// What attempts that were given up cost, in US dollars.
    pub(super) aside_usd: f64,
    /// Models that were asked beside another one and failed so that they need not be asked again.
    pub(super) beside: Vec<(ModelName, Stop)>,
}

impl Walk {
    /// Attempts made.
    pub(super) fn attempts(&self) -> u32 {
        self.asked.total()
    }

    /// It was asked beside another one and failed in a way that asking it again does not mend.
    fn is_done_with(&self, model: &ModelName) -> Option<Stop> {
        let known = self.beside.iter().find(|(known, _)| known == model);
        known.map(|(_, why)| *why)
    }

    /// The request itself was refused by one who was asked beside another.
    fn is_refused(&self) -> bool {
        self.beside.iter().any(|(_, why)| *why == Stop::GiveUp)
    }

    /// This attempt at this model answers.
    pub(super) fn answered<E>(
        &mut self,
        model: &ModelName,
        attempted: Attempted,
    ) -> Result<(ModelName, Attempted), E> {
        self.came(model, attempted.timing());
        Ok((model.clone(), attempted))
    }

    /// This model has done what it was asked.
    pub(super) fn came(&mut self, model: &ModelName, timing: Timing) {
        self.queue_wait += timing.queue_wait;
        self.upstream += timing.upstream;
        self.asked.count(model);
    }
}

/// The plan's candidate being tried.
pub(super) struct Way<'a, E: ?Sized = ChatRequest> {
    pub(super) state: &'a State,
    pub(super) plan: &'a Plan,
    /// Its place in the plan.
    pub(super) at: usize,
    pub(super) request: &'a E,
    /// Nobody after it may be asked.
    last: bool,
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
        let mut windows = Windows::default();
        let window_of = |model: &ModelName| state.table.model(model)?.context_window;
        let most = state.config.retry.max_attempts;
        for (at, candidate) in plan.candidates.iter().enumerate() {
            let asked = walk.asked.times(&candidate.model) >= most;
            let spent = walk
                .is_done_with(&candidate.model)
                .or(asked.then_some(SPENT));
            if let Some(why) = spent {
                previous = Some((candidate.model.clone(), why.label()));
                continue;
            }
            let window = window_of(&candidate.model);
            let bar = windows.bar(window);
            if let Some(bar) = candidate.barred.as_ref().or(bar.as_ref()) {
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
            let way = Way {
                state,
                plan,
                at,
                request,
                last,
            };
            let books = (&mut *walk, &mut exhausted);
            let stop = match self.try_model(model, &way, books).await {
                Ok(answering) => return Ok(answering),
                Err(Stop::Deadline) => return Err(out_of_time(model.name(), exhausted)),
                Err(Stop::GiveUp) => return Err(exhausted.into_rejection()),
                Err(stop @ (Stop::TooLong | Stop::Other(_))) => stop,
            };
            if stop == Stop::TooLong {
                windows.refused(model.name(), window);
            }
            for (other, why) in &walk.beside {
                if *why == Stop::TooLong {
                    windows.refused(other, window_of(other));
                }
            }
            previous = Some((model.name().clone(), stop.label()));
        }
        Err(exhausted.into_error())
    }

    /// Tries one model, repeating where that may help.
    async fn try_model<E: Errand>(
        &self,
        model: &ModelHandle,
        way: &Way<'_, E>,
        (walk, exhausted): (&mut Walk, &mut Exhausted),
    ) -> Result<(ModelName, E::Answer), Stop> {
        let retry = &way.state.config.retry;
        self.budget.lock().first_try(retry.budget);
        loop {
            let asked = Moment::now();
            let attempted = E::ask(self, model, way, (&mut *walk, &mut *exhausted)).await;
            let took = Moment::now().since(asked);
            let failure = match attempted {
                Ok(answering) => return Ok(answering),
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
            walk.asked.count(model.name());
            walk.upstream += took;
            exhausted.failed(model.name(), &failure);
            if walk.is_refused() {
                return Err(Stop::GiveUp);
            }
            let failed = walk.asked.times(model.name());
            let deadline = way.request.deadline();
            let patient = way.last && matches!(failure.class, Class::Gate { .. });
            let gated = if patient {
                model.kept_away().await
            } else {
                None
            };
            let ours = gated.unwrap_or_default();
            match self.after(&failure, (failed, way.last), (retry, ours), deadline) {
                Next::Again(wait) => {
                    let waiting = spans::retry_wait(model.name(), failed);
                    tokio::time::sleep(wait).instrument(waiting).await;
                }
                Next::Other if is_too_long(&failure) => return Err(Stop::TooLong),
                Next::Other => return Err(Stop::Other(class_label(&failure))),
                Next::GiveUp => return Err(Stop::GiveUp),
            }
        }
    }

    /// `gate`: how long our own breaker keeps everybody away now.
    fn after(
        &self,
        failure: &Failure,
        (failed, last): (u32, bool),
        (retry, gate): (&RetryConfig, Duration),
        deadline: Moment,
    ) -> Next {
        let now = Moment::now();
        let wait = match failure.class {
            Class::Caller if another_may_take_it(failure) => return Next::Other,
            Class::Caller => return Next::GiveUp,
            Class::Credential => return Next::Other,
            // what was waited for in vain is not waited for again
            Class::Hard if failure.timed_out => return Next::Other,
            // patience is only worth it when there is nobody else to ask
            Class::Gate { .. } if !last => return Next::Other,
            Class::Gate { retry_after } => retry_after.unwrap_or(UNSAID_PATIENCE),
            Class::Hard => backoff(&retry.backoff, failed, self.roll()),
        };
        let patient = matches!(failure.class, Class::Gate { .. }) || failure.status == Some(503);
        let most = if patient { MOST_TRIES } else { u32::MAX };
        // our own gate opens after the upstream's: nodes of a cluster come back spread
        let (most_wait, opens) = (retry.backoff.max.get(), gate.max(wait));
        let worth_it = failed < retry.max_attempts.min(most)
            && wait <= most_wait
            && opens <= most_wait.saturating_add(GATE_SPREAD)
            && now + opens < deadline
            && self.budget.lock().take(now);
        if worth_it {
            self.recorder.metrics().retried();
            Next::Again(opens)
        } else {
            Next::Other
        }
    }
}

/// Why the walk leaves a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Other(&'static str),
    /// The request is longer than the model takes.
    TooLong,
    Deadline,
    GiveUp,
}

/// As often as it may be.
const SPENT: Stop = Stop::Other("failed");

impl Stop {
    /// Why a model that failed like this is not asked the same again, whatever the retry rules say.
    pub(super) fn after(failure: &Failure) -> Option<Self> {
        match failure.class {
            Class::Caller if is_too_long(failure) => Some(Stop::TooLong),
            Class::Caller if !another_may_take_it(failure) => Some(Stop::GiveUp),
            Class::Hard if !failure.timed_out => None,
            Class::Hard | Class::Gate { .. } | Class::Credential | Class::Caller => {
                Some(Stop::Other(class_label(failure)))
            }
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Stop::Other(label) => label,
            Stop::TooLong => "context_length",
            Stop::Deadline => "timeout",
            Stop::GiveUp => "rejected",
        }
    }
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

#[cfg(test)]
mod tests;
