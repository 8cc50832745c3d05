//! One request for vectors from beginning to end: plan → admit → attempt → account.
//!
//! Nothing is cached: the same walk, breakers, queues, budgets and books as for an answer, over
//! the models that make vectors. A name that nothing in the config answers to may be the node's own
//! embedder, which is asked directly: it has a queue of its own and no upstream to protect.

use std::sync::Arc;

use tracing::Instrument;

use super::account::Account;
use super::candidates::Walk;
use super::engine::{Engine, Inner, Source, unroutable};
use super::outcome::Exhausted;
use super::reply::ReplyMeta;
use super::state::State;
use crate::cache::embed::weights::MODEL_NAME;
use crate::error::{Error, Kind, Retry};
use crate::model::{Timing, VECTORS_ONLY};
use crate::provider::{CannotEmbed, EmbedCall, Local, Provider as _, Timeouts};
use crate::routing::{Facts, Plan, Unroutable};
use crate::types::{EmbedRequest, Embeddings, ModelName, Moment};

/// Vectors, and what is known of how they were made.
#[derive(Clone, Debug)]
pub struct EmbedReply {
    /// As of an answer; the cache takes no part.
    pub meta: ReplyMeta,
    /// One vector for each input.
    pub made: Embeddings,
}

impl Engine {
    /// Makes vectors for the embedding application.
    ///
    /// # Errors
    /// As [`Engine::embed_from`].
    pub async fn embed(&self, request: EmbedRequest) -> Result<EmbedReply, Error> {
        let source = Source {
            door: "library",
            path: "embed",
            arrived: Moment::now(),
        };
        self.embed_from(source, request).await
    }

    /// Makes vectors. Dropping the future aborts the upstream.
    ///
    /// # Errors
    /// Only when every candidate is exhausted, the time is over, or the request is at fault.
    pub async fn embed_from(
        &self,
        source: Source,
        request: EmbedRequest,
    ) -> Result<EmbedReply, Error> {
        let account = Account::of_vectors(self.inner(), source, &request);
        Box::pin(self.inner().embed(request, account)).await
    }
}

impl Inner {
    async fn embed(
        &self,
        request: EmbedRequest,
        mut account: Account,
    ) -> Result<EmbedReply, Error> {
        let span = account.span().clone();
        let made = self.embed_inside(&request, &mut account).instrument(span);
        match made.await {
            Ok(made) => {
                if let Some(usage) = made.usage {
                    account.used(usage);
                }
                let meta = account.meta();
                account.answered();
                Ok(EmbedReply { meta, made })
            }
            Err(error) => {
                account.failed(&error);
                Err(error)
            }
        }
    }

    async fn embed_inside(
        &self,
        request: &EmbedRequest,
        account: &mut Account,
    ) -> Result<Embeddings, Error> {
        let state = self.state.load_full();
        let plan = match self.plan_vectors(&state, request) {
            Ok(plan) => plan,
            Err(unknown) => {
                let local = self.own(&request.model).ok_or(unknown)?;
                account.routed(state.revision, None);
                return self.embed_itself(&local, request, account).await;
            }
        };
        account.routed(state.revision, plan.route.clone());
        let mut walk = Walk::default();
        let walked = self.walk((&state, &plan), request, &mut walk).await;
        account.walked(&walk);
        let (model, embedded) = walked?;
        account.answering(&model, (&state, &plan));
        Ok(embedded.made)
    }

    fn plan_vectors(&self, state: &State, request: &EmbedRequest) -> Result<Plan, Error> {
        let (now, features) = (Moment::now(), request.features());
        let facts = Facts {
            model: &request.model,
            priority: request.priority,
            tenant: request.tenant.as_str(),
            tags: &request.tags,
            features: &features,
        };
        let view = |model: &ModelName| {
            let model = state.models.get(model);
            model
                .map(|model| model.view_for_vectors(now, request))
                .unwrap_or_default()
        };
        state
            .table
            .plan(&facts, view, self.seed())
            .map_err(unroutable)
    }

    /// Why no model takes a chat request: the node's own embedder is a name that clients know, but no
    /// model to talk to.
    pub(super) fn unroutable(&self, why: Unroutable, asked: &str) -> Error {
        match self.own(asked) {
            Some(_) => {
                let text = format!("model `{asked}` {VECTORS_ONLY}");
                Error::new(Kind::InvalidRequest, text).with_param("model")
            }
            None => unroutable(why),
        }
    }

    /// The node's own embedder, where that is what the name means: there or not.
    fn own(&self, name: &str) -> Option<Local> {
        let here = self.cache.embedder().map(Local::of);
        let known = [here, Some(Local::new(MODEL_NAME))];
        known
            .into_iter()
            .flatten()
            .find(|local| local.public_name() == name)
    }

    async fn embed_itself(
        &self,
        local: &Local,
        request: &EmbedRequest,
        account: &mut Account,
    ) -> Result<Embeddings, Error> {
        let name = ModelName::from(local.public_name());
        match local.cannot_embed(&request.inputs, request.dimensions) {
            Some(CannotEmbed::Absent(why)) => {
                return Err(Error::new(Kind::Unavailable, why).with_retry(Retry::Never));
            }
            Some(CannotEmbed::These(why)) => {
                let param = request.dimensions.map_or("input", |_| "dimensions");
                let text = format!("model `{name}` {why}");
                return Err(Error::new(Kind::InvalidRequest, text).with_param(param));
            }
            None => {}
        }
        let started = Moment::now();
        let call = EmbedCall {
            inputs: Arc::clone(&request.inputs),
            model: "".into(),
            dimensions: request.dimensions,
            user: request.user.clone(),
            deadline: request.deadline,
            timeouts: Timeouts::default(),
            traceparent: None,
        };
        let made = tokio::time::timeout_at(request.deadline.to_instant(), local.embed(call)).await;
        let mut walk = Walk::default();
        walk.came(
            &name,
            Timing {
                upstream: Moment::now().since(started),
                ..Timing::default()
            },
        );
        account.walked(&walk);
        account.answering_itself(name.clone());
        let made = made.map_err(|_| {
            let message = "the request's time ran out while its texts were embedded";
            Error::new(Kind::DeadlineExceeded, message)
        })?;
        made.map_err(|failure| {
            let mut exhausted = Exhausted::default();
            exhausted.failed(&name, &failure);
            exhausted.into_error()
        })
    }
}

#[cfg(test)]
mod tests;
