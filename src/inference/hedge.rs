//! A second attempt beside a first one that dawdles: whichever says the first word answers, the other
//! is given up.
//!
//! The first attempt gets company when it has said nothing for longer than the route's percentile of
//! the model's own times, counted from the moment it was sent: nobody hedges against a queue. The
//! second goes to a model that has room, whose breaker is closed and that asks for no patience, and
//! only as often as the route's budget allows: a share of its requests, saved up by each of them.

use std::collections::HashMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::candidates::{Stop, Walk, Way};
use super::engine::Inner;
use super::outcome::Exhausted;
use crate::model::{Attempt, AttemptError, Attempted, ModelHandle, Sent};
use crate::types::{ChatRequest, ModelName, Moment, RouteName, Usage};

/// Most second attempts saved up by one route, so that a quiet hour pays for no burst.
const MAX_SAVED: f64 = 10.0;
/// Most routes with savings; a config has no more.
const MAX_ROUTES: usize = 1000;
/// A share summed up from parts may lack this much of one.
const ROUNDING: f64 = 1e-9;

/// What each route may still spend on second attempts.
#[derive(Debug, Default)]
pub(super) struct Hedges {
    saved: Mutex<HashMap<RouteName, f64>>,
}

impl Hedges {
    /// A request came: `share` of a second attempt is saved.
    fn save(&self, route: &RouteName, share: f64) {
        let mut saved = self.saved.lock();
        if let Some(known) = saved.get_mut(route) {
            *known = (*known + share).min(MAX_SAVED);
            return;
        }
        if saved.len() >= MAX_ROUTES {
            saved.clear(); // names of configs long gone
        }
        saved.insert(route.clone(), share);
    }

    /// Takes one second attempt, if there is one.
    fn take(&self, route: &RouteName) -> bool {
        let mut saved = self.saved.lock();
        match saved.get_mut(route) {
            Some(known) if *known >= 1.0 - ROUNDING => {
                *known = (*known - 1.0).max(0.0);
                true
            }
            Some(_) | None => false,
        }
    }
}

/// How an attempt ended.
type Outcome = Result<Attempted, AttemptError>;

/// An attempt under way.
struct Runner<'a> {
    model: &'a ModelHandle,
    sent: &'a Sent,
    running: BoxFuture<'a, Outcome>,
}

impl<'a> Runner<'a> {
    fn start(
        model: &'a ModelHandle,
        request: &'a ChatRequest,
        (number, sent): (u32, &'a Sent),
    ) -> Self {
        let attempt = Attempt {
            request,
            number,
            sent: Some(sent),
        };
        Runner {
            model,
            sent,
            running: model.attempt(attempt).boxed(),
        }
    }
}

/// Which of two was done first, and how.
enum Race {
    First(Outcome),
    Second(Outcome),
}

impl Inner {
    /// Makes one attempt, or two. An answer's times are in `walk`, and who was asked.
    pub(super) async fn ask(
        &self,
        model: &ModelHandle,
        way: &Way<'_>,
        (walk, exhausted): (&mut Walk, &mut Exhausted),
    ) -> Result<(ModelName, Attempted), AttemptError> {
        let (sent, second_sent) = (Sent::default(), Sent::default());
        let number = walk.attempts() + 1;
        let mut first = Runner::start(model, way.request, (number, &sent));
        let Some((route, patience)) = self.patience(model, way, number) else {
            return walk.answered(model.name(), first.running.await?);
        };
        let dawdles = async {
            let at = sent.wait().await;
            // a probe is let speak: given up each time, it would prove nothing
            if sent.is_probe() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Moment::now().until(at + patience)).await;
        };
        tokio::select! {
            biased;
            done = &mut first.running => return walk.answered(model.name(), done?),
            () = dawdles => {}
        }
        let Some(other) = self.company(model, way, route) else {
            return walk.answered(model.name(), first.running.await?);
        };
        tracing::debug!(first = %model.name(), second = %other.name(), ?patience, "hedged");
        let mut second = Runner::start(other, way.request, (number + 1, &second_sent));
        let race = tokio::select! {
            biased;
            done = &mut first.running => Race::First(done),
            done = &mut second.running => Race::Second(done),
        };
        self.settle(race, (first, second), way, (walk, exhausted))
            .await
    }

    /// The first word is spoken, or one of the two has failed: then it is the other's turn.
    async fn settle(
        &self,
        race: Race,
        (first, second): (Runner<'_>, Runner<'_>),
        way: &Way<'_>,
        (walk, exhausted): (&mut Walk, &mut Exhausted),
    ) -> Result<(ModelName, Attempted), AttemptError> {
        let (name, other) = (first.model.name(), second.model.name());
        let told = |outcome| self.recorder.metrics().hedged(other, outcome);
        match race {
            Race::First(Ok(attempted)) => {
                told("lost");
                walk.given_up(&second, way);
                walk.answered(name, attempted)
            }
            Race::First(Err(AttemptError::Failed(failure))) => match second.running.await {
                Ok(attempted) => {
                    told("won");
                    exhausted.failed(name, &failure);
                    walk.asked.count(name);
                    walk.answered(other, attempted)
                }
                Err(error) => {
                    told("failed");
                    walk.failed_beside((other, second.sent), error, exhausted);
                    Err(AttemptError::Failed(failure))
                }
            },
            Race::First(Err(error)) => {
                told("lost");
                walk.given_up(&second, way);
                Err(error)
            }
            Race::Second(Ok(attempted)) => {
                told("won");
                let waited = first.sent.at().map(|at| Moment::now().since(at));
                if let Some(waited) = waited {
                    // what it would have taken is not known, only that it was more than this
                    let mut waits = first.model.shared.waits.lock();
                    waits.note(way.request.stream, waited);
                }
                walk.given_up(&first, way);
                walk.upstream += waited.unwrap_or_default();
                walk.upstream -= attempted.timing().upstream.min(walk.upstream);
                walk.answered(other, attempted)
            }
            Race::Second(Err(error)) => {
                told("failed");
                walk.failed_beside((other, second.sent), error, exhausted);
                walk.answered(name, first.running.await?)
            }
        }
    }

    /// How long the first attempt of a request may say nothing before it gets company.
    fn patience<'a>(
        &self,
        model: &ModelHandle,
        way: &Way<'a>,
        number: u32,
    ) -> Option<(&'a RouteName, Duration)> {
        let hedge = way.plan.resilience.hedge?;
        let route = way.plan.route.as_ref()?;
        if number != 1 {
            return None;
        }
        self.hedges.save(route, hedge.budget);
        if !model.is_sound(Moment::now()) {
            return None;
        }
        let waits = model.shared.waits.lock();
        let patience = waits.percentile(way.request.stream, hedge.percentile)?;
        Some((route, patience))
    }

    /// Who is asked beside `model`: the next candidate with room, else itself.
    fn company<'a>(
        &self,
        model: &'a ModelHandle,
        way: &Way<'a>,
        route: &RouteName,
    ) -> Option<&'a ModelHandle> {
        let now = Moment::now();
        let rest = way.plan.candidates.iter().skip(way.at + 1);
        let others = rest
            .filter(|one| one.barred.is_none())
            .filter_map(|one| way.state.models.get(&one.model));
        let other = others.chain([model]).find(|one| one.has_room(now))?;
        if !self.hedges.take(route) {
            self.recorder.metrics().hedged(other.name(), "budget");
            return None;
        }
        Some(other)
    }
}

impl Walk {
    /// An attempt that lost: if it was asked at all, its prompt is paid for.
    fn given_up(&mut self, lost: &Runner<'_>, way: &Way<'_>) {
        if lost.sent.at().is_none() {
            return;
        }
        self.asked.count(lost.model.name());
        let price = way.state.table.model(lost.model.name());
        let prompt = Usage::new(way.request.features.prompt_tokens, 0);
        if let Some(price) = price.and_then(|facts| facts.price) {
            self.aside_usd += price.cost_usd(prompt);
        }
    }

    /// The second attempt failed while the first still ran, or had failed.
    fn failed_beside(
        &mut self,
        (model, sent): (&ModelName, &Sent),
        error: AttemptError,
        exhausted: &mut Exhausted,
    ) {
        if sent.at().is_some() {
            self.asked.count(model);
        }
        match error {
            AttemptError::Failed(failure) => {
                exhausted.failed(model, &failure);
                let done = Stop::after(&failure).map(|why| (model.clone(), why));
                self.beside.extend(done);
            }
            AttemptError::Refused(refusal) => exhausted.refused(model, &refusal),
            AttemptError::Deadline => {}
        }
    }
}

#[cfg(test)]
mod tests;
