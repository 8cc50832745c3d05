//! The use case every door shares: cache lookup → plan → admit → attempt → cache insert → account.

pub mod reply;

use std::collections::BTreeMap;

use crate::cache::AnswerCache;
use crate::error::{Error, Kind};
use crate::types::report::{Explanation, ModelStatus, Stats};
use crate::types::{ChatRequest, ModelName};

pub use reply::{CacheStatus, Reply, ReplyBody, ReplyMeta, ReplyStream, StreamEnd};

/// The node's engine. Cheap to clone; all clones are the same engine.
#[derive(Clone, Debug)]
pub struct Engine {
    cache: AnswerCache,
}

impl Engine {
    /// Answers a request. Dropping the future, or the stream in the reply, aborts the upstream.
    ///
    /// # Errors
    /// Only when every candidate is exhausted, or the request itself is at fault.
    pub async fn chat(&self, _request: ChatRequest) -> Result<Reply, Error> {
        Err(Error::new(Kind::Unavailable, "no models"))
    }

    /// Shows where a request would go, without sending it.
    ///
    /// # Errors
    /// [`Kind::UnknownModel`] when nothing answers to the name.
    pub fn explain(&self, _request: &ChatRequest) -> Result<Explanation, Error> {
        Err(Error::new(Kind::UnknownModel, "no models"))
    }

    /// Status of every model, in configured order.
    pub fn models(&self) -> Vec<(ModelName, ModelStatus)> {
        Vec::new()
    }

    /// Names clients may ask for: `auto`, models, routes, aliases.
    pub fn model_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// The node's counters.
    pub fn stats(&self) -> Stats {
        Stats { requests_by_model: BTreeMap::new(), ..Stats::default() }
    }

    /// The cache.
    pub fn cache(&self) -> &AnswerCache {
        &self.cache
    }
}
