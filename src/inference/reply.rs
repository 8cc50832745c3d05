//! What the use case hands back to a door.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use futures::stream::BoxStream;
use llm_router_cluster::Revision;
use parking_lot::Mutex;

use crate::cache::{EntryId, Explained, TierState};
use crate::error::Error;
use crate::types::{Chunk, Completion, ModelName, RequestId, RouteName};

/// What `x-llm-router-estimated` names: what nobody counted.
pub(crate) const ESTIMATED: &str = "usage";

/// How the cache took part, as in `x-llm-router-cache`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheStatus {
    /// Looked, found nothing that may be reused.
    Miss,
    /// An identical request's answer.
    Exact,
    /// The answer to a request of the same meaning.
    Semantic,
    /// Not looked: off, too hot, not cacheable.
    #[default]
    Bypass,
}

impl CacheStatus {
    /// The header's value and the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            CacheStatus::Miss => "miss",
            CacheStatus::Exact => "exact",
            CacheStatus::Semantic => "semantic",
            CacheStatus::Bypass => "bypass",
        }
    }
}

/// What is known when the first byte goes out.
#[derive(Clone, Debug)]
pub struct ReplyMeta {
    /// The request.
    pub id: RequestId,
    /// The agreed config it was routed under; 0 for the node's default.
    pub revision: Revision,
    /// The rule that matched.
    pub route: Option<RouteName>,
    /// The model that answered (or once answered, for a hit).
    pub model: ModelName,
    /// Tries made for this request; 0 for a hit.
    pub attempts: u32,
    /// Parameters the model was asked without.
    pub dropped: Vec<Cow<'static, str>>,
    /// The cache's part.
    pub cache: CacheStatus,
    /// Cosine of a semantic hit.
    pub similarity: Option<f32>,
    /// The cache's entry, for a hit.
    pub entry: Option<EntryId>,
    /// Time since that answer was made.
    pub age: Option<Duration>,
    /// Why the cache served, or did not.
    pub explained: Option<Explained>,
    /// Time from arrival to this reply.
    pub elapsed: Duration,
    /// Cost in US dollars, once known and priced; known at once for whole answers and hits.
    pub cost_usd: Option<f64>,
    /// The upstream has not counted the answer: its tokens, and so its cost, are an estimate.
    pub estimated: bool,
}

impl ReplyMeta {
    /// What the cache says of its part, as headers and metadata: the entry, its age in seconds, the
    /// probability that it is right, and why it was served. Why it was not is said where `explain`
    /// asks for it. Shows no text.
    pub fn cache_story(&self, explain: bool) -> Vec<(&'static str, String)> {
        let mut story = Vec::new();
        let is_hit = self.entry.is_some();
        if let Some(entry) = self.entry {
            story.push(("x-llm-router-cache-entry", entry.to_string()));
        }
        if let Some(age) = self.age {
            story.push(("x-llm-router-cache-age", age.as_secs().to_string()));
        }
        let Some(explained) = &self.explained else {
            return story;
        };
        if let Some(weighed) = explained.nearest.filter(|_| is_hit) {
            let probability = format!("{:.4}", weighed.probability);
            story.push(("x-llm-router-cache-probability", probability));
        }
        if explained.tier != TierState::Normal {
            let tier = explained.tier.as_str().to_owned();
            story.push(("x-llm-router-cache-tier", tier));
        }
        if is_hit || explain {
            story.push(("x-llm-router-cache-explain", explained.to_string()));
        }
        story
    }
}

impl ReplyMeta {
    /// What the model was asked without, as a header's value; `None` for nothing.
    pub fn dropped_params(&self) -> Option<String> {
        (!self.dropped.is_empty()).then(|| self.dropped.join(", "))
    }
}

/// One answer.
#[derive(Debug)]
pub struct Reply {
    /// What is known now.
    pub meta: ReplyMeta,
    /// The answer.
    pub body: ReplyBody,
}

/// The answer itself.
#[derive(Debug)]
pub enum ReplyBody {
    /// All of it.
    Complete(Completion),
    /// Piece by piece.
    Stream(ReplyStream),
}

/// What became known while a stream ran: the final SSE comment.
#[derive(Clone, Debug, Default)]
pub struct StreamEnd {
    /// Cost in US dollars.
    pub cost_usd: Option<f64>,
    /// As in [`ReplyMeta::estimated`].
    pub estimated: bool,
    /// The model that carried the stream on when the one that began it died; the last one where there
    /// were several.
    pub recovered: Option<ModelName>,
}

impl StreamEnd {
    /// Of two answers to one request, what is told of both: the sum of what is known to have been
    /// paid.
    pub fn join(&mut self, other: StreamEnd) {
        let costs = [self.cost_usd, other.cost_usd];
        self.cost_usd = costs.into_iter().flatten().reduce(|one, more| one + more);
        self.estimated |= other.estimated;
        self.recovered = other.recovered.or(self.recovered.take());
    }

    /// What is told under which name, after the last chunk.
    pub fn notes(&self) -> Vec<(&'static str, String)> {
        let cost = self.cost_usd.map(|cost| cost.to_string());
        let recovered = self.recovered.as_ref().map(ToString::to_string);
        let estimated = self.estimated.then(|| ESTIMATED.to_owned());
        [
            ("x-llm-router-recovered", recovered),
            ("x-llm-router-estimated", estimated),
            ("x-llm-router-cost-usd", cost),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// A stream of chunks, ready to be framed. Usage chunks the client did not ask for are already
/// gone. An `Err` is the last item: the upstream was cut off, and the door must say so.
pub struct ReplyStream {
    inner: BoxStream<'static, Result<Chunk, Error>>,
    end: Arc<Mutex<StreamEnd>>,
}

impl ReplyStream {
    /// Wraps a stream and the place where its end is noted.
    pub fn new(
        inner: BoxStream<'static, Result<Chunk, Error>>,
        end: Arc<Mutex<StreamEnd>>,
    ) -> Self {
        ReplyStream { inner, end }
    }

    /// What is known once the stream has ended.
    pub fn end(&self) -> StreamEnd {
        self.end.lock().clone()
    }
}

impl std::fmt::Debug for ReplyStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReplyStream(..)")
    }
}

impl Stream for ReplyStream {
    type Item = Result<Chunk, Error>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(cx)
    }
}
