//! The one error of the node: what kind, whose fault, whether trying again could help.
//!
//! Errors are data until a door renders them through [`crate::api::status`]; nobody logs on the way.

mod cluster;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::types::ModelName;

/// What happened. A closed list; it is the metric label and the row of the doors' table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is wrong.
    InvalidRequest,
    /// The body is over the limit.
    TooLarge,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The body's media type or encoding is not taken.
    UnsupportedMedia,
    /// No such path.
    NoSuchPath,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// No or unknown credential.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// No model, route or alias of that name.
    UnknownModel,
    /// A limit of the caller's own, or every candidate answered 429.
    RateLimited,
    /// Queues are full or the predicted wait is too long.
    Overloaded,
    /// No candidate could be tried.
    Unavailable,
    /// The time the client gave is over.
    DeadlineExceeded,
    /// An upstream refused the request as the caller's mistake; its answer is passed on.
    UpstreamRejected,
    /// Every candidate was tried and failed.
    UpstreamFailed,
    /// The client went away.
    Cancelled,
    /// An agreed table moved on meanwhile.
    Conflict,
    /// A configuration was refused.
    InvalidConfig,
    /// No such key, revision or member.
    NotFound,
    /// Nothing can be agreed now: no leader with a quorum answers.
    NoQuorum,
    /// This node has not caught up with what the caller has seen.
    Behind,
    /// The disk is full: changes are refused.
    InsufficientStorage,
    /// Our mistake.
    Internal,
}

impl Kind {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::InvalidRequest => "invalid_request",
            Kind::TooLarge => "too_large",
            Kind::RequestTimeout => "request_timeout",
            Kind::UnsupportedMedia => "unsupported_media",
            Kind::NoSuchPath => "no_such_path",
            Kind::MethodNotAllowed => "method_not_allowed",
            Kind::Unauthenticated => "unauthenticated",
            Kind::Forbidden => "forbidden",
            Kind::UnknownModel => "unknown_model",
            Kind::RateLimited => "rate_limited",
            Kind::Overloaded => "overloaded",
            Kind::Unavailable => "unavailable",
            Kind::DeadlineExceeded => "deadline_exceeded",
            Kind::UpstreamRejected => "upstream_rejected",
            Kind::UpstreamFailed => "upstream_failed",
            Kind::Cancelled => "cancelled",
            Kind::Conflict => "conflict",
            Kind::InvalidConfig => "invalid_config",
            Kind::NotFound => "not_found",
            Kind::NoQuorum => "no_quorum",
            Kind::Behind => "behind",
            Kind::InsufficientStorage => "insufficient_storage",
            Kind::Internal => "internal",
        }
    }
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller's.
    Client,
    /// A provider's.
    Upstream,
    /// Another node's.
    Peer,
    /// Ours.
    Us,
}

/// Whether trying again could help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It will fail again.
    Never,
    /// At once, on another node or candidate.
    OtherEndpoint,
    /// Not before this long.
    After(Duration),
}

/// One candidate that did not answer, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The candidate.
    pub model: ModelName,
    /// `http 503: …`, `breaker open`, `queue full`, …
    pub reason: String,
}

/// An upstream's own refusal, passed on as it came.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// Its HTTP status, 400 to 499.
    pub status: u16,
    /// Its body, at most 64 KiB.
    pub body: Bytes,
}

/// The error every use case returns.
#[derive(Debug)]
pub struct Error {
    /// What happened.
    pub kind: Kind,
    /// Whose fault it is.
    pub fault: Fault,
    /// Whether trying again could help.
    pub retry: Retry,
    /// One line for the caller, without secrets or prompts.
    pub message: String,
    /// The field at fault, as in OpenAI's `param`.
    pub param: Option<String>,
    /// Candidates tried or skipped, in order.
    pub tried: Vec<Tried>,
    /// The upstream's own answer when it is passed on.
    pub rejection: Option<Rejection>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; fault and retry follow from it and can be changed.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let (fault, retry) = match kind {
            Kind::InvalidRequest
            | Kind::TooLarge
            | Kind::RequestTimeout
            | Kind::UnsupportedMedia
            | Kind::NoSuchPath
            | Kind::MethodNotAllowed
            | Kind::Unauthenticated
            | Kind::Forbidden
            | Kind::UnknownModel
            | Kind::Cancelled
            | Kind::Conflict
            | Kind::InvalidConfig
            | Kind::NotFound => (Fault::Client, Retry::Never),
            Kind::RateLimited => (Fault::Client, Retry::After(Duration::from_secs(1))),
            Kind::Overloaded | Kind::NoQuorum | Kind::Behind => {
                (Fault::Us, Retry::After(Duration::from_secs(1)))
            }
            Kind::Unavailable => (Fault::Upstream, Retry::After(Duration::from_secs(1))),
            Kind::DeadlineExceeded => (Fault::Upstream, Retry::Never),
            Kind::UpstreamRejected => (Fault::Client, Retry::Never),
            Kind::UpstreamFailed => (Fault::Upstream, Retry::Never),
            Kind::Internal | Kind::InsufficientStorage => (Fault::Us, Retry::Never),
        };
        let message = message.into();
        Error {
            kind,
            fault,
            retry,
            message,
            param: None,
            tried: Vec::new(),
            rejection: None,
            source: None,
        }
    }

    /// Names the field at fault.
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Changes the advice on trying again.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Keeps the cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Lists what was tried.
    pub fn with_tried(mut self, tried: Vec<Tried>) -> Self {
        self.tried = tried;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<crate::dialect::openai::BadRequest> for Error {
    fn from(bad: crate::dialect::openai::BadRequest) -> Self {
        let error = Error::new(Kind::InvalidRequest, bad.to_string());
        match bad.param() {
            Some(param) => error.with_param(param),
            None => error,
        }
    }
}
