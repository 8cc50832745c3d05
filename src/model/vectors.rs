//! One attempt at vectors: one permit, and for each batch that the upstream takes at once the same
//! budgets, breaker and verdict as for an answer.

use std::sync::Arc;

use tracing::Instrument;

use super::attempt::{Asker, AttemptError, Timing, within};
use super::handle::ModelHandle;
use super::verdict::Verdict;
use crate::breaker;
use crate::provider::{Class, EmbedCall, Failure};
use crate::queue::{Permit, Ticket};
use crate::telemetry::spans;
use crate::types::{EmbedRequest, Embeddings, Inputs, Moment, Tap, Usage};

/// Vectors, and where the attempt's time went.
#[derive(Debug)]
pub(crate) struct Embedded {
    /// Of every input, in order.
    pub(crate) made: Embeddings,
    /// In the queue and upstream.
    pub(crate) timing: Timing,
}

impl ModelHandle {
    /// Makes every vector of a request, batch by batch. A batch that fails fails the attempt.
    pub(crate) async fn embed(
        &self,
        request: &EmbedRequest,
        number: u32,
    ) -> Result<Embedded, AttemptError> {
        let asked = Moment::now();
        let mut permit = self.permit(ticket(request)).await?;
        let started = Moment::now();
        let most = self.spec.provider.embed_batch();
        let mut made = Embeddings {
            model: String::new(),
            vectors: Vec::with_capacity(request.inputs.len()),
            usage: None,
        };
        for inputs in Inputs::batches(&request.inputs, most) {
            let first = made.vectors.is_empty();
            let batch = self.batch((request, inputs), &mut permit, (number, first));
            let batch = batch.await?;
            join(&mut made, batch).map_err(AttemptError::Failed)?;
        }
        drop(permit);
        Ok(Embedded {
            made,
            timing: Timing {
                queue_wait: started.since(asked),
                upstream: Moment::now().since(started),
            },
        })
    }

    /// One call of the upstream.
    async fn batch(
        &self,
        (request, inputs): (&EmbedRequest, Arc<Inputs>),
        permit: &mut Permit,
        (number, first): (u32, bool),
    ) -> Result<Embeddings, AttemptError> {
        let tokens = EmbedRequest::tokens(&inputs);
        let mut drawn = self.draw(tokens, request.deadline).await?;
        let leave = self.leave_for_batch(request.deadline, first).await?;
        let span = spans::attempt(&spans::AttemptSpan {
            model: self.name(),
            upstream: &self.spec.config.model,
            provider: self.spec.provider.kind(),
            number,
            server: self.spec.server.as_deref(),
            stream: false,
            operation: "embeddings",
        });
        let (count, timeouts) = (inputs.len(), self.spec.timeouts());
        let call = EmbedCall {
            inputs,
            model: self.spec.config.model.as_str().into(),
            dimensions: request.dimensions,
            user: request.user.clone(),
            deadline: request.deadline,
            timeouts,
            traceparent: self.traceparent(&span),
        };
        permit.used();
        drawn.begin();
        let verdict = Verdict::new(self.clone(), (leave, drawn), (Asker::Client, span.clone()));
        let verdict = verdict.about_vectors();
        let asking = async {
            let made = self.spec.provider.embed(call).await?;
            checked(made, count)
        };
        let limits = (timeouts.total, request.deadline);
        let (made, mut verdict) = within(limits, verdict, asking).instrument(span).await?;
        verdict.saw(&Tap {
            usage: made.usage,
            ..Tap::default()
        });
        verdict.answered();
        Ok(made)
    }

    /// Asks the breaker. Where the batch before was its probe, it may not have heard yet that this
    /// one went well, and what was made already would be thrown away.
    async fn leave_for_batch(
        &self,
        deadline: Moment,
        first: bool,
    ) -> Result<breaker::Ticket, AttemptError> {
        let leave = self.leave((Moment::now(), deadline), Asker::Client).await;
        if first || leave.is_ok() || self.shared.breaker.caught_up().await.is_err() {
            return leave;
        }
        self.leave((Moment::now(), deadline), Asker::Client).await
    }
}

/// One vector for each input, all of one length and of finite numbers.
fn checked(made: Embeddings, count: usize) -> Result<Embeddings, Failure> {
    let broken = |message: String| Err(Failure::new(Class::Hard, message));
    if made.vectors.len() != count {
        let came = made.vectors.len();
        return broken(format!("{came} vectors came for {count} inputs"));
    }
    let length = made.vectors.first().map_or(0, Vec::len);
    if length == 0 || made.vectors.iter().any(|vector| vector.len() != length) {
        return broken("the vectors are empty or of different lengths".to_owned());
    }
    if made
        .vectors
        .iter()
        .flatten()
        .any(|number| !number.is_finite())
    {
        return broken("a vector holds a number that is not finite".to_owned());
    }
    Ok(made)
}

/// Appends a batch. Vectors of different lengths come from different models.
fn join(made: &mut Embeddings, batch: Embeddings) -> Result<(), Failure> {
    let known = made.vectors.first().map(Vec::len);
    if known.is_some_and(|known| batch.vectors.iter().any(|vector| vector.len() != known)) {
        let message = "the vectors of two batches differ in length";
        return Err(Failure::new(Class::Hard, message));
    }
    if made.model.is_empty() {
        made.model = batch.model;
    }
    made.vectors.extend(batch.vectors);
    made.usage = sum(made.usage, batch.usage);
    Ok(())
}

/// Token counts of both; a batch that was not counted leaves the sum of the others.
fn sum(known: Option<Usage>, new: Option<Usage>) -> Option<Usage> {
    let (Some(known), Some(new)) = (known, new) else {
        return known.or(new);
    };
    let prompt = known.prompt_tokens.saturating_add(new.prompt_tokens);
    Some(Usage::new(prompt, 0))
}

fn ticket(request: &EmbedRequest) -> Ticket {
    let bytes: usize = match &*request.inputs {
        Inputs::Texts(texts) => texts.iter().map(String::len).sum(),
        Inputs::Tokens(lists) => lists.iter().map(|list| list.len() * size_of::<u32>()).sum(),
    };
    Ticket {
        tenant: request.tenant.clone(),
        priority: request.priority,
        deadline: request.deadline,
        cost: EmbedRequest::tokens(&request.inputs),
        bytes: bytes as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::{checked, join, sum};
    use crate::types::{Embeddings, Usage};

    fn of(vectors: &[&[f32]]) -> Embeddings {
        Embeddings {
            model: "m".into(),
            vectors: vectors.iter().map(|vector| vector.to_vec()).collect(),
            usage: Some(Usage::new(3, 0)),
        }
    }

    #[test]
    fn vectors_that_are_too_few_ragged_empty_or_not_finite_are_no_answer() {
        assert!(checked(of(&[&[1.0], &[2.0]]), 2).is_ok());
        assert!(checked(of(&[&[1.0]]), 2).is_err());
        assert!(checked(of(&[&[1.0], &[2.0, 3.0]]), 2).is_err());
        assert!(checked(of(&[&[], &[]]), 2).is_err());
        assert!(checked(of(&[&[f32::NAN], &[2.0]]), 2).is_err());
    }

    #[test]
    fn batches_are_joined_in_order_and_their_tokens_summed() {
        let mut made = of(&[&[1.0]]);
        join(&mut made, of(&[&[2.0], &[3.0]])).unwrap();
        assert_eq!(made.vectors, [[1.0], [2.0], [3.0]]);
        assert_eq!(made.usage, Some(Usage::new(6, 0)));
        assert!(join(&mut made, of(&[&[1.0, 2.0]])).is_err());
        assert_eq!(sum(None, made.usage), made.usage);
    }
}
