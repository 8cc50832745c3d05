//! One request from beginning to end.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use parking_lot::Mutex;
use tracing::Instrument;

use super::account::Account;
use super::candidates::{Asked, Walk};
use super::delivery::Delivery;
use super::engine::{Inner, facts};
use super::leading::Leading;
use super::reading::{Books, Reading, Seat};
use super::recovery::{Begun, Carrier, estimated};
use super::reply::{CacheStatus, Reply, ReplyBody, ReplyStream, StreamEnd};
use super::shadow::Rules;
use super::state::State;
use crate::cache::{Attached, Candidate, Explained, Hit, Lookup, Ticket, TierState};
use crate::config::routing::CacheConfig;
use crate::error::Error;
use crate::model::Attempted;
use crate::routing::Plan;
use crate::telemetry::spans;
use crate::types::{ChatRequest, Completion, ModelName, Moment, RouteName, Tap};

/// A lookup longer than this (it may wait for an identical request) makes the plan stale.
const PLAN_STAYS_FRESH: Duration = Duration::from_millis(5);

impl Inner {
    /// Plan, look up, walk, deliver.
    pub(super) async fn tell(
        self: &Arc<Self>,
        request: ChatRequest,
        mut account: Account,
    ) -> Result<Reply, Error> {
        let span = account.span().clone();
        let told = self
            .tell_inside(&request, &mut account)
            .instrument(span)
            .await;
        match told {
            Ok(Told::Hit(served)) => {
                let (hit, rules) = *served;
                let reply = serve_hit(&request, &hit, account);
                self.check_later(&request, &hit, rules);
                Ok(reply)
            }
            Ok(Told::Attached(attached)) => Ok(relay(&request, attached, account)),
            Ok(Told::Leads(leading)) => {
                self.mirror_later(&request, (&leading.state, &leading.plan));
                self.lead(request, *leading, account).await
            }
            Ok(Told::Answer(answer)) => {
                self.mirror_later(&request, (&answer.state, &answer.plan));
                Ok(self.deliver(request, *answer, account))
            }
            Err(error) => {
                account.failed(&error);
                Err(error)
            }
        }
    }

    async fn tell_inside(
        &self,
        request: &ChatRequest,
        account: &mut Account,
    ) -> Result<Told, Error> {
        let state = self.state.load_full();
        let mut plan = self.plan(&state, request)?;
        account.routed(state.revision, plan.route.clone());
        let asked = Moment::now();
        let settings = state.config.cache.for_route(plan.cache.as_ref());
        let rules = || Rules {
            state: Arc::clone(&state),
            route: plan.route.clone(),
            cache: settings,
        };
        let looked_up = self.look_up(request, (&settings, plan.route.as_ref()), account);
        let mut ticket = match looked_up.await {
            Lookup::Hit(hit) => return Ok(Told::Hit(Box::new((hit, rules())))),
            Lookup::Attached(attached) => return Ok(Told::Attached(attached)),
            Lookup::Miss(ticket) => Some(ticket),
            Lookup::Bypass(_) => None,
        };
        if Moment::now().since(asked) > PLAN_STAYS_FRESH {
            plan = self.plan(&state, request)?;
        }
        let lead = ticket.as_mut().and_then(Ticket::take_lead);
        if let Some((ticket, lead)) = ticket.take_if(|_| lead.is_some()).zip(lead) {
            return Ok(Told::Leads(Box::new(Leading {
                state,
                plan,
                ticket,
                lead,
            })));
        }
        let mut walk = Walk::default();
        let walked = self.walk((&state, &plan), request, &mut walk).await;
        account.walked(&walk);
        let (model, attempted) = walked?;
        account.answering(&model, (&state, &plan));
        Ok(Told::Answer(Box::new(Answered {
            model,
            attempted,
            ticket,
            state,
            plan,
            asked: walk.asked,
        })))
    }

    async fn look_up(
        &self,
        request: &ChatRequest,
        (settings, route): (&CacheConfig, Option<&RouteName>),
        account: &mut Account,
    ) -> Lookup {
        let span = spans::cache_lookup();
        let lookup = self
            .cache
            .lookup_for(request, settings, route)
            .instrument(span.clone())
            .await;
        match &lookup {
            Lookup::Hit(hit) => account.hit(hit),
            Lookup::Attached(attached) => account.attached(attached),
            Lookup::Miss(ticket) => account.looked_up(CacheStatus::Miss, *ticket.explained()),
            Lookup::Bypass(reason) => {
                let explained = Explained::plain(TierState::Normal, reason);
                account.looked_up(CacheStatus::Bypass, explained);
            }
        }
        let (status, similarity) = account.cache();
        spans::cache_ended(&span, status, similarity);
        let metrics = self.recorder.metrics();
        match status {
            CacheStatus::Exact => metrics.cache_looked_up("exact", "hit"),
            CacheStatus::Semantic => metrics.cache_looked_up("semantic", "hit"),
            CacheStatus::Miss => metrics.cache_looked_up("all", "miss"),
            CacheStatus::Bypass => metrics.cache_looked_up("all", "bypass"),
        }
        if let Some(similarity) = similarity {
            metrics.similarity(similarity);
        }
        lookup
    }

    pub(super) fn plan(&self, state: &State, request: &ChatRequest) -> Result<Plan, Error> {
        let now = Moment::now();
        let view = |model: &ModelName| state.view(model, request, now);
        state
            .table
            .plan(&facts(request), view, self.seed())
            .map_err(|unknown| self.unroutable(unknown, &request.model))
    }

    fn deliver(
        self: &Arc<Self>,
        request: ChatRequest,
        answer: Answered,
        mut account: Account,
    ) -> Reply {
        let Answered {
            model,
            attempted,
            ticket,
            state,
            plan,
            asked,
        } = answer;
        match attempted {
            Attempted::Whole(whole, _) => {
                book(&whole, &request, &mut account);
                if let Some(ticket) = ticket {
                    self.cache.insert(ticket, candidate(&whole, model));
                }
                let meta = account.meta();
                account.answered();
                Reply {
                    meta,
                    body: ReplyBody::Complete(whole),
                }
            }
            Attempted::Stream(chunks, _) => {
                let meta = account.meta();
                let end = Arc::new(Mutex::new(StreamEnd::default()));
                let begun = Begun {
                    state: Arc::clone(&state),
                    plan,
                    asked,
                    model: model.clone(),
                    chunks,
                    span: account.span().clone(),
                    request,
                };
                let delivery = Delivery::new(self.cache.clone(), ticket, model, account)
                    .of_request(&begun.request)
                    .telling(Arc::clone(&end));
                let carrier = Carrier::new(Arc::clone(self), begun);
                let chunks = delivery.run(state, carrier);
                Reply {
                    meta,
                    body: ReplyBody::Stream(ReplyStream::new(chunks, end)),
                }
            }
        }
    }
}

/// What the story came to.
enum Told {
    Hit(Box<(Hit, Rules)>),
    Attached(Attached),
    Leads(Box<Leading>),
    Answer(Box<Answered>),
}

struct Answered {
    model: ModelName,
    attempted: Attempted,
    ticket: Option<Ticket>,
    state: Arc<State>,
    plan: Plan,
    asked: Asked,
}

/// What a whole answer used: told, or estimated.
pub(super) fn book(whole: &Completion, request: &ChatRequest, account: &mut Account) {
    let Tap {
        text,
        beyond_text,
        usage,
        ..
    } = &whole.tap;
    let said = if *beyond_text {
        whole.raw.len()
    } else {
        text.len()
    };
    let guess = || estimated(request.features.prompt_tokens, said);
    match usage {
        Some(usage) => account.used(*usage),
        None => account.estimated(guess()),
    };
}

pub(super) fn candidate(whole: &Completion, model: ModelName) -> Candidate {
    #[derive(serde::Deserialize)]
    struct Shown {
        #[serde(default)]
        model: String,
    }
    let shown = serde_json::from_slice::<Shown>(&whole.raw).map(|shown| shown.model);
    Candidate {
        text: whole.tap.text.clone(),
        finish: whole.tap.finish,
        usage: whole.tap.usage.unwrap_or_default(),
        model,
        shown_model: shown.unwrap_or_default(),
        beyond_text: whole.tap.beyond_text,
        complete: true,
    }
}

/// A running answer, as the stream the client asked for.
fn relay(request: &ChatRequest, attached: Attached, mut account: Account) -> Reply {
    let meta = account.meta();
    let end = Arc::new(Mutex::new(StreamEnd {
        cost_usd: meta.cost_usd,
        ..StreamEnd::default()
    }));
    let seat = Seat::new(Books::new(account), attached.follower);
    let reading = Reading::leading(seat, request.include_usage, Arc::clone(&end));
    let reading = reading.attached(request.deadline);
    Reply {
        meta,
        body: ReplyBody::Stream(ReplyStream::new(reading.run(), end)),
    }
}

/// A hit, in the form the client asked for.
fn serve_hit(request: &ChatRequest, hit: &Hit, mut account: Account) -> Reply {
    let meta = account.meta();
    account.answered();
    if !request.stream {
        return Reply {
            meta,
            body: ReplyBody::Complete(hit.answer.completion()),
        };
    }
    let chunks = hit.answer.chunks(request.include_usage).into_iter().map(Ok);
    let end = Arc::new(Mutex::new(StreamEnd {
        cost_usd: meta.cost_usd,
        ..StreamEnd::default()
    }));
    Reply {
        meta,
        body: ReplyBody::Stream(ReplyStream::new(stream::iter(chunks).boxed(), end)),
    }
}
