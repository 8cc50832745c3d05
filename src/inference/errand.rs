//! What the walk over a plan's candidates asks of a model: an answer, or vectors.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::candidates::{Walk, Way};
use super::engine::Inner;
use super::outcome::Exhausted;
use crate::model::{AttemptError, Attempted, Embedded, ModelHandle};
use crate::types::{ChatRequest, EmbedRequest, ModelName, Moment};

/// How asking a model ended: who did what was asked, or why nobody did.
type Asked<A> = Result<(ModelName, A), AttemptError>;

/// Something that any of several models may do.
pub(super) trait Errand: Sync {
    /// What comes of it.
    type Answer: Send;

    /// When the client stops waiting.
    fn deadline(&self) -> Moment;

    /// One try at one model, or at two side by side. Who was asked, and the times of what came of
    /// it, are in the walk's books afterwards.
    fn ask<'a>(
        inner: &'a Inner,
        model: &'a ModelHandle,
        way: &'a Way<'a, Self>,
        books: (&'a mut Walk, &'a mut Exhausted),
    ) -> BoxFuture<'a, Asked<Self::Answer>>;
}

impl Errand for ChatRequest {
    type Answer = Attempted;

    fn deadline(&self) -> Moment {
        self.deadline
    }

    fn ask<'a>(
        inner: &'a Inner,
        model: &'a ModelHandle,
        way: &'a Way<'a, Self>,
        books: (&'a mut Walk, &'a mut Exhausted),
    ) -> BoxFuture<'a, Asked<Attempted>> {
        inner.ask(model, way, books).boxed()
    }
}

impl Errand for EmbedRequest {
    type Answer = Embedded;

    fn deadline(&self) -> Moment {
        self.deadline
    }

    fn ask<'a>(
        _: &'a Inner,
        model: &'a ModelHandle,
        way: &'a Way<'a, Self>,
        (walk, _): (&'a mut Walk, &'a mut Exhausted),
    ) -> BoxFuture<'a, Asked<Embedded>> {
        async move {
            let embedded = model.embed(way.request, walk.attempts() + 1).await?;
            walk.came(model.name(), embedded.timing);
            Ok((model.name().clone(), embedded))
        }
        .boxed()
    }
}
