//! How one attempt ended, told exactly once to everyone who must know: breaker, profile, metrics
//! and span. Dropped before it is settled, the attempt was cancelled.

use std::time::Duration;

use tracing::Span;

use super::attempt::Asker;
use super::handle::ModelHandle;
use super::wallet::Drawn;
use crate::breaker::{Outcome, Ticket};
use crate::provider::{Class, Failure};
use crate::telemetry::content::{self, Heard};
use crate::telemetry::spans::{AttemptEnd, attempt_ended};
use crate::telemetry::{AttemptOutcome, AttemptRecord};
use crate::types::{Finish, Moment, Tap, Usage};

/// An attempt that is still running.
#[derive(Debug)]
pub(super) struct Verdict {
    model: ModelHandle,
    leave: Option<(Ticket, Drawn)>,
    pub(super) started: Moment,
    first_token: Option<Duration>,
    usage: Option<Usage>,
    finish: Option<Finish>,
    /// Who asks.
    pub(super) asker: Asker,
    /// The conventions' word for what is asked.
    operation: &'static str,
    /// Its span is told to a collector; else nothing is read for it alone.
    told: bool,
    /// What it says, where that is wanted.
    heard: Heard,
    /// The model that the upstream says answers.
    named: Option<String>,
    pub(super) span: Span,
}

impl Verdict {
    pub(super) fn new(
        model: ModelHandle,
        (leave, drawn): (Ticket, Drawn),
        (asker, span): (Asker, Span),
    ) -> Self {
        let told = content::is_told(&span);
        Verdict {
            model,
            leave: Some((leave, drawn)),
            started: leave.admitted,
            first_token: None,
            usage: None,
            finish: None,
            asker,
            operation: "chat",
            told,
            heard: Heard::begin(told),
            named: None,
            span,
        }
    }

    /// The same about vectors.
    pub(super) fn about_vectors(mut self) -> Self {
        self.operation = "embeddings";
        self
    }

    /// How long the attempt may go without a sign of life because it is a probe on a lease.
    pub(super) fn lease_left(&self) -> Option<Duration> {
        let (ticket, _) = self.leave.as_ref()?;
        ticket.lease_until.map(|end| self.started.until(end))
    }

    /// The first real delta is here.
    pub(super) fn first_token(&mut self) {
        if self.first_token.is_none() {
            let time = Moment::now().since(self.started);
            self.first_token = Some(time);
            self.model.shared.waits.lock().note(true, time);
        }
        if let Some((ticket, _)) = &self.leave {
            self.model.shared.breaker.answers(*ticket);
        }
    }

    /// A piece of the answer passed.
    pub(super) fn saw(&mut self, tap: &Tap) {
        self.usage = tap.usage.or(self.usage);
        self.finish = tap.finish.or(self.finish);
        self.heard.piece(&tap.text);
    }

    /// The answer, or a piece of how it begins, which may be an announcement without a name. Read for
    /// the span alone.
    pub(super) fn began(&mut self, raw: &[u8]) {
        if self.told && self.named.is_none() {
            self.named = content::model_named(raw);
        }
    }

    pub(super) fn answered(mut self) {
        let latency = Moment::now().since(self.started);
        if self.first_token.is_none() && self.asker != Asker::Node {
            self.model.shared.waits.lock().note(false, latency);
        }
        let first_token = self.first_token.unwrap_or(latency);
        let mut profile = self.model.shared.profile.lock();
        let outcome = if profile.is_slow(first_token) {
            Outcome::Slow
        } else {
            Outcome::Ok
        };
        profile.answered(first_token, latency);
        drop(profile);
        self.settle(outcome, AttemptOutcome::Answered, None);
    }

    pub(super) fn failed(mut self, failure: &Failure) {
        if matches!(failure.class, Class::Hard) && self.asker != Asker::Nobody {
            self.model.shared.profile.lock().failed();
        }
        // what the upstream has against the node's own question says that it is there
        let lives = self.asker == Asker::Node && matches!(failure.class, Class::Caller);
        let outcome = if lives {
            Outcome::Ok
        } else {
            Outcome::from(failure.class)
        };
        let told = AttemptOutcome::Failed(failure.class);
        self.settle(outcome, told, failure.status);
    }

    /// The upstream said nothing within its limit. The node's own question waits less than the first
    /// token's time where that is long, and what was not waited for proves nothing.
    pub(super) fn silent(self, failure: &Failure, limit: Duration) {
        if self.asker == Asker::Node && limit < self.model.spec.timeouts().first_token {
            self.out_of_time(false);
        } else {
            self.failed(failure);
        }
    }

    /// The client's time ran out. It counts against the model only after real patience.
    pub(super) fn out_of_time(mut self, patient: bool) {
        let outcome = if patient {
            Outcome::Hard
        } else {
            Outcome::Cancelled
        };
        self.settle(outcome, AttemptOutcome::Abandoned, None);
    }

    /// What the attempt cost; nothing when that has to be estimated.
    fn tokens(&self, told: AttemptOutcome) -> Option<u64> {
        let refused = matches!(told, AttemptOutcome::Failed(_)) && self.first_token.is_none();
        let sum = |usage: Usage| usage.prompt_tokens.saturating_add(usage.completion_tokens);
        let counted = self.usage.map(|usage| usage.total_tokens.max(sum(usage)));
        counted.or(refused.then_some(0))
    }

    fn settle(&mut self, outcome: Outcome, told: AttemptOutcome, status: Option<u16>) {
        let Some((leave, drawn)) = self.leave.take() else {
            return;
        };
        let outcome = match self.asker {
            // that an upstream dislikes what no client asks is nothing to its clients
            Asker::Nobody if outcome != Outcome::Ok => Outcome::Cancelled,
            Asker::Nobody | Asker::Client | Asker::Node => outcome,
        };
        self.model.shared.breaker.record(leave, outcome);
        drawn.settle(self.tokens(told));
        self.model.shared.metrics.attempt_ended(&AttemptRecord {
            operation: self.operation,
            model: self.model.name(),
            outcome: told,
            duration: Moment::now().since(self.started),
            first_chunk: self.first_token,
            usage: self.usage,
        });
        let known = AttemptEnd {
            response_model: self.named.as_deref(),
            finish: self.finish,
            usage: self.usage,
            status,
        };
        self.heard.end(&self.span, self.finish);
        attempt_ended(&self.span, told, &known);
    }
}

impl Drop for Verdict {
    fn drop(&mut self) {
        // a reader that leaves after the end has been told is no cancellation
        match self.finish {
            Some(_) => self.settle(Outcome::Ok, AttemptOutcome::Answered, None),
            None => self.settle(Outcome::Cancelled, AttemptOutcome::Abandoned, None),
        }
    }
}
