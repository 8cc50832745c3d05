//! A stream that survives its upstream: what dies is carried on by another attempt. An `Err` is its
//! last item.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use tracing::{Instrument, Span};

use super::rejoining::Rejoining;
use super::request::{afresh, estimated, prefilled};
use super::splice::{Mismatch, Splice};
use super::told::Told;
use crate::config::routing::StreamRecovery;
use crate::inference::candidates::Asked;
use crate::inference::engine::Inner;
use crate::inference::retry::backoff;
use crate::inference::state::State;
use crate::model::{Attempt, AttemptError, Attempted, ModelHandle, Prefill};
use crate::provider::{ChunkStream, Class, Failure};
use crate::routing::{Bar, Plan};
use crate::types::{ChatRequest, Chunk, ModelName, Moment, Usage};

/// Most times one answer is carried on.
const MOST_RECOVERIES: u32 = 2;

/// A stream that has begun, and all that is needed to carry it on.
pub(in crate::inference) struct Begun {
    pub(in crate::inference) state: Arc<State>,
    pub(in crate::inference) plan: Plan,
    pub(in crate::inference) request: ChatRequest,
    /// Who was asked until now.
    pub(in crate::inference) asked: Asked,
    /// Who answers.
    pub(in crate::inference) model: ModelName,
    pub(in crate::inference) chunks: ChunkStream,
    /// The request's span.
    pub(in crate::inference) span: Span,
}

/// What comes out.
#[derive(Debug)]
pub(in crate::inference) enum Piece {
    /// A piece of the one answer.
    Chunk(Chunk),
    /// From here on another attempt carries it on.
    Recovered(Recovered),
}

/// How an answer was carried on.
#[derive(Debug)]
pub(in crate::inference) struct Recovered {
    /// Who does.
    pub(in crate::inference) to: ModelName,
    /// What the attempts that died used, told or estimated, each with its model.
    pub(in crate::inference) spent: Vec<(ModelName, Usage)>,
    /// Attempts made for it.
    pub(in crate::inference) attempts: u32,
}

/// The stream.
pub(in crate::inference) struct Carrier {
    inner: Arc<Inner>,
    begun: Begun,
    /// `None` where it is not to be carried on.
    told: Option<Told>,
    /// The continuation being read; `None` while the first attempt lives.
    rejoining: Option<Rejoining>,
    /// What killed the attempt that is being replaced.
    cause: Option<Failure>,
    /// Token counts of the running attempt, and the bytes it said.
    usage: Option<Usage>,
    said: usize,
    prompt_tokens: u64,
    /// What dead attempts used, in all and as far as nobody has heard of it.
    earlier: Usage,
    spent: Vec<(ModelName, Usage)>,
    recoveries: u32,
    attempts: u32,
    /// The model that died was asked once more.
    asked_again: bool,
    ready: VecDeque<Piece>,
    over: bool,
}

/// Why a candidate does not carry on.
enum Declined {
    /// Another one may.
    Other,
    /// The client's time is over.
    Late,
}

impl Carrier {
    pub(in crate::inference) fn new(inner: Arc<Inner>, begun: Begun) -> Self {
        let wanted = begun.plan.resilience.stream_recovery == StreamRecovery::Auto;
        let told = wanted.then(|| Told::of(&begun.request)).flatten();
        Carrier {
            inner,
            told,
            rejoining: None,
            cause: None,
            usage: None,
            said: 0,
            prompt_tokens: begun.request.features.prompt_tokens,
            earlier: Usage::default(),
            spent: Vec::new(),
            recoveries: 0,
            attempts: 0,
            asked_again: false,
            ready: VecDeque::new(),
            over: false,
            begun,
        }
    }

    /// The next piece.
    pub(in crate::inference) async fn next(&mut self) -> Option<Result<Piece, Failure>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(Ok(piece));
            }
            if self.over {
                return None;
            }
            let died = match self.begun.chunks.next().await {
                Some(Ok(chunk)) => match self.hear(chunk) {
                    Ok(Some(chunk)) => return Some(Ok(Piece::Chunk(chunk))),
                    Ok(None) => continue,
                    Err(Mismatch) => None,
                },
                Some(Err(failure)) => Some(failure),
                None => {
                    self.close();
                    continue;
                }
            };
            if let Err(failure) = Box::pin(self.carry_on(died)).await {
                self.over = true;
                self.begun.chunks = stream::empty().boxed();
                return Some(Err(failure));
            }
        }
    }

    /// Reads a chunk: what comes first passes as it is, what carries it on is fitted in.
    fn hear(&mut self, chunk: Chunk) -> Result<Option<Chunk>, Mismatch> {
        let Some(told) = &mut self.told else {
            return Ok(Some(chunk));
        };
        self.usage = chunk.tap.usage.or(self.usage);
        self.said = self.said.saturating_add(chunk.tap.text.len());
        if self.rejoining.is_none() {
            told.hear(&chunk);
            return Ok(Some(chunk));
        }
        self.fit(chunk)?;
        Ok(None)
    }

    fn fit(&mut self, chunk: Chunk) -> Result<(), Mismatch> {
        let (Some(told), Some(rejoining)) = (&mut self.told, &mut self.rejoining) else {
            return Ok(());
        };
        let news = rejoining.fit(told, &chunk)?;
        if !news.is_empty() {
            self.tell_of_it();
        }
        self.ready.extend(news.into_iter().map(Piece::Chunk));
        Ok(())
    }

    /// The continuation has joined: whoever keeps the books hears of it first.
    fn tell_of_it(&mut self) {
        let Some((from, how)) = self.rejoining.as_mut().and_then(Rejoining::news) else {
            return;
        };
        self.cause = None;
        let to = self.begun.model.clone();
        let metrics = self.inner.recorder.metrics();
        metrics.stream_recovered(&from, &to, how);
        tracing::info!(%from, %to, how, "stream carried on by another attempt");
        self.ready.push_back(Piece::Recovered(Recovered {
            to,
            spent: std::mem::take(&mut self.spent),
            attempts: std::mem::take(&mut self.attempts),
        }));
    }

    /// The upstream has said all. Of several attempts, their counts are told as one.
    fn close(&mut self) {
        self.over = true;
        if let Some(rejoining) = &self.rejoining {
            let usage = self.earlier.plus(self.used());
            let chunk = rejoining.usage(usage);
            self.tell_of_it();
            self.ready.push_back(Piece::Chunk(chunk));
        }
    }

    /// What the running attempt has used: told, or estimated.
    fn used(&self) -> Usage {
        let guess = || estimated(self.prompt_tokens, self.said);
        self.usage.unwrap_or_else(guess).totalled()
    }

    /// The attempt being read is dead (`None`: it gives another answer). Finds one that carries it
    /// on, or returns what killed it.
    async fn carry_on(&mut self, died: Option<Failure>) -> Result<(), Failure> {
        let why = match self.cause.take().or(died) {
            Some(why) => why,
            None => Failure::new(Class::Hard, "the answer cannot be carried on"),
        };
        if !self.may_go_on(&why) {
            return Err(why);
        }
        let dead = self.begun.model.clone();
        let used = self.used();
        self.earlier = self.earlier.plus(used);
        self.spent.push((dead.clone(), used));
        (self.usage, self.said) = (None, 0);
        // the dead attempt's connection and its place go before another one is asked for
        self.begun.chunks = stream::empty().boxed();
        while self.recoveries < MOST_RECOVERIES {
            let Some((model, pause)) = self.next_model(&dead, &why) else {
                break;
            };
            tokio::time::sleep(pause).await;
            let span = self.begun.span.clone();
            match self.ask(&model, &dead).instrument(span).await {
                Ok(()) => {
                    self.cause = Some(why);
                    return Ok(());
                }
                Err(Declined::Other) => {}
                Err(Declined::Late) => break,
            }
        }
        Err(why)
    }

    fn may_go_on(&self, why: &Failure) -> bool {
        let fault = match why.class {
            Class::Hard | Class::Gate { .. } => true,
            Class::Credential | Class::Caller => false,
        };
        let in_time = Moment::now() < self.begun.request.deadline;
        fault && in_time && self.told.as_ref().is_some_and(Told::can_go_on)
    }

    /// Whoever of the plan was not asked yet, those after the dead one first; then, once, it again
    /// after a pause, where the rules for trying one again allow it.
    fn next_model(&mut self, dead: &ModelName, why: &Failure) -> Option<(ModelHandle, Duration)> {
        let candidates = &self.begun.plan.candidates;
        let at = candidates.iter().position(|one| one.model == *dead);
        let (before, after) = candidates.split_at(at.map_or(0, |at| at + 1));
        let fit = after.iter().chain(before).find(|one| {
            let unfit = one
                .barred
                .as_ref()
                .is_some_and(|bar| bar.cause == Bar::Unfit);
            !unfit && self.begun.asked.times(&one.model) == 0
        });
        if let Some(model) = fit.and_then(|one| self.begun.state.models.get(&one.model)) {
            return Some((model.clone(), Duration::ZERO));
        }
        let (retry, now) = (&self.begun.state.config.retry, Moment::now());
        let times = self.begun.asked.times(dead);
        let pause = backoff(&retry.backoff, times, self.inner.roll());
        let model = self.begun.state.models.get(dead)?;
        let again = !self.asked_again
            && matches!(why.class, Class::Hard)
            && !why.timed_out
            && times < retry.max_attempts
            && self.begun.asked.may_again(dead)
            && now + pause < self.begun.request.deadline
            && self.inner.budget.lock().take(now);
        if !again {
            return None;
        }
        self.asked_again = true;
        self.inner.recorder.metrics().retried();
        Some((model.clone(), pause))
    }

    /// Asks one model to carry it on: with the beginning where it continues one, else anew.
    async fn ask(&mut self, model: &ModelHandle, dead: &ModelName) -> Result<(), Declined> {
        let Some(told) = &self.told else {
            return Err(Declined::Other);
        };
        let asked = &self.begun.request;
        let given = match model.prefill() {
            Prefill::No => None,
            Prefill::AsSent => prefilled(asked, told.text(), false),
            Prefill::Trimmed => prefilled(asked, told.text(), true),
        };
        let anew = afresh(asked).map(|request| (request, Splice::regenerate()));
        let given = given.map(|(request, owed)| (request, Splice::prefill(owed)));
        self.begun.asked.count(model.name());
        for (request, splice) in given.into_iter().chain(anew) {
            self.attempts += 1;
            let attempt = Attempt {
                request: &request,
                number: self.begun.asked.total(),
                sent: None,
            };
            match Box::pin(model.attempt(attempt)).await {
                Ok(Attempted::Stream(chunks, _)) => {
                    self.begin(model, (dead, splice), chunks);
                    self.prompt_tokens = request.features.prompt_tokens;
                    return Ok(());
                }
                // some take no beginning: they are asked anew
                Err(AttemptError::Failed(failure))
                    if failure.class == Class::Caller && splice != Splice::regenerate() => {}
                Err(AttemptError::Deadline) => return Err(Declined::Late),
                Err(AttemptError::Refused(_)) => {
                    self.attempts -= 1;
                    return Err(Declined::Other);
                }
                Err(AttemptError::Failed(_)) | Ok(Attempted::Whole(..)) => {
                    return Err(Declined::Other);
                }
            }
        }
        Err(Declined::Other)
    }

    fn begin(
        &mut self,
        model: &ModelHandle,
        (from, splice): (&ModelName, Splice),
        it: ChunkStream,
    ) {
        self.recoveries += 1;
        self.begun.chunks = it;
        self.begun.model = model.name().clone();
        let head = self.told.as_ref().map(Told::head);
        self.rejoining = head.map(|head| Rejoining::new(from.clone(), splice, head));
    }
}
