//! A stream on its way to the client: usage stripped unless asked for, the answer kept for the
//! cache, the end accounted for.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use parking_lot::Mutex;

use super::account::Account;
use super::reply::StreamEnd;
use crate::cache::{AnswerCache, Candidate, Ticket};
use crate::dialect::openai::tap;
use crate::error::{Error, Kind};
use crate::provider::{ChunkStream, Failure};
use crate::types::{Chunk, Finish, ModelName, Moment, Usage};

/// Most text kept for the cache, in bytes; a longer answer is streamed but not kept.
const MAX_KEPT: usize = 4 << 20;

/// The end of a story that is still being told. Dropped early, the account says cancelled and the
/// ticket lets followers go.
pub(super) struct Delivery {
    cache: AnswerCache,
    ticket: Option<Ticket>,
    model: ModelName,
    account: Option<Account>,
    include_usage: bool,
    end: Arc<Mutex<StreamEnd>>,
    began: Moment,
    text: String,
    shown_model: Option<String>,
    beyond_text: bool,
    finish: Option<Finish>,
    usage: Option<Usage>,
}

impl Delivery {
    pub(super) fn new(
        cache: AnswerCache,
        ticket: Option<Ticket>,
        model: ModelName,
        account: Account,
    ) -> Self {
        Delivery {
            cache,
            ticket,
            model,
            account: Some(account),
            include_usage: false,
            end: Arc::default(),
            began: Moment::now(),
            text: String::new(),
            shown_model: None,
            beyond_text: false,
            finish: None,
            usage: None,
        }
    }

    pub(super) fn with_usage(mut self, include: bool) -> Self {
        self.include_usage = include;
        self
    }

    pub(super) fn telling(mut self, end: Arc<Mutex<StreamEnd>>) -> Self {
        self.end = end;
        self
    }

    /// The chunks the client sees.
    pub(super) fn run(self, chunks: ChunkStream) -> BoxStream<'static, Result<Chunk, Error>> {
        stream::unfold(Some((self, chunks)), |running| async move {
            let (mut delivery, mut chunks) = running?;
            loop {
                match chunks.next().await {
                    Some(Ok(chunk)) => {
                        if let Some(chunk) = delivery.pass(chunk) {
                            return Some((Ok(chunk), Some((delivery, chunks))));
                        }
                    }
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
    fn pass(&mut self, mut chunk: Chunk) -> Option<Chunk> {
        if self.ticket.is_some() {
            self.keep(&chunk);
        }
        self.finish = chunk.tap.finish.or(self.finish);
        self.usage = chunk.tap.usage.or(self.usage);
        if chunk.tap.usage.is_some() || chunk.usage_only {
            self.tell_cost();
        }
        if self.include_usage {
            return Some(chunk);
        }
        if chunk.usage_only {
            return None;
        }
        chunk.raw = tap::without_usage(chunk.raw);
        Some(chunk)
    }

    fn keep(&mut self, chunk: &Chunk) {
        #[derive(serde::Deserialize)]
        struct Shown {
            #[serde(default)]
            model: Option<String>,
        }
        if self.shown_model.is_none() {
            let shown = serde_json::from_slice::<Shown>(&chunk.raw)
                .ok()
                .and_then(|s| s.model);
            self.shown_model = Some(shown.unwrap_or_default());
        }
        self.beyond_text |= chunk.tap.beyond_text;
        self.text.push_str(&chunk.tap.text);
        if self.text.len() > MAX_KEPT {
            self.ticket = None;
            self.text = String::new();
        }
    }

    fn tell_cost(&mut self) {
        if let (Some(account), Some(usage)) = (&mut self.account, self.usage) {
            self.end.lock().cost_usd = account.used(usage);
        }
    }

    fn finished(mut self) {
        let Some(mut account) = self.account.take() else {
            return;
        };
        account.streamed_for(Moment::now().since(self.began));
        account.answered();
        if let Some(ticket) = self.ticket.take() {
            let answer = Candidate {
                text: std::mem::take(&mut self.text),
                finish: self.finish,
                usage: self.usage.unwrap_or_default(),
                model: self.model.clone(),
                shown_model: self.shown_model.take().unwrap_or_default(),
                beyond_text: self.beyond_text,
                complete: true,
            };
            self.cache.insert(ticket, answer);
        }
    }

    fn cut_off(mut self, failure: Failure) -> Error {
        let kind = if failure.timed_out {
            Kind::DeadlineExceeded
        } else {
            Kind::UpstreamFailed
        };
        let message = format!("the answer broke off ({}: {failure})", self.model);
        let error = Error::new(kind, message).with_source(failure);
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
        if let Some(account) = self.account.take().filter(|_| self.finish.is_some()) {
            account.answered();
        }
    }
}
