//! The cache's own embedder as a model that makes vectors: in this process, without any upstream.
//!
//! Built from a config it has no embedder yet; the engine lends it the node's when it puts it in
//! service. What the cache remembers of recent texts is neither asked nor filled.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::{Answer, Call, CannotEmbed, Class, EmbedCall, Failure, Provider};
use crate::cache::embed::EmbedError;
use crate::cache::embed::weights::MODEL_NAME;
use crate::cache::{EmbeddingError, TextEmbedder};
use crate::types::{Embeddings, Inputs, Moment, Usage};

/// What precedes the model's name where a client asks for it without any configuration.
pub const PREFIX: &str = "local/";
/// Texts of one request that the embedder works on at once. Its queue is short and the cache's
/// lookups wait in it too.
const AT_ONCE: usize = 8;
/// When to come back while the embedder is busy: its whole queue is about a second of work.
const BUSY_FOR: Duration = Duration::from_secs(1);

/// The embedder of this node.
#[derive(Debug)]
pub struct Local {
    model: String,
    embedder: Option<Arc<dyn TextEmbedder>>,
}

impl Local {
    /// The model of this name, before it has its embedder.
    pub fn new(model: impl Into<String>) -> Self {
        Local {
            model: model.into(),
            embedder: None,
        }
    }

    /// The same with the node's embedder, if that is of this name.
    #[must_use]
    pub fn with(mut self, embedder: Option<&Arc<dyn TextEmbedder>>) -> Self {
        let its = embedder.filter(|embedder| name_of(embedder.space()) == self.model);
        self.embedder = its.cloned();
        self
    }

    /// The node's embedder under its own name.
    pub fn of(embedder: &Arc<dyn TextEmbedder>) -> Self {
        Local {
            model: name_of(embedder.space()).to_owned(),
            embedder: Some(Arc::clone(embedder)),
        }
    }

    /// What clients ask for.
    pub fn public_name(&self) -> String {
        format!("{PREFIX}{}", self.model)
    }

    /// Why there are no vectors without an embedder, and what to do.
    pub fn absent(&self) -> String {
        if self.model == MODEL_NAME {
            let how = "`llm-router model pull` fetches them, then restart the node";
            return format!("the weights of {MODEL_NAME} are not on this node; {how}");
        }
        format!("this node's embedder is not {}", self.model)
    }
}

/// The model's part of a space's name.
fn name_of(space: &str) -> &str {
    space.split(['@', '+']).next().unwrap_or(space)
}

#[async_trait]
impl Provider for Local {
    fn kind(&self) -> &'static str {
        "local"
    }

    fn default_model(&self) -> &str {
        &self.model
    }

    fn chats(&self) -> bool {
        false
    }

    async fn generate(&self, _call: Call) -> Result<Answer, Failure> {
        Err(refusal("local models only make vectors", "model", None))
    }

    fn embeds(&self) -> bool {
        true
    }

    fn embed_batch(&self) -> usize {
        2048
    }

    fn cannot_embed(&self, inputs: &Inputs, dimensions: Option<u32>) -> Option<CannotEmbed> {
        let Some(embedder) = &self.embedder else {
            return Some(CannotEmbed::Absent(self.absent()));
        };
        if matches!(inputs, Inputs::Tokens(_)) {
            return Some(CannotEmbed::These("takes no token ids".to_owned()));
        }
        let (wanted, its) = (dimensions?, embedder.dimensions()?);
        let differs = u32::try_from(its).ok() != Some(wanted);
        differs.then(|| CannotEmbed::These(format!("makes vectors of {its} numbers only")))
    }

    async fn embed(&self, call: EmbedCall) -> Result<Embeddings, Failure> {
        let embedder = self
            .embedder
            .as_ref()
            .ok_or_else(|| Failure::new(Class::Hard, self.absent()))?;
        let Inputs::Texts(texts) = &*call.inputs else {
            return Err(refusal("takes no token ids", "input", None));
        };
        let deadline = call.deadline.min(Moment::now() + call.timeouts.total);
        let each = (0..texts.len()).map(|at| one(embedder, &texts[at], at, deadline));
        let made: Vec<(Vec<f32>, u64)> = stream::iter(each).buffered(AT_ONCE).try_collect().await?;
        let pieces = made.iter().fold(0u64, |sum, (_, n)| sum.saturating_add(*n));
        Ok(Embeddings {
            model: self.public_name(),
            vectors: made.into_iter().map(|(vector, _)| vector).collect(),
            usage: Some(Usage::new(pieces, 0)),
        })
    }

    async fn health(&self) -> Result<(), Failure> {
        match self.embedder {
            Some(_) => Ok(()),
            None => Err(Failure::new(Class::Hard, self.absent())),
        }
    }
}

async fn one(
    embedder: &Arc<dyn TextEmbedder>,
    text: &str,
    at: usize,
    deadline: Moment,
) -> Result<(Vec<f32>, u64), Failure> {
    let made = embedder.embed_afresh(text, deadline).await;
    match made.map_err(failed)? {
        Some((vector, pieces)) => Ok((vector.to_vec(), pieces)),
        None => {
            let message = format!("input {at} is longer than the model takes");
            Err(refusal(&message, "input", Some("context_length_exceeded")))
        }
    }
}

fn failed(error: EmbeddingError) -> Failure {
    use std::error::Error as _;
    let retry_after = Some(BUSY_FOR);
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(EmbedError::Busy) => Failure::new(Class::Gate { retry_after }, "embedder is busy"),
        Some(EmbedError::Late) => Failure::timed_out("embedding did not finish in time"),
        Some(
            EmbedError::Lost
            | EmbedError::Weights(_)
            | EmbedError::Model(_)
            | EmbedError::Tokenize(_)
            | EmbedError::SelfCheck { .. }
            | EmbedError::TooCoarse { .. }
            | EmbedError::Threads(_),
        )
        | None => Failure::hard("text could not be embedded", error),
    }
}

/// What the caller has to change.
fn refusal(message: &str, param: &str, code: Option<&str>) -> Failure {
    let error =
        json!({"message": message, "type": "invalid_request_error", "param": param, "code": code});
    Failure {
        status: Some(400),
        body: Bytes::from(json!({"error": error}).to_string()),
        ..Failure::new(Class::Caller, message)
    }
}

#[cfg(test)]
mod tests;
