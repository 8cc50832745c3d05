//! Why the cache could not do what it was asked.

use super::embedding::EmbeddingError;
use super::store::StoreError;
use crate::error::{Error as NodeError, Kind};

/// Why a cache operation failed. Lookups and inserts never fail: they miss.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The semantic tier has no embedder.
    #[error("the semantic tier has no embedder")]
    NoEmbedder,
    /// The embedder failed.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    /// Background work was stopped.
    #[error("the cache is shutting down")]
    Stopped,
    /// It was agreed on and is in force, but this node's disk has not let go of it.
    #[error("called off, but not yet gone from this node's disk")]
    StillOnDisk,
    /// The cluster did not agree.
    #[error(transparent)]
    Cluster(#[from] llm_router_cluster::Error),
}

impl From<Error> for NodeError {
    fn from(failed: Error) -> Self {
        match failed {
            Error::Cluster(refused) => refused.into(),
            Error::Stopped => NodeError::new(Kind::Unavailable, failed.to_string()),
            Error::Store(_) | Error::NoEmbedder | Error::Embedding(_) | Error::StillOnDisk => {
                NodeError::new(Kind::Internal, "the cache failed").with_source(failed)
            }
        }
    }
}
