//! Sends one attempt to one upstream, classifies what comes back, streams it.
//!
//! A provider never retries, never queues and never consults a breaker: it makes one try and says
//! in one word ([`Class`]) what the try means. Dropping the returned future or stream aborts the
//! upstream request.

pub mod anthropic;
mod base;
mod build;
mod classify;
pub mod demo;
pub mod gemini;
mod key;
mod limits;
pub mod local;
pub mod ollama;
pub mod openai;
pub mod plugin;
#[cfg(test)]
mod stand_in;
mod translate;
mod vectors;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::dialect::carry::Uncarried;
use crate::dialect::openai::ChatBody;
use crate::types::{Chunk, Completion, Embeddings, Inputs, Moment};

pub use self::anthropic::Anthropic;
pub use self::base::{BadBase, is_private};
pub use self::build::from_config;
pub(crate) use self::classify::is_context_length;
pub use self::demo::Demo;
pub use self::gemini::Gemini;
pub use self::local::Local;
pub use self::ollama::Ollama;
pub use self::openai::OpenAi;
pub use self::plugin::Plugin;
pub use self::wire::BuildError;

/// What an attempt's end means for breaker, queue and retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Connect, DNS or TLS failure, reset, timeout, 500/502/503/504/529, garbled or cut-off answer.
    Hard,
    /// 429, or 503 with Retry-After: the upstream asks for patience. Never counts as a failure.
    Gate {
        /// How long it asks for, at most 300 s; `None` when it did not say.
        retry_after: Option<Duration>,
    },
    /// 401, 402, 403: the credential, not the endpoint.
    Credential,
    /// 400, 404, 413, 415, 422: the caller's request. Passed on, never retried.
    Caller,
}

/// Why an attempt did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What it means.
    pub class: Class,
    /// One line, lower case, without secrets: `http 503`, `connection refused`, `no first token within 20s`.
    pub message: String,
    /// The upstream's status, when there was one.
    pub status: Option<u16>,
    /// The upstream's body, for [`Class::Caller`]; at most 64 KiB.
    pub body: Bytes,
    /// A time limit ran out.
    pub timed_out: bool,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    /// A failure without status or cause.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Failure {
            class,
            message: message.into(),
            status: None,
            body: Bytes::new(),
            timed_out: false,
            source: None,
        }
    }

    /// A hard failure because a time limit ran out.
    pub fn timed_out(message: impl Into<String>) -> Self {
        Failure {
            timed_out: true,
            ..Failure::new(Class::Hard, message)
        }
    }

    /// A hard failure with its cause.
    pub fn hard(
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Failure {
            source: Some(source.into()),
            ..Failure::new(Class::Hard, message)
        }
    }
}

/// How long each phase of an attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS.
    pub connect: Duration,
    /// From sending until the first real delta; for a whole answer, until its head.
    pub first_token: Duration,
    /// Between two pieces of a stream.
    pub idle: Duration,
    /// The whole attempt.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(120),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Call {
    /// The request, shared with every other attempt.
    pub body: Arc<ChatBody>,
    /// The upstream's name for the model; empty asks for [`Provider::default_model`].
    pub model: Arc<str>,
    /// Answer with [`Answer::Stream`] (true) or [`Answer::Whole`].
    pub stream: bool,
    /// When the client stops waiting.
    pub deadline: Moment,
    /// Phase limits.
    pub timeouts: Timeouts,
    /// `traceparent` to send upstream, where the model's config allows it.
    pub traceparent: Option<String>,
}

/// One attempt at vectors.
#[derive(Clone, Debug)]
pub struct EmbedCall {
    /// What to embed, shared with every other attempt.
    pub inputs: Arc<Inputs>,
    /// The upstream's name for the model; empty asks for [`Provider::default_model`].
    pub model: Arc<str>,
    /// How long the vectors are to be, where the client said.
    pub dimensions: Option<u32>,
    /// The end user, as the upstream is told.
    pub user: Option<Arc<str>>,
    /// When the client stops waiting.
    pub deadline: Moment,
    /// Phase limits.
    pub timeouts: Timeouts,
    /// `traceparent` to send upstream, where the model's config allows it.
    pub traceparent: Option<String>,
}

/// Pieces of a streamed answer. A stream that ends without a piece whose tap has `finish` was cut
/// off, and the provider ends it with a [`Class::Hard`] failure.
pub type ChunkStream = BoxStream<'static, Result<Chunk, Failure>>;

/// What an upstream answered.
pub enum Answer {
    /// All of it.
    Whole(Completion),
    /// Piece by piece; nothing has been read yet.
    Stream(ChunkStream),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Answer::Whole(completion) => f.debug_tuple("Whole").field(completion).finish(),
            Answer::Stream(_) => f.write_str("Stream(..)"),
        }
    }
}

/// Why a provider cannot make the vectors that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CannotEmbed {
    /// Never these: it takes no such inputs, or makes no such vectors.
    These(String),
    /// It is not there; others may be.
    Absent(String),
}

/// A wire dialect with an account. Implement this to add an upstream of your own.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// The kind, as in metrics and stats: `openai`, `ollama`, …
    fn kind(&self) -> &'static str;

    /// The upstream's name for the model, asked for where [`Call::model`] is empty.
    fn default_model(&self) -> &str {
        ""
    }

    /// What of a request this upstream cannot be told, beyond what it refuses itself. Asked while
    /// planning, so it must be quick; nothing by default.
    fn uncarried(&self, body: &ChatBody) -> Vec<Uncarried> {
        body.lost().told()
    }

    /// Makes one try. Must honour `call.timeouts` for connecting and its own reads; the caller
    /// bounds first token, idle and total time as well.
    async fn generate(&self, call: Call) -> Result<Answer, Failure>;

    /// It answers chat requests.
    fn chats(&self) -> bool {
        true
    }

    /// It makes vectors: one that does not is never asked for any.
    fn embeds(&self) -> bool {
        false
    }

    /// Most inputs of one [`Provider::embed`]; more are cut into several calls, made in order.
    fn embed_batch(&self) -> usize {
        512
    }

    /// Why it cannot make these vectors, beyond what the upstream refuses itself. Asked while
    /// planning, so it must be quick.
    fn cannot_embed(&self, _inputs: &Inputs, _dimensions: Option<u32>) -> Option<CannotEmbed> {
        None
    }

    /// Makes one try at vectors, one for each input and in their order.
    ///
    /// # Errors
    /// [`Class::Caller`] with status 400 from an upstream that makes none, as by default.
    async fn embed(&self, _call: EmbedCall) -> Result<Embeddings, Failure> {
        let message = format!("{} models make no embeddings", self.kind());
        Err(Failure {
            status: Some(400),
            ..Failure::new(Class::Caller, message)
        })
    }

    /// Counts the tokens of a request, where the upstream can and the request came in its dialect;
    /// nothing by default.
    async fn count_tokens(&self, _call: Call) -> Option<Result<u64, Failure>> {
        None
    }

    /// Looks whether the upstream is there, without asking for a completion.
    async fn health(&self) -> Result<(), Failure>;
}
