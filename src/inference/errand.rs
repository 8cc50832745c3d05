//! What the walk over a plan's candidates asks of a model: an answer, or vectors.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::model::{Attempt, AttemptError, Attempted, Embedded, ModelHandle, Timing};
use crate::types::{ChatRequest, EmbedRequest, Moment};

/// Something that any of several models may do.
pub(super) trait Errand: Sync {
    /// What comes of it.
    type Answer: Send;

    /// When the client stops waiting.
    fn deadline(&self) -> Moment;

    /// One try at one model.
    fn attempt<'a>(
        &'a self,
        model: &'a ModelHandle,
        number: u32,
    ) -> BoxFuture<'a, Result<Self::Answer, AttemptError>>;

    /// Where the try's time went.
    fn timing(answer: &Self::Answer) -> Timing;
}

impl Errand for ChatRequest {
    type Answer = Attempted;

    fn deadline(&self) -> Moment {
        self.deadline
    }

    fn attempt<'a>(
        &'a self,
        model: &'a ModelHandle,
        number: u32,
    ) -> BoxFuture<'a, Result<Attempted, AttemptError>> {
        let request = self;
        model.attempt(Attempt { request, number }).boxed()
    }

    fn timing(answer: &Attempted) -> Timing {
        answer.timing()
    }
}

impl Errand for EmbedRequest {
    type Answer = Embedded;

    fn deadline(&self) -> Moment {
        self.deadline
    }

    fn attempt<'a>(
        &'a self,
        model: &'a ModelHandle,
        number: u32,
    ) -> BoxFuture<'a, Result<Embedded, AttemptError>> {
        model.embed(self, number).boxed()
    }

    fn timing(answer: &Embedded) -> Timing {
        answer.timing
    }
}
