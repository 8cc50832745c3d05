//! How many tokens a request has: asked of the upstream it would go to, or estimated.

use std::sync::Arc;
use std::time::Duration;

use super::engine::Engine;
use crate::error::{Error, Kind, Rejection};
use crate::provider::{Call, Class, Failure};
use crate::types::{ChatRequest, Moment};

/// How long an upstream may take to count; an estimate is as good as a late answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// How many.
    pub tokens: u64,
    /// Nobody counted: about four bytes of text are one token.
    pub estimated: bool,
}

impl Engine {
    /// Counts a request's tokens, by the first model it would go to where that can count.
    ///
    /// # Errors
    /// [`Kind::UnknownModel`] when nothing answers to the name, and the upstream's own refusal of
    /// the request.
    pub async fn count_tokens(&self, request: &ChatRequest) -> Result<Counted, Error> {
        let (state, plan) = self.planned(request)?;
        let mut eligible = plan.candidates.iter().filter(|one| one.barred.is_none());
        let model = eligible.next().and_then(|one| state.models.get(&one.model));
        let estimate = Counted {
            tokens: request.features.prompt_tokens,
            estimated: true,
        };
        let Some(model) = model else {
            return Ok(estimate);
        };
        let call = Call {
            body: Arc::clone(&request.body),
            model: model.spec.config.model.as_str().into(),
            stream: false,
            deadline: request.deadline,
            timeouts: model.spec.timeouts(),
            traceparent: None,
        };
        let until = request.deadline.min(Moment::now() + PATIENCE);
        let asked = model.spec.provider.count_tokens(call);
        match tokio::time::timeout_at(until.to_instant(), asked).await {
            Ok(Some(Ok(tokens))) => Ok(Counted {
                tokens,
                estimated: false,
            }),
            Ok(Some(Err(failure))) if failure.class == Class::Caller => Err(refused(failure)),
            Ok(Some(Err(_)) | None) | Err(_) => Ok(estimate),
        }
    }
}

fn refused(failure: Failure) -> Error {
    let message = format!("the upstream refused the request: {failure}");
    let mut error = Error::new(Kind::UpstreamRejected, message);
    error.rejection = Some(Rejection {
        status: failure.status.unwrap_or(400),
        body: failure.body.clone(),
    });
    error.with_source(failure)
}
