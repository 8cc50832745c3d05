//! A stream on its way to the client: usage stripped unless asked for, the answer kept for the
//! cache, the end accounted for.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;

use super::account::Account;
use super::recovery::{Carrier, Piece, Recovered, estimated};
use super::reply::StreamEnd;
use super::state::State;
use crate::cache::{AnswerCache, Candidate, Ticket};
use crate::dialect::openai::tap;
use crate::error::{Error, Kind};
use crate::provider::Failure;
use crate::types::{ChatRequest, Chunk, Finish, ModelName, Moment, Usage};

/// Most text kept for the cache, in bytes; a longer answer is streamed but not kept.
const MAX_KEPT: usize = 4 << 20;

/// The end of a story that is still being told. Dropped early, the account says cancelled and the
/// ticket lets followers go.
pub(super) struct Delivery {
    cache: AnswerCache,
    ticket: Option<Ticket>,
    account: Option<Account>,
    include_usage: bool,
    prompt_tokens: u64,
    end: Arc<Mutex<StreamEnd>>,
    began: Moment,
    gathered: Gathered,
}

impl Delivery {
    pub(super) fn new(
        cache: AnswerCache,
        ticket: Option<Ticket>,
        model: ModelName,
        account: Account,
    ) -> Self {
        Delivery {
            gathered: Gathered::new(model, ticket.is_some()),
            cache,
            ticket,
            account: Some(account),
            include_usage: false,
            prompt_tokens: 0,
            end: Arc::default(),
            began: Moment::now(),
        }
    }

    /// The answer to this.
    pub(super) fn of_request(mut self, request: &ChatRequest) -> Self {
        self.include_usage = request.include_usage;
        self.prompt_tokens = request.features.prompt_tokens;
        self
    }

    pub(super) fn telling(mut self, end: Arc<Mutex<StreamEnd>>) -> Self {
        self.end = end;
        self
    }

    /// The chunks the client sees.
    pub(super) fn run(
        self,
        state: Arc<State>,
        carrier: Carrier,
    ) -> BoxStream<'static, Result<Chunk, Error>> {
        stream::unfold(Some((self, carrier, state)), |running| async move {
            let (mut delivery, mut carrier, state) = running?;
            loop {
                match carrier.next().await {
                    Some(Ok(Piece::Chunk(chunk))) => {
                        if let Some(chunk) = delivery.pass(chunk) {
                            return Some((Ok(chunk), Some((delivery, carrier, state))));
                        }
                    }
                    Some(Ok(Piece::Recovered(recovered))) => delivery.recovered(&recovered, &state),
                    Some(Err(failure)) => return Some((Err(delivery.cut_off(failure)), None)),
                    None => {
                        delivery.finished();
                        return None;
                    }
                }
            }
        })
        .boxed()
    }

    /// Reads a chunk as it passes; `None` when the client does not get it.
    fn pass(&mut self, chunk: Chunk) -> Option<Chunk> {
        let usage = self.gathered.read(&chunk);
        if let (Some(account), Some(usage)) = (&mut self.account, usage) {
            self.end.lock().cost_usd = account.used(usage);
        }
        for_client(chunk, self.include_usage)
    }

    /// Another attempt carries it on: an answer made of two is not kept for others.
    fn recovered(&mut self, recovered: &Recovered, state: &State) {
        self.ticket = None;
        self.gathered.recovered(&recovered.to);
        self.end.lock().recovered = Some(recovered.to.clone());
        if let Some(account) = &mut self.account {
            account.recovered(recovered, state);
        }
    }

    fn finished(mut self) {
        let Some(mut account) = self.account.take() else {
            return;
        };
        account.streamed_for(Moment::now().since(self.began));
        self.gathered
            .book(self.prompt_tokens, &mut account, &self.end);
        account.answered();
        if let Some((ticket, answer)) = self.ticket.take().zip(self.gathered.candidate()) {
            self.cache.insert(ticket, answer);
        }
    }

    fn cut_off(mut self, failure: Failure) -> Error {
        let error = broken_off(&self.gathered.model, failure);
        if let Some(mut account) = self.account.take() {
            account.streamed_for(Moment::now().since(self.began));
            account.failed(&error);
        }
        error
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // a reader that leaves after the end has been told is no cancellation
        let told = self.gathered.finish.is_some();
        if let Some(mut account) = self.account.take().filter(|_| told) {
            self.gathered
                .book(self.prompt_tokens, &mut account, &self.end);
            account.answered();
        }
    }
}

/// What is read off a stream as it passes.
pub(super) struct Gathered {
    model: ModelName,
    /// The text is wanted, and not too long so far.
    keeps: bool,
    text: String,
    shown_model: Option<String>,
    beyond_text: bool,
    finish: Option<Finish>,
    usage: Option<Usage>,
    /// Bytes of what was said, tool calls with all that is around them.
    said: usize,
}

impl Gathered {
    /// Nothing yet of this model's answer; `keeps` when its text is wanted.
    pub(super) fn new(model: ModelName, keeps: bool) -> Self {
        Gathered {
            model,
            keeps,
            text: String::new(),
            shown_model: None,
            beyond_text: false,
            finish: None,
            usage: None,
            said: 0,
        }
    }

    /// Reads a chunk. Returns the token counts known, with the chunk that may have changed them.
    pub(super) fn read(&mut self, chunk: &Chunk) -> Option<Usage> {
        if self.keeps {
            self.keep(chunk);
        }
        self.finish = chunk.tap.finish.or(self.finish);
        self.usage = chunk.tap.usage.or(self.usage);
        let said = match chunk.tap.beyond_text {
            true => chunk.raw.len(),
            false => chunk.tap.text.len(),
        };
        self.said = self.said.saturating_add(said);
        self.usage
            .filter(|_| chunk.tap.usage.is_some() || chunk.usage_only)
    }

    /// The answer has ended: one that its upstream has not counted is booked as estimated.
    pub(super) fn book(&self, prompt: u64, account: &mut Account, end: &Mutex<StreamEnd>) {
        if self.usage.is_some() {
            return;
        }
        let cost_usd = account.estimated(estimated(prompt, self.said));
        let mut end = end.lock();
        (end.cost_usd, end.estimated) = (cost_usd, true);
    }

    /// From here on another model answers, and the whole is not to be kept.
    pub(super) fn recovered(&mut self, model: &ModelName) {
        self.model = model.clone();
        self.keeps = false;
        self.text = String::new();
    }

    /// Whose answer it is.
    pub(super) fn model(&self) -> &ModelName {
        &self.model
    }

    fn keep(&mut self, chunk: &Chunk) {
        #[derive(serde::Deserialize)]
        struct Shown {
            #[serde(default)]
            model: Option<String>,
            /// Where the first event of a stream in Anthropic's dialect has it.
            #[serde(default)]
            message: Option<Box<Shown>>,
        }
        if self.shown_model.is_none() {
            let shown = serde_json::from_slice::<Shown>(&chunk.raw)
                .ok()
                .and_then(|shown| shown.model.or(shown.message?.model));
            self.shown_model = Some(shown.unwrap_or_default());
        }
        self.beyond_text |= chunk.tap.beyond_text;
        self.text.push_str(&chunk.tap.text);
        if self.text.len() > MAX_KEPT {
            self.keeps = false;
            self.text = String::new();
        }
    }

    /// The whole answer; `None` when it was too long to keep.
    pub(super) fn candidate(&mut self) -> Option<Candidate> {
        self.keeps.then(|| Candidate {
            text: std::mem::take(&mut self.text),
            finish: self.finish,
            usage: self.usage.unwrap_or_default(),
            model: self.model.clone(),
            shown_model: self.shown_model.take().unwrap_or_default(),
            beyond_text: self.beyond_text,
            complete: true,
        })
    }
}

/// The chunk as a client gets it, if it does.
pub(super) fn for_client(mut chunk: Chunk, include_usage: bool) -> Option<Chunk> {
    if include_usage {
        return Some(chunk);
    }
    if chunk.usage_only {
        return None;
    }
    if chunk.dialect.is_openai() {
        chunk.raw = tap::without_usage(chunk.raw);
    }
    Some(chunk)
}

/// What a client is told when the model's stream breaks off.
pub(super) fn broken_off(model: &ModelName, failure: Failure) -> Error {
    let kind = if failure.timed_out {
        Kind::DeadlineExceeded
    } else {
        Kind::UpstreamFailed
    };
    Error::new(kind, format!("the answer broke off ({model}: {failure})")).with_source(failure)
}
