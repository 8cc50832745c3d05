//! Checks a share of the semantic hits: once the caller was answered, the question is asked
//! upstream as if there were no cache, and the fresh answer is compared with the one served.
//!
//! It waits for nobody and nobody waits for it: at most [`MOST`] at once and further ones are
//! dropped and counted; low priority; one try at one model, and only where that model has room and
//! its breaker is closed. What it costs is counted apart, as `shadow`, never for the caller.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::engine::Inner;
use super::state::State;
use crate::cache::{Hit, Pair, StoredAnswer, Verdict};
use crate::config::routing::CacheConfig;
use crate::error::Kind;
use crate::model::{Attempt, Attempted, ModelHandle};
use crate::telemetry::{RequestRecord, spans};
use crate::types::{
    CacheMode, ChatRequest, Completion, Finish, Moment, Priority, RequestId, RouteName, TenantId,
};

/// Most checks under way on one node.
pub(crate) const MOST: usize = 4;
/// Waited before a check begins, so that the caller's bytes are out first.
const HEAD_START: Duration = Duration::from_millis(50);
/// Longest a fresh answer may take.
const WITHIN: Duration = Duration::from_secs(60);
/// Who pays for checks.
const PAYER: &str = "shadow";

/// Checks under way.
#[derive(Debug)]
pub(super) struct Shadows {
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Default for Shadows {
    fn default() -> Self {
        Shadows {
            permits: Arc::new(Semaphore::new(MOST)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }
}

impl Shadows {
    /// Gives up what is under way.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Under which rules a hit was served.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) state: Arc<State>,
    pub(super) route: Option<RouteName>,
    pub(super) cache: CacheConfig,
}

/// One check.
struct Check {
    /// As the caller asked.
    asked: ChatRequest,
    /// As it is asked again.
    request: ChatRequest,
    rules: Rules,
    pair: Pair,
    served: Arc<StoredAnswer>,
    _place: OwnedSemaphorePermit,
}

/// How a check ended without a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skipped {
    /// No model had room, or none may be asked.
    Saturated,
    /// The model did not answer.
    Failed,
}

impl Inner {
    /// Checks a hit in the background, if the dice say so. Returns at once.
    pub(super) fn check_later(self: &Arc<Self>, request: &ChatRequest, hit: &Hit, rules: Rules) {
        let Some(pair) = hit.pair else { return };
        let share = self.cache.shadow_share(rules.route.as_ref(), &rules.cache);
        if share <= 0.0 || self.roll() >= share {
            return;
        }
        let Ok(place) = Arc::clone(&self.shadows.permits).try_acquire_owned() else {
            let metrics = self.recorder.metrics();
            metrics.shadow_called(rules.route.as_ref(), "dropped");
            return;
        };
        let check = Check {
            request: apart(request),
            asked: request.clone(),
            rules,
            pair,
            served: Arc::clone(&hit.answer),
            _place: place,
        };
        let (inner, stop) = (Arc::clone(self), self.shadows.stop.clone());
        self.shadows.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = inner.check(check) => {}
            }
        });
    }

    async fn check(&self, check: Check) {
        tokio::time::sleep(HEAD_START).await;
        let span = spans::request(&check.request);
        let model = self.candidate(&check.asked, &check.rules.state);
        let fresh = self
            .ask_afresh(&check.request, &check.rules, model)
            .instrument(span)
            .await;
        let (route, metrics) = (check.rules.route.as_ref(), self.recorder.metrics());
        let fresh = match fresh {
            Ok(fresh) => fresh,
            Err(Skipped::Saturated) => return metrics.shadow_called(route, "saturated"),
            Err(Skipped::Failed) => return metrics.shadow_called(route, "failed"),
        };
        let verdict = self.compare(&check, &fresh).await;
        metrics.shadow_called(route, verdict.as_str());
        let under = (route, &check.rules.cache);
        if let Err(error) = self.cache.judged(&check.pair, verdict, under).await {
            tracing::warn!(%error, "a wrong answer was not withdrawn everywhere");
        }
    }

    async fn compare(&self, check: &Check, fresh: &Completion) -> Verdict {
        let whole = fresh.tap.finish == Some(Finish::Stop) && !fresh.tap.beyond_text;
        if !whole {
            return Verdict::Unsure;
        }
        let answers = (check.served.text.as_str(), fresh.tap.text.as_str());
        match check.rules.cache.judge.model {
            None => self.cache.judge(answers.0, answers.1).await,
            Some(model) => {
                let request = &check.request;
                let Some(asked) = super::opinion::asking(model.as_str(), request, answers) else {
                    return Verdict::Unsure;
                };
                let model = check.rules.state.models.get(model.as_str());
                let said = self.ask_afresh(&asked, &check.rules, model).await;
                said.map_or(Verdict::Unsure, |said| {
                    super::opinion::verdict(&said.tap.text)
                })
            }
        }
    }

    /// One try at a model with room, and its place in the books.
    async fn ask_afresh(
        &self,
        request: &ChatRequest,
        rules: &Rules,
        model: Option<&ModelHandle>,
    ) -> Result<Completion, Skipped> {
        let began = Moment::now();
        let model = model.filter(|model| model.has_room(began));
        let model = model.ok_or(Skipped::Saturated)?;
        let attempted = Box::pin(model.attempt(Attempt {
            request,
            number: 1,
            sent: None,
        }))
        .await;
        let mut record = RequestRecord::new(request.id.clone(), "shadow", "cache");
        record.tenant = request.tenant.clone();
        record.asked = Arc::clone(&request.model);
        record.priority = request.priority;
        record.route.clone_from(&rules.route);
        record.model = Some(model.name().clone());
        record.attempts = 1;
        record.total = Moment::now().since(began);
        record.outcome = Err(Kind::UpstreamFailed);
        let answer = match attempted {
            Ok(Attempted::Whole(whole, timing)) => {
                record.outcome = Ok(());
                record.status = 200;
                record.upstream = timing.upstream;
                record.queue_wait = timing.queue_wait;
                record.usage = whole.tap.usage;
                let price = rules.state.table.model(model.name());
                let price = price.and_then(|facts| facts.price);
                record.cost_usd = price
                    .zip(whole.tap.usage)
                    .map(|(price, usage)| price.cost_usd(usage));
                Ok(whole)
            }
            // a stream was not asked for
            Ok(Attempted::Stream(..)) | Err(_) => Err(Skipped::Failed),
        };
        self.recorder
            .shadow_ended(&record, &tracing::Span::current());
        answer
    }

    /// The first model of the caller's own plan that may be asked.
    fn candidate<'a>(&self, asked: &ChatRequest, state: &'a State) -> Option<&'a ModelHandle> {
        let plan = self.plan(state, asked).ok()?;
        let open = plan.candidates.iter().find(|one| one.barred.is_none())?;
        state.models.get(&open.model)
    }
}

/// The same question as a request of its own: nobody's, of low priority, past the cache.
fn apart(request: &ChatRequest) -> ChatRequest {
    ChatRequest {
        id: RequestId::generate(),
        tenant: TenantId::from(PAYER),
        priority: Priority::Low,
        cache: CacheMode::Off,
        deadline: Moment::now() + HEAD_START + WITHIN,
        stream: false,
        include_usage: false,
        ..request.clone()
    }
}

#[cfg(test)]
mod tests;
