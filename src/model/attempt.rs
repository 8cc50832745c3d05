//! One attempt, made in the request's own task: permit, breaker, upstream, verdict.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::Notify;
use tracing::Instrument;

use super::handle::ModelHandle;
use super::stream::{Ends, Guarded, guarded};
use super::verdict::Verdict;
use super::wallet::{Drawn, Limited};
use crate::breaker;
use crate::dialect::openai::reshape;
use crate::provider::{Answer, Call, ChunkStream, Class, Failure};
use crate::queue::{self, Permit, Ticket};
use crate::telemetry::{content, propagation, spans};
use crate::types::{ChatRequest, Chunk, Completion, Moment};

/// Pieces looked at before the first real delta; an upstream that sends more is garbled.
const MAX_PREFETCH: usize = 1024;
/// Tokens an answer is taken to have where the request does not bound it.
const ASSUMED_OUTPUT_TOKENS: u64 = 256;
/// A client that gave up after at least this long without a sign of life counts against the model.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an upstream has to be let speak before its silence proves anything, and no longer does
/// the node's own question wait for it.
pub(super) fn patience(first_token: Duration) -> Duration {
    first_token.min(PATIENCE)
}

/// What one attempt is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    /// The request.
    pub(crate) request: &'a ChatRequest,
    /// 1 for the first try of the request.
    pub(crate) number: u32,
    /// Told when the upstream is asked, where somebody wants to know.
    pub(crate) sent: Option<&'a Sent>,
}

/// On whose behalf an attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A client.
    Client,
    /// The node, to learn whether the upstream is there.
    Node,
    /// Nobody gets the answer: no client is to feel how it ends.
    Nobody,
}

/// When an attempt was sent upstream, for those who watch it from outside.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The moment, and whether it went as the one probe of a breaker.
    at: OnceLock<(Moment, bool)>,
    told: Notify,
}

impl Sent {
    fn tell(&self, now: Moment, probe: bool) {
        if self.at.set((now, probe)).is_ok() {
            self.told.notify_one();
        }
    }

    /// When, if it was.
    pub(crate) fn at(&self) -> Option<Moment> {
        self.at.get().map(|(at, _)| *at)
    }

    /// It was, as the one probe of a breaker.
    pub(crate) fn is_probe(&self) -> bool {
        self.at.get().is_some_and(|(_, probe)| *probe)
    }

    /// Waits until it is. One may wait.
    pub(crate) async fn wait(&self) -> Moment {
        loop {
            if let Some(at) = self.at() {
                return at;
            }
            self.told.notified().await;
        }
    }
}

/// Why the model was not even asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Its queue said no.
    Queue(queue::Denied),
    /// Its breaker said no.
    Breaker(breaker::Denied),
    /// A budget of the model is used up.
    Limited(Limited),
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

impl Attempted {
    /// Where the attempt's time went.
    pub(crate) const fn timing(&self) -> Timing {
        match self {
            Attempted::Whole(_, timing) | Attempted::Stream(_, timing) => *timing,
        }
    }
}

/// Where the attempt's time went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    /// Waiting for the permit.
    pub(crate) queue_wait: Duration,
    /// From sending until the first real delta, or the whole answer.
    pub(crate) upstream: Duration,
}

impl ModelHandle {
    /// Waits for a permit, draws from the budgets, asks the breaker, asks the upstream.
    pub(crate) async fn attempt(&self, attempt: Attempt<'_>) -> Result<Attempted, AttemptError> {
        self.attempt_for(attempt, Asker::Client).await
    }

    /// The same for an answer that nobody gets. Whatever it fails of is kept from the breaker, and it
    /// is made only where more than half of every budget is left.
    pub(crate) async fn attempt_aside(
        &self,
        attempt: Attempt<'_>,
    ) -> Result<Attempted, AttemptError> {
        let tokens = cost(attempt.request);
        let spared = self.shared.wallet.can_spare(tokens, Moment::now());
        spared.map_err(|limited| AttemptError::Refused(Refusal::Limited(limited)))?;
        self.attempt_for(attempt, Asker::Nobody).await
    }

    /// As [`ModelHandle::attempt`], on whosever behalf.
    pub(super) async fn attempt_for(
        &self,
        attempt: Attempt<'_>,
        asker: Asker,
    ) -> Result<Attempted, AttemptError> {
        let request = attempt.request;
        let asked = Moment::now();
        let mut permit = self.permit(ticket(request)).await?;
        let mut drawn = self.draw(cost(request), request.deadline).await?;
        let started = Moment::now();
        let timing = Timing {
            queue_wait: started.since(asked),
            upstream: Duration::ZERO,
        };
        let leave = self.leave((started, request.deadline), asker).await?;
        let span = spans::attempt(&spans::AttemptSpan {
            model: self.name(),
            upstream: &self.spec.config.model,
            provider: self.spec.provider.kind(),
            number: attempt.number,
            server: self.spec.server.as_deref(),
            stream: request.stream,
            operation: "chat",
        });
        content::asked(&span, request);
        let call = Call {
            body: Arc::clone(&request.body),
            model: self.spec.config.model.as_str().into(),
            stream: request.stream,
            deadline: request.deadline,
            timeouts: self.spec.timeouts(),
            traceparent: self.traceparent(&span),
        };
        permit.used();
        if let Some(sent) = attempt.sent {
            sent.tell(Moment::now(), leave.probe.is_some());
        }
        drawn.begin();
        let verdict = Verdict::new(self.clone(), (leave, drawn), (asker, span.clone()));
        self.ask(call, permit, verdict, timing)
            .instrument(span)
            .await
    }

    /// Waits for a place among the model's attempts.
    pub(super) async fn permit(&self, ticket: Ticket) -> Result<Permit, AttemptError> {
        let span = spans::queue_wait(self.name(), ticket.priority);
        let admitted = self
            .shared
            .queue
            .admit(ticket)
            .instrument(span.clone())
            .await;
        spans::queue_ended(
            &span,
            admitted.as_ref().err().map(|refused| refused.as_str()),
        );
        admitted.map_err(|refused| match refused {
            queue::Denied::Expired => AttemptError::Deadline,
            queue::Denied::Busy { .. } | queue::Denied::Broken | queue::Denied::Restarting => {
                AttemptError::Refused(Refusal::Queue(refused))
            }
        })
    }

    /// Asks the breaker. By a lease nothing is probed with a request whose time is too short to
    /// prove anything: it would take the place, and nobody would ever learn that the upstream is
    /// silent.
    pub(super) async fn leave(
        &self,
        (now, deadline): (Moment, Moment),
        asker: Asker,
    ) -> Result<breaker::Ticket, AttemptError> {
        let breaker = &self.shared.breaker;
        let hasty = asker != Asker::Node
            && now.until(deadline) < patience(self.spec.timeouts().first_token);
        let leave = if hasty && breaker.awaits_probe(now) {
            Err(breaker::Denied::Left(breaker::Refused::unlent()))
        } else {
            breaker.admit(now).await
        };
        leave.map_err(|refused| AttemptError::Refused(Refusal::Breaker(refused)))
    }

    /// Takes what an attempt may cost from the model's budgets.
    pub(super) async fn draw(&self, tokens: u64, deadline: Moment) -> Result<Drawn, AttemptError> {
        let drawn = self.shared.wallet.draw(tokens, deadline).await;
        drawn.map_err(|limited| {
            let metrics = &self.shared.metrics;
            metrics.limit_refused(self.name(), limited.kind.as_str());
            AttemptError::Refused(Refusal::Limited(limited))
        })
    }

    /// The traceparent for the upstream, if this model's upstream may see it.
    pub(super) fn traceparent(&self, span: &tracing::Span) -> Option<String> {
        if self.spec.propagates_trace {
            propagation::current_traceparent(span)
        } else {
            None
        }
    }

    async fn ask(
        &self,
        call: Call,
        permit: Permit,
        verdict: Verdict,
        timing: Timing,
    ) -> Result<Attempted, AttemptError> {
        let (stream, started, timeouts) = (call.stream, verdict.started, call.timeouts);
        let deadline = call.deadline;
        let most = if verdict.asker == Asker::Node {
            patience(timeouts.first_token)
        } else if stream {
            timeouts.first_token
        } else {
            timeouts.total
        };
        let limit = most.min(timeouts.total);
        let body = Arc::clone(&call.body);
        let asking = async {
            match self.spec.provider.generate(call).await? {
                Answer::Whole(whole) if stream => prefetch(reshape::stream(whole)).await,
                Answer::Whole(whole) => Ok(Begun::Whole(whole)),
                Answer::Stream(pieces) if stream => prefetch(pieces).await,
                Answer::Stream(pieces) => reshape::collect(pieces, &body).await.map(Begun::Whole),
            }
        };
        let (begun, verdict) = within((limit, deadline), verdict, asking).await?;
        let timing = Timing {
            upstream: Moment::now().since(started),
            ..timing
        };
        Ok(match begun {
            Begun::Whole(completion) => {
                let mut verdict = verdict;
                verdict.began(&completion.raw);
                verdict.saw(&completion.tap);
                verdict.answered();
                drop(permit);
                Attempted::Whole(completion, timing)
            }
            Begun::Stream(first, rest) => {
                let mut verdict = verdict;
                for piece in &first {
                    verdict.began(&piece.raw);
                }
                verdict.first_token();
                let ends = Ends {
                    attempt: started + timeouts.total,
                    client: deadline,
                };
                let parts = Guarded::new(first, rest, (permit, verdict), (timeouts.idle, ends));
                Attempted::Stream(guarded(parts), timing)
            }
        })
    }
}

/// Waits for an upstream, at most `limit`, until `deadline`, and as long as a probe's lease lasts;
/// one that does not answer has its verdict told here.
pub(super) async fn within<T>(
    (limit, deadline): (Duration, Moment),
    verdict: Verdict,
    asking: impl Future<Output = Result<T, Failure>>,
) -> Result<(T, Verdict), AttemptError> {
    let left = verdict.started.until(deadline);
    let lease = verdict.lease_left().unwrap_or(Duration::MAX);
    match tokio::time::timeout(limit.min(left).min(lease), asking).await {
        Ok(Ok(answer)) => Ok((answer, verdict)),
        Ok(Err(failure)) => {
            verdict.failed(&failure);
            Err(AttemptError::Failed(failure))
        }
        Err(_) if lease < limit.min(left) => {
            verdict.out_of_time(false);
            let failure = Failure::timed_out("the probe's lease ended");
            Err(AttemptError::Failed(failure))
        }
        Err(_) if left <= limit => {
            verdict.out_of_time(left >= PATIENCE);
            Err(AttemptError::Deadline)
        }
        Err(_) => {
            let failure = Failure::timed_out(format!("no answer within {limit:?}"));
            verdict.silent(&failure, limit);
            Err(AttemptError::Failed(failure))
        }
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
                return Err(Failure::new(
                    Class::Hard,
                    "upstream ended the stream before it began",
                ));
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
    Err(Failure::new(
        Class::Hard,
        "upstream sent no answer, only announcements",
    ))
}

/// Tokens a request may cost.
fn cost(request: &ChatRequest) -> u64 {
    let features = &request.features;
    let output = features.max_output_tokens.unwrap_or(ASSUMED_OUTPUT_TOKENS);
    features.prompt_tokens.saturating_add(output)
}

fn ticket(request: &ChatRequest) -> Ticket {
    let output = request
        .features
        .max_output_tokens
        .unwrap_or(ASSUMED_OUTPUT_TOKENS);
    Ticket {
        tenant: request.tenant.clone(),
        priority: request.priority,
        deadline: request.deadline,
        cost: request
            .features
            .prompt_tokens
            .saturating_add(output.saturating_mul(4)),
        bytes: request.features.text.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::patience;

    #[test]
    fn the_nodes_own_question_keeps_its_place_for_ten_seconds_at_most() {
        assert_eq!(patience(Duration::from_secs(120)), Duration::from_secs(10));
        assert_eq!(patience(Duration::from_secs(3)), Duration::from_secs(3));
    }
}
