//! One attempt, made in the request's own task: permit, breaker, upstream, verdict.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tracing::Instrument;

use super::actor::Message;
use super::handle::ModelHandle;
use super::stream::{Guarded, guarded};
use crate::breaker::{self, Outcome, Pass};
use crate::dialect::openai::reshape;
use crate::provider::{Answer, Call, ChunkStream, Class, Failure};
use crate::queue::{self, Permit, Ticket};
use crate::telemetry::spans;
use crate::types::{ChatRequest, Chunk, Completion, Moment};

/// Pieces looked at before the first real delta; an upstream that sends more is garbled.
const MAX_PREFETCH: usize = 1024;
/// A client that gave up after at least this long without a sign of life counts against the model.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one attempt is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    /// The request.
    pub(crate) request: &'a ChatRequest,
    /// 1 for the first try of the request.
    pub(crate) number: u32,
}

/// Why the model was not even asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Its queue said no.
    Queue(queue::Refused),
    /// Its breaker said no.
    Breaker(breaker::Refused),
}

/// Why an attempt gave no answer.
#[derive(Debug)]
pub(crate) enum AttemptError {
    /// The model was not asked.
    Refused(Refusal),
    /// The model was asked and failed.
    Failed(Failure),
    /// The client's time ran out.
    Deadline,
}

/// An answer on its way.
pub(crate) enum Attempted {
    /// All of it.
    Whole(Completion, Timing),
    /// From the first real delta on; permit and verdict travel inside.
    Stream(ChunkStream, Timing),
}

/// Where the attempt's time went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    /// Waiting for the permit.
    pub(crate) queue_wait: Duration,
    /// From sending until the first real delta, or the whole answer.
    pub(crate) upstream: Duration,
}

/// Tells breaker and profile how the attempt ended, exactly once; dropped early, that it was
/// cancelled.
#[derive(Debug)]
pub(super) struct Verdict {
    model: ModelHandle,
    pass: Option<Pass>,
    started: Moment,
    first_token: Option<Duration>,
}

impl Verdict {
    pub(super) fn first_token(&mut self) {
        self.first_token.get_or_insert_with(|| Moment::now().since(self.started));
    }

    pub(super) fn answered(mut self) {
        let latency = Moment::now().since(self.started);
        let first_token = self.first_token.unwrap_or(latency);
        self.model.shared.mailbox.post_owed(Message::Answered { first_token, latency });
        self.settle(Outcome::Ok);
    }

    pub(super) fn failed(mut self, class: Class) {
        self.model.shared.mailbox.post_owed(Message::Failed);
        self.settle(Outcome::from(class));
    }

    pub(super) fn cancelled(mut self) {
        self.settle(Outcome::Cancelled);
    }

    fn settle(&mut self, outcome: Outcome) {
        if let Some(pass) = self.pass.take() {
            self.model.shared.breaker.record(pass, outcome);
        }
    }
}

impl Drop for Verdict {
    fn drop(&mut self) {
        self.settle(Outcome::Cancelled);
    }
}

impl ModelHandle {
    /// Waits for a permit, asks the breaker, asks the upstream.
    pub(crate) async fn attempt(&self, attempt: Attempt<'_>) -> Result<Attempted, AttemptError> {
        let request = attempt.request;
        let asked = Moment::now();
        let permit = self
            .shared
            .queue
            .admit(ticket(request))
            .instrument(spans::queue_wait(self.name(), request.priority))
            .await
            .map_err(|refused| match refused {
                queue::Refused::Expired => AttemptError::Deadline,
                refused => AttemptError::Refused(Refusal::Queue(refused)),
            })?;
        let started = Moment::now();
        let timing = Timing { queue_wait: started.since(asked), upstream: Duration::ZERO };
        let pass = self.shared.breaker.admit(started).await;
        let pass = pass.map_err(|refused| AttemptError::Refused(Refusal::Breaker(refused)))?;
        let verdict = Verdict { model: self.clone(), pass: Some(pass), started, first_token: None };
        let span = spans::attempt(self.name(), self.spec.provider.kind(), &self.spec.config.model);
        spans::record_attempt_number(&span, attempt.number);
        let traceparent = self.traceparent(&span);
        let call = Call {
            body: Arc::clone(&request.body),
            model: self.spec.config.model.as_str().into(),
            stream: request.stream,
            deadline: request.deadline,
            timeouts: self.spec.timeouts(),
            traceparent,
        };
        let result = self.ask(call, permit, verdict, timing).instrument(span.clone()).await;
        if let Err(AttemptError::Failed(failure)) = &result {
            spans::record_failure(&span, failure);
        }
        result
    }

    /// The traceparent for the upstream, if this model's upstream may see it.
    fn traceparent(&self, span: &tracing::Span) -> Option<String> {
        let private = || self.spec.config.base_url.as_deref().is_none_or(is_private);
        let allowed = self.spec.config.propagate_trace.unwrap_or_else(private);
        if allowed { crate::telemetry::propagation::current_traceparent(span) } else { None }
    }

    async fn ask(
        &self,
        call: Call,
        permit: Permit,
        verdict: Verdict,
        timing: Timing,
    ) -> Result<Attempted, AttemptError> {
        let (stream, started, timeouts) = (call.stream, verdict.started, call.timeouts);
        let patience = if stream { timeouts.first_token } else { timeouts.total };
        let limit = patience.min(timeouts.total);
        let left = started.until(call.deadline);
        let body = Arc::clone(&call.body);
        let asking = async {
            match self.spec.provider.generate(call).await? {
                Answer::Whole(whole) if stream => prefetch(reshape::stream(whole)).await,
                Answer::Whole(whole) => Ok(Begun::Whole(whole)),
                Answer::Stream(pieces) if stream => prefetch(pieces).await,
                Answer::Stream(pieces) => reshape::collect(pieces, &body).await.map(Begun::Whole),
            }
        };
        let begun = match tokio::time::timeout(limit.min(left), asking).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(failure)) => {
                verdict.failed(failure.class);
                return Err(AttemptError::Failed(failure));
            }
            Err(_) if left <= limit => {
                if left >= PATIENCE { verdict.failed(Class::Hard) } else { verdict.cancelled() }
                return Err(AttemptError::Deadline);
            }
            Err(_) => {
                verdict.failed(Class::Hard);
                let failure = Failure::timed_out(format!("no answer within {limit:?}"));
                return Err(AttemptError::Failed(failure));
            }
        };
        let timing = Timing { upstream: Moment::now().since(started), ..timing };
        Ok(match begun {
            Begun::Whole(completion) => {
                verdict.answered();
                drop(permit);
                Attempted::Whole(completion, timing)
            }
            Begun::Stream(first, rest) => {
                let mut verdict = verdict;
                verdict.first_token();
                let ends = started + timeouts.total;
                let parts = Guarded::new(first, rest, (permit, verdict), (timeouts.idle, ends));
                Attempted::Stream(guarded(parts), timing)
            }
        })
    }
}

/// An answer that has begun.
enum Begun {
    Whole(Completion),
    Stream(Vec<Chunk>, ChunkStream),
}

/// Reads up to and including the first real delta, so that failing over is still possible.
async fn prefetch(mut pieces: ChunkStream) -> Result<Begun, Failure> {
    let mut first = Vec::new();
    while first.len() < MAX_PREFETCH {
        match pieces.next().await {
            None if first.is_empty() => {
                return Err(Failure::new(Class::Hard, "upstream ended the stream before it began"));
            }
            None => break,
            Some(Err(failure)) => return Err(failure),
            Some(Ok(chunk)) => {
                let begun = chunk.tap.real || chunk.tap.finish.is_some();
                first.push(chunk);
                if begun {
                    return Ok(Begun::Stream(first, pieces));
                }
            }
        }
    }
    Err(Failure::new(Class::Hard, "upstream sent no answer, only announcements"))
}

fn ticket(request: &ChatRequest) -> Ticket {
    const ASSUMED_OUTPUT_TOKENS: u64 = 256;
    let output = request.features.max_output_tokens.unwrap_or(ASSUMED_OUTPUT_TOKENS);
    Ticket {
        tenant: request.tenant.clone(),
        priority: request.priority,
        deadline: request.deadline,
        cost: request.features.prompt_tokens.saturating_add(output.saturating_mul(4)),
        bytes: request.features.text.len() as u64,
    }
}

/// Loopback, private and link-local hosts, and bare names without a dot.
fn is_private(url: &str) -> bool {
    let Some(host) = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned))
    else {
        return false;
    };
    let host = host.trim_matches(['[', ']']);
    match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(std::net::IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        Err(_) => !host.contains('.'),
    }
}

#[cfg(test)]
mod tests {
    use super::is_private;

    #[test]
    fn trace_context_stays_at_home_unless_told_otherwise() {
        for home in ["http://127.0.0.1:11434", "http://10.1.2.3/v1", "http://[::1]:8", "http://vllm:8000"] {
            assert!(is_private(home), "{home}");
        }
        for away in ["https://api.example.com/v1", "http://8.8.8.8", "not a url"] {
            assert!(!is_private(away), "{away}");
        }
    }
}
