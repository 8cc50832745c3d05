//! A probe made for its own sake: the shortest question there is, when the node holds the lease on
//! an upstream and no client asks. Without it a model nobody asks this node for would stay open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::attempt::{Asker, Attempt, patience};
use super::handle::ModelHandle;
use crate::dialect::json::raw;
use crate::dialect::openai::ChatBody;
use crate::error::Error;
use crate::types::{CacheMode, ChatRequest, Moment, Priority, RequestId, TenantId};

/// What is asked. One token of answer tells whether the upstream answers.
const QUESTION: &str = "ping";
/// Tokens of the answer.
const ANSWER_TOKENS: u64 = 1;

/// While it lives, the node's own question waits or is answered.
struct Asking<'a>(&'a AtomicBool);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl ModelHandle {
    /// Asks the upstream, if queue, budgets and breaker let it, and if it is not being asked so
    /// already. How it went is told to the breaker like any attempt's end, but for one thing: an
    /// upstream that refuses the question (it may allow no answer of one token) is there.
    ///
    /// It holds the only probe's place, so it gives it back after a few seconds of silence: by then
    /// a client may have something better to ask.
    pub(super) async fn ping(&self) {
        if self.shared.pinging.swap(true, Ordering::SeqCst) {
            return;
        }
        let _asking = Asking(&self.shared.pinging);
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
            sent: None,
        };
        // refused, it is made by a client's request or at the next occasion
        let _ = Box::pin(self.attempt_for(attempt, Asker::Node)).await;
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
            min_similarity: None,
            // as long in the queue, at most, as for the answer
            deadline: Moment::now() + patience(self.spec.timeouts().first_token) * 2,
            features: body.features(),
            body: Arc::new(body),
            stream: false,
            include_usage: false,
        })
    }
}
