//! Asks another model what the callers of a route ask (`shadow: { model, fraction }`), to learn how
//! it would do: nobody gets its answers, which are dropped once they are counted.
//!
//! It waits for nobody and nobody waits for it: at most [`MOST`] at once and further ones are dropped
//! and counted; low priority; one try, and only where the model has room, its breaker is closed and
//! half of its budgets per minute is left. That it fails is kept from the breaker, which is its
//! callers'.
//! What the cache answers is not asked. The record of each has the door `shadow` and the path
//! `mirror`, and its cost is no caller's. Checks of the cache's own hits are another thing: `shadow`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use super::engine::Inner;
use super::state::State;
use crate::error::Kind;
use crate::model::{Attempt, AttemptError, Attempted, ModelHandle};
use crate::routing::Plan;
use crate::telemetry::{RequestRecord, spans};
use crate::types::{CacheMode, ChatRequest, Moment, Priority, RequestId, RouteName, TenantId};

/// Most under way on one node.
pub(crate) const MOST: usize = 16;
/// Waited before one begins, so that the caller's own request is out first.
const HEAD_START: Duration = Duration::from_millis(50);
/// Longest an answer may take.
const WITHIN: Duration = Duration::from_secs(120);
/// Who pays.
const PAYER: &str = "shadow";

/// Those under way.
#[derive(Debug)]
pub(super) struct Mirrors {
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Default for Mirrors {
    fn default() -> Self {
        Mirrors {
            permits: Arc::new(Semaphore::new(MOST)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }
}

impl Mirrors {
    /// Gives up what is under way.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// One request to be asked of another model.
struct Mirrored {
    request: ChatRequest,
    model: ModelHandle,
    state: Arc<State>,
    route: Option<RouteName>,
    _place: OwnedSemaphorePermit,
}

impl Inner {
    /// Asks the route's other model in the background, if it has one and the dice say so. Returns at
    /// once.
    pub(super) fn mirror_later(
        self: &Arc<Self>,
        request: &ChatRequest,
        (state, plan): (&Arc<State>, &Plan),
    ) {
        let Some(shadow) = &plan.resilience.shadow else {
            return;
        };
        if shadow.fraction <= 0.0 || self.roll() >= shadow.fraction {
            return;
        }
        let (metrics, route) = (self.recorder.metrics(), plan.route.as_ref());
        let Some(model) = state.models.get(&shadow.model) else {
            return metrics.mirrored(&shadow.model, route, "saturated");
        };
        if !can_take(model, request, state) {
            return metrics.mirrored(model.name(), route, "unfit");
        }
        let Ok(place) = Arc::clone(&self.mirrors.permits).try_acquire_owned() else {
            return metrics.mirrored(model.name(), route, "dropped");
        };
        let mirrored = Mirrored {
            request: apart(request),
            model: model.clone(),
            state: Arc::clone(state),
            route: plan.route.clone(),
            _place: place,
        };
        let (inner, stop) = (Arc::clone(self), self.mirrors.stop.clone());
        self.mirrors.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = Box::pin(inner.mirror(mirrored)) => {}
            }
        });
    }

    async fn mirror(&self, mirrored: Mirrored) {
        tokio::time::sleep(HEAD_START).await;
        let (model, route) = (&mirrored.model, mirrored.route.as_ref());
        let metrics = self.recorder.metrics();
        let began = Moment::now();
        if !model.has_room(began) {
            return metrics.mirrored(model.name(), route, "saturated");
        }
        let span = spans::request(&mirrored.request);
        let attempt = Attempt {
            request: &mirrored.request,
            number: 1,
            sent: None,
        };
        let attempted = model.attempt_aside(attempt).instrument(span.clone()).await;
        let outcome = match &attempted {
            Ok(_) => "ok",
            Err(AttemptError::Refused(_)) => "saturated",
            Err(AttemptError::Failed(_) | AttemptError::Deadline) => "failed",
        };
        metrics.mirrored(model.name(), route, outcome);
        if outcome != "saturated" {
            self.book(&mirrored, (began, attempted.ok()), &span);
        }
    }

    fn book(&self, mirrored: &Mirrored, (began, answer): (Moment, Option<Attempted>), span: &Span) {
        let request = &mirrored.request;
        let mut record = RequestRecord::new(request.id.clone(), "shadow", "mirror");
        record.tenant = request.tenant.clone();
        record.asked = Arc::clone(&request.model);
        record.priority = request.priority;
        record.route.clone_from(&mirrored.route);
        record.model = Some(mirrored.model.name().clone());
        record.attempts = 1;
        record.total = Moment::now().since(began);
        record.outcome = Err(Kind::UpstreamFailed);
        if let Some(Attempted::Whole(whole, timing)) = answer {
            record.outcome = Ok(());
            record.status = 200;
            record.upstream = timing.upstream;
            record.queue_wait = timing.queue_wait;
            record.usage = whole.tap.usage;
            let facts = mirrored.state.table.model(mirrored.model.name());
            let price = facts.and_then(|facts| facts.price);
            let used = price.zip(whole.tap.usage);
            record.cost_usd = used.map(|(price, usage)| price.cost_usd(usage));
        }
        self.recorder.mirror_ended(&record, span);
    }
}

/// The model could answer this at all.
fn can_take(model: &ModelHandle, request: &ChatRequest, state: &State) -> bool {
    let untold = model.spec.provider.uncarried(&request.body);
    let unfit = state.table.unfit(model.name(), &request.features);
    unfit.is_none() && untold.iter().all(|part| !part.essential)
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
