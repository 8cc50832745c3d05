//! One record per request, written exactly once however it ends.
//!
//! The account is opened at the door and closed by the answer's last byte. Dropped before that,
//! the client went away, and that is what is recorded.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::Revision;
use tracing::Span;

use super::candidates::Walk;
use super::engine::{Inner, Source};
use super::recovery::Recovered;
use super::reply::{CacheStatus, ReplyMeta};
use super::state::State;
use crate::api::status;
use crate::cache::{Attached, EntryId, Explained, Hit, Tier};
use crate::error::Error;
use crate::ledger::Tariff;
use crate::routing::Plan;
use crate::telemetry::{InFlight, RequestRecord, spans};
use crate::types::{ChatRequest, EmbedRequest, ModelName, Moment, RequestId, RouteName, Usage};

/// A request being accounted for.
#[derive(Debug)]
pub(super) struct Account {
    inner: Arc<Inner>,
    record: RequestRecord,
    arrived: Moment,
    span: Span,
    price: Option<Tariff>,
    /// What attempts used whose streams another one carried on, and what that cost.
    earlier: (Usage, Option<f64>),
    /// What attempts cost that were given up for a faster one.
    aside_usd: f64,
    /// Nobody counted the answer: what it used is a guess.
    estimated: bool,
    /// Parameters the model was asked without.
    dropped: Vec<Cow<'static, str>>,
    revision: Revision,
    /// The entry that answers, and its age.
    found: Option<(EntryId, Duration)>,
    explained: Option<Explained>,
    /// The client's part is over, and the record says how.
    settled: bool,
    _running: Option<InFlight>,
}

impl Account {
    pub(super) fn open(inner: &Arc<Inner>, source: Source, request: &ChatRequest) -> Self {
        let mut record = RequestRecord::new(request.id.clone(), source.door, source.path);
        record.tenant = request.tenant.clone();
        record.asked = Arc::clone(&request.model);
        record.priority = request.priority;
        record.stream = request.stream;
        let mut account = Account::of(inner, source, (record, spans::request(request)));
        account._running = Some(inner.recorder.enter());
        account
    }

    /// The same for a request for vectors.
    pub(super) fn of_vectors(inner: &Arc<Inner>, source: Source, request: &EmbedRequest) -> Self {
        let mut record = RequestRecord::new(request.id.clone(), source.door, source.path);
        record.tenant = request.tenant.clone();
        record.asked = Arc::clone(&request.model);
        record.priority = request.priority;
        let mut account = Account::of(inner, source, (record, spans::embeddings(request)));
        account._running = Some(inner.recorder.enter());
        account.dropped.clone_from(&request.left_out);
        account
    }

    fn of(inner: &Arc<Inner>, source: Source, (record, span): (RequestRecord, Span)) -> Self {
        Account {
            inner: Arc::clone(inner),
            span,
            record,
            arrived: source.arrived,
            price: None,
            earlier: (Usage::default(), None),
            aside_usd: 0.0,
            dropped: Vec::new(),
            estimated: false,
            revision: Revision(0),
            found: None,
            explained: None,
            settled: false,
            _running: None,
        }
    }

    /// Records a request that a door refused before it became one.
    pub(super) fn refused(
        inner: &Arc<Inner>,
        source: Source,
        id: Option<&RequestId>,
        error: &Error,
    ) {
        let id = id.cloned().unwrap_or_else(RequestId::generate);
        let record = RequestRecord::new(id, source.door, source.path);
        let account = Account::of(inner, source, (record, Span::none()));
        account.failed(error);
    }

    /// The request's span.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn routed(&mut self, revision: Revision, route: Option<RouteName>) {
        self.revision = revision;
        self.record.route = route;
    }

    pub(super) fn looked_up(&mut self, status: CacheStatus, explained: Explained) {
        self.record.cache = status;
        self.explained = Some(explained);
    }

    pub(super) fn hit(&mut self, hit: &Hit) {
        self.record.cache = match hit.tier {
            Tier::Exact => CacheStatus::Exact,
            Tier::Semantic => CacheStatus::Semantic,
        };
        self.record.similarity = hit.similarity;
        self.record.model = Some(hit.answer.model.clone());
        self.record.usage = Some(hit.answer.usage);
        self.record.cost_usd = Some(0.0);
        self.found = Some((hit.entry, hit.age));
        self.explained = Some(hit.explained);
    }

    /// Another request's answer is relayed: a hit that costs nothing, whatever it says it used.
    pub(super) fn attached(&mut self, attached: &Attached) {
        self.record.cache = CacheStatus::Exact;
        self.record.model = Some(attached.model().clone());
        self.record.cost_usd = Some(0.0);
        self.found = Some((attached.entry(), Duration::ZERO));
        self.explained = Some(attached.explained());
    }

    /// Token counts of a relayed answer: somebody else pays for them.
    pub(super) fn told(&mut self, usage: Usage) {
        self.record.usage = Some(usage);
    }

    /// The cache's part so far.
    pub(super) fn cache(&self) -> (CacheStatus, Option<f32>) {
        (self.record.cache, self.record.similarity)
    }

    pub(super) fn walked(&mut self, walk: &Walk) {
        self.record.attempts = walk.attempts();
        self.aside_usd = walk.aside_usd;
        if walk.aside_usd > 0.0 {
            self.record.cost_usd = Some(walk.aside_usd);
        }
        self.record.queue_wait = walk.queue_wait;
        self.record.upstream = walk.upstream;
    }

    /// A model of the plan answers.
    pub(super) fn answering(&mut self, model: &ModelName, (state, plan): (&State, &Plan)) {
        self.record.model = Some(model.clone());
        self.price = state.table.model(model).and_then(|facts| facts.price);
        self.dropped.extend_from_slice(plan.dropped(model));
    }

    /// A model that is in no plan answers: the node's own.
    pub(super) fn answering_itself(&mut self, model: ModelName) {
        self.record.model = Some(model);
    }

    /// Another attempt carries the answer on: from now on its model's price counts, besides what
    /// was used until now.
    pub(super) fn recovered(&mut self, recovered: &Recovered, state: &State) {
        let price = |model| state.table.model(model).and_then(|facts| facts.price);
        for (model, usage) in &recovered.spent {
            let (used, cost) = self.earlier;
            let more = price(model).map(|price| price.cost_usd(*usage));
            self.earlier = (used.plus(*usage), sum(cost, more));
        }
        self.price = price(&recovered.to);
        self.record.attempts += recovered.attempts;
        self.record.recovered = Some(recovered.to.clone());
        self.used(self.earlier.0);
    }

    /// Token counts of all attempts at the answer have become known. Returns the cost.
    pub(super) fn used(&mut self, usage: Usage) -> Option<f64> {
        self.record.usage = Some(usage);
        let (earlier, cost) = self.earlier;
        let own = self.price.map(|price| price.cost_usd(usage.less(earlier)));
        let aside = (self.aside_usd > 0.0).then_some(self.aside_usd);
        self.record.cost_usd = sum(sum(own, cost), aside);
        self.record.cost_usd
    }

    /// As [`Account::used`], of an answer that its upstream has not counted.
    pub(super) fn estimated(&mut self, usage: Usage) -> Option<f64> {
        self.estimated = true;
        self.used(usage)
    }

    /// Time the upstream took after its first delta.
    pub(super) fn streamed_for(&mut self, time: Duration) {
        self.record.upstream += time;
    }

    /// What the reply's headers say.
    pub(super) fn meta(&mut self) -> ReplyMeta {
        let elapsed = Moment::now().since(self.arrived);
        self.record.first_byte = Some(elapsed);
        ReplyMeta {
            id: self.record.id.clone(),
            revision: self.revision,
            route: self.record.route.clone(),
            model: self.record.model.clone().unwrap_or_else(|| "".into()),
            attempts: self.record.attempts,
            dropped: self.dropped.clone(),
            cache: self.record.cache,
            similarity: self.record.similarity,
            entry: self.found.map(|(entry, _)| entry),
            age: self.found.map(|(_, age)| age),
            explained: self.explained,
            elapsed,
            cost_usd: self.record.cost_usd,
            estimated: self.estimated,
        }
    }

    /// The last byte of the answer has been handed over.
    pub(super) fn answered(mut self) {
        self.settle(Ok(()));
    }

    /// The request ended in an error.
    pub(super) fn failed(mut self, error: &Error) {
        self.settle(Err(error));
    }

    /// How it ended for the client, and when; what it cost may still become known until the account
    /// is dropped.
    /// Only the first word counts.
    pub(super) fn settle(&mut self, outcome: Result<(), &Error>) {
        if self.settled {
            return;
        }
        self.record.outcome = outcome.map_err(|error| error.kind);
        self.record.status = outcome.map_or_else(status_of, |()| 200);
        self.client_left();
    }

    /// The client is gone, served or not. Its time ends here.
    pub(super) fn client_left(&mut self) {
        if !self.settled {
            self.settled = true;
            self.record.total = Moment::now().since(self.arrived);
        }
    }
}

/// What is known of two costs.
fn sum(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    }
}

/// The HTTP status of an error, an upstream's own if it is passed on.
fn status_of(error: &Error) -> u16 {
    let passed_on = error.rejection.as_ref().map(|rejection| rejection.status);
    passed_on.unwrap_or(status::of(error.kind).http)
}

impl Drop for Account {
    fn drop(&mut self) {
        self.client_left();
        self.inner.recorder.finish(&self.record, &self.span);
    }
}
