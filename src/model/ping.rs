//! A probe made for its own sake: the shortest question there is, when the node holds the lease on
//! an upstream and no client asks. Without it a model nobody asks this node for would stay open.

use std::sync::Arc;

use super::attempt::Attempt;
use super::handle::ModelHandle;
use crate::dialect::json::raw;
use crate::dialect::openai::ChatBody;
use crate::error::Error;
use crate::types::{CacheMode, ChatRequest, Moment, Priority, RequestId, TenantId};

/// What is asked. One token of answer tells whether the upstream answers.
const QUESTION: &str = "ping";
/// Tokens of the answer.
const ANSWER_TOKENS: u64 = 1;

impl ModelHandle {
    /// Asks the upstream, if queue, budgets and breaker let it. How it went is told to the breaker
    /// like any attempt's end.
    pub(super) async fn ping(&self) {
        let request = match self.question() {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(model = %self.name(), %error, "no probe could be made");
                return;
            }
        };
        let attempt = Attempt {
            request: &request,
            number: 1,
        };
        // refused, it is made by a client's request or at the next occasion
        let _ = Box::pin(self.attempt(attempt)).await;
    }

    fn question(&self) -> Result<ChatRequest, Error> {
        let messages = [("user".to_owned(), QUESTION.to_owned())];
        let body = ChatBody::from_messages(&self.spec.config.model, &messages)?;
        let body = body.with("max_tokens", raw(&ANSWER_TOKENS))?;
        Ok(ChatRequest {
            id: RequestId::generate(),
            tenant: TenantId::default(),
            priority: Priority::Low,
            model: self.name().as_str().into(),
            tags: Vec::new(),
            cache: CacheMode::Off,
            deadline: Moment::now() + self.spec.timeouts().first_token,
            features: body.features(),
            body: Arc::new(body),
            stream: false,
            include_usage: false,
        })
    }
}
