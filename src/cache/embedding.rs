//! What the cache asks of an embedder: text in, unit-length vector out.
//!
//! The model itself lives elsewhere; tests hand in a deterministic one.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::embed::{Calibration, Embedder, States};
use crate::types::Moment;

/// The embedder gave no vector: overloaded, stopped or broken. The semantic tier is skipped.
#[derive(Debug, thiserror::Error)]
#[error("text could not be embedded")]
pub struct EmbeddingError(#[source] Box<dyn StdError + Send + Sync>);

impl EmbeddingError {
    /// Wraps the cause.
    pub fn new(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        EmbeddingError(source.into())
    }
}

/// Turns a text into a vector of one fixed space.
#[async_trait]
pub trait TextEmbedder: fmt::Debug + Send + Sync {
    /// The unit-length vector of `text`, or `None` when it is too long to be read whole.
    ///
    /// Whatever the embedder remembers may answer faster within the same `scope` (a tenant's id)
    /// alone: the time an answer takes must not tell one tenant what another has asked.
    ///
    /// # Errors
    /// [`EmbeddingError`] when no vector could be made before `deadline`.
    async fn embed(
        &self,
        scope: &str,
        text: &str,
        deadline: Moment,
    ) -> Result<Option<Arc<[f32]>>, EmbeddingError>;

    /// The rows of `text`, one per word piece, for judging pairs; `None` when it is too long, or
    /// this embedder has no rows to show.
    ///
    /// # Errors
    /// [`EmbeddingError`] when none could be made before `deadline`.
    async fn states(
        &self,
        _scope: &str,
        _text: &str,
        _deadline: Moment,
    ) -> Result<Option<Arc<States>>, EmbeddingError> {
        Ok(None)
    }

    /// The vector of `text`, with how many word pieces it was made of; `None` when it is too long to
    /// be read whole. An embedder that remembers neither asks nor fills its memory.
    ///
    /// # Errors
    /// As [`TextEmbedder::embed`].
    async fn embed_afresh(
        &self,
        text: &str,
        deadline: Moment,
    ) -> Result<Option<(Arc<[f32]>, u64)>, EmbeddingError> {
        let words = text.split_whitespace().count() as u64;
        let vector = self.embed("", text, deadline).await?;
        Ok(vector.map(|vector| (vector, words)))
    }

    /// Numbers per vector, where that is known before the first.
    fn dimensions(&self) -> Option<usize> {
        None
    }

    /// The text's vector costs nothing, because it is remembered.
    fn remembers(&self, _scope: &str, _text: &str) -> bool {
        false
    }

    /// What cosines mean in this space.
    fn calibration(&self) -> Calibration {
        Calibration::MINI_LM
    }

    /// Name of the vector space. Vectors of different spaces are never compared.
    fn space(&self) -> &str;
}

#[async_trait]
impl TextEmbedder for Embedder {
    async fn embed(
        &self,
        scope: &str,
        text: &str,
        deadline: Moment,
    ) -> Result<Option<Arc<[f32]>>, EmbeddingError> {
        let vector = self
            .embed_for(scope, text, deadline)
            .await
            .map_err(EmbeddingError::new)?;
        Ok(vector.map(|vector| vector.as_slice().into()))
    }

    async fn states(
        &self,
        scope: &str,
        text: &str,
        deadline: Moment,
    ) -> Result<Option<Arc<States>>, EmbeddingError> {
        Embedder::states(self, scope, text, deadline)
            .await
            .map_err(EmbeddingError::new)
    }

    async fn embed_afresh(
        &self,
        text: &str,
        deadline: Moment,
    ) -> Result<Option<(Arc<[f32]>, u64)>, EmbeddingError> {
        let Some(pieces) = self.pieces(text).map_err(EmbeddingError::new)? else {
            return Ok(None);
        };
        let vector = self.embed_uncached(text, deadline).await;
        let vector = vector.map_err(EmbeddingError::new)?;
        Ok(vector.map(|vector| (vector.as_slice().into(), pieces)))
    }

    fn dimensions(&self) -> Option<usize> {
        Some(Self::dimensions(self))
    }

    fn remembers(&self, scope: &str, text: &str) -> bool {
        Embedder::remembers(self, scope, text)
    }

    fn calibration(&self) -> Calibration {
        Self::calibration(self)
    }

    fn space(&self) -> &str {
        Self::space(self)
    }
}
