//! What a call that did not answer means: gRPC statuses → classes.
//!
//! | status | class |
//! |---|---|
//! | RESOURCE_EXHAUSTED, UNAVAILABLE with RetryInfo | gate |
//! | UNAUTHENTICATED, PERMISSION_DENIED | credential |
//! | INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, a request over the plugin's size limit | caller |
//! | OUT_OF_RANGE | caller: the prompt is too long for the model; hard where an answer is over our limit |
//! | DEADLINE_EXCEEDED | hard, timed out |
//! | every other | hard |

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::config::Span;
use crate::provider::classify::{MAX_RETRY_AFTER, io_words, quote};
use crate::provider::key::KeyGuard;
use crate::provider::{BuildError, Class, Failure};

/// Why there is nothing to be heard.
#[derive(Debug)]
pub(super) enum Unheard {
    /// The settings.
    Unusable(BuildError),
    /// The call ended with this.
    Status(Box<Status>),
    /// It took too long; in words.
    Slow(String),
    /// What was said makes no sense; in words.
    Garbled(String),
}

impl From<Status> for Unheard {
    fn from(status: Status) -> Self {
        Unheard::Status(Box::new(status))
    }
}

impl Unheard {
    /// The connection is gone, or was never there.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            Unheard::Status(status) => status.code() == Code::Unavailable,
            Unheard::Unusable(_) | Unheard::Slow(_) | Unheard::Garbled(_) => false,
        }
    }

    /// The plugin has no such call.
    pub(super) fn is_unknown_call(&self) -> bool {
        match self {
            Unheard::Status(status) => status.code() == Code::Unimplemented,
            Unheard::Unusable(_) | Unheard::Slow(_) | Unheard::Garbled(_) => false,
        }
    }

    /// What it means for the attempt. `connect` is how long connecting might take.
    pub(super) fn into_failure(self, key: &KeyGuard, connect: Duration) -> Failure {
        match self {
            Unheard::Unusable(error) => Failure::hard(error.to_string(), error),
            Unheard::Slow(message) => Failure::timed_out(message),
            Unheard::Garbled(message) => {
                let message = quote(message.as_bytes());
                Failure::new(Class::Hard, key.strike_out_text(message))
            }
            Unheard::Status(status) => of(*status, key, connect),
        }
    }
}

fn of(status: Status, key: &KeyGuard, connect: Duration) -> Failure {
    let wait = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay)
        .map(|delay| delay.min(MAX_RETRY_AFTER));
    let gate = Class::Gate { retry_after: wait };
    match status.code() {
        // how a gRPC library refuses a message over its limit, before anybody could read it
        Code::ResourceExhausted if status.message().contains("larger than max") => {
            refused(&status, (413, Some("request_too_large")), key)
        }
        Code::ResourceExhausted => by_name(&status, gate, 429),
        Code::Unavailable if wait.is_some() => by_name(&status, gate, 503),
        Code::Unauthenticated => by_name(&status, Class::Credential, 401),
        Code::PermissionDenied => by_name(&status, Class::Credential, 403),
        Code::InvalidArgument | Code::FailedPrecondition => refused(&status, (400, None), key),
        // how ours refuses an answer over its limit: a status that nobody sent
        Code::OutOfRange
            if status.metadata().is_empty() && status.message().contains("too large") =>
        {
            hard(status, key, connect)
        }
        Code::OutOfRange => refused(&status, (400, Some("context_length_exceeded")), key),
        Code::NotFound => refused(&status, (404, Some("model_not_found")), key),
        Code::DeadlineExceeded => Failure {
            timed_out: true,
            ..hard(status, key, connect)
        },
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::AlreadyExists
        | Code::Aborted
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => hard(status, key, connect),
    }
}

/// Texts of these may echo a prompt or name a key, their codes do not.
fn by_name(status: &Status, class: Class, http: u16) -> Failure {
    Failure {
        status: Some(http),
        ..Failure::new(class, format!("grpc {}", name(status.code())))
    }
}

/// The caller's request is at fault, and the caller is told in OpenAI's words, its code among them.
fn refused(status: &Status, (http, code): (u16, Option<&str>), key: &KeyGuard) -> Failure {
    let details = status.get_details_bad_request();
    let field = details.and_then(|found| found.field_violations.into_iter().next());
    let param = field.map(|violation| violation.field);
    let message = quote(status.message().as_bytes());
    let message = if message.is_empty() {
        "the model refuses this request".to_owned()
    } else {
        message
    };
    Failure {
        status: Some(http),
        body: key.strike_out(error_body(&message, param.as_deref(), code)),
        ..Failure::new(Class::Caller, format!("grpc {}", name(status.code())))
    }
}

fn hard(status: Status, key: &KeyGuard, connect: Duration) -> Failure {
    let timed_out = status.code() == Code::Cancelled && status.message() == "Timeout expired";
    let (message, unconnected) = match broken(&status) {
        Some(io::ErrorKind::TimedOut) => (
            format!("no connection within {}", Span::from(connect)),
            true,
        ),
        Some(kind) => (
            io_words(kind).unwrap_or("connection failed").to_owned(),
            false,
        ),
        None => (described(&status), false),
    };
    Failure {
        timed_out: timed_out || unconnected,
        ..Failure::hard(key.strike_out_text(message), status)
    }
}

fn described(status: &Status) -> String {
    match quote(status.message().as_bytes()) {
        text if text.is_empty() => format!("grpc {}", name(status.code())),
        text => format!("grpc {}: {text}", name(status.code())),
    }
}

/// What happened to the connection, where that is why the call ended.
fn broken(status: &Status) -> Option<io::ErrorKind> {
    let mut cause = StdError::source(status);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Some(io.kind()).filter(|kind| io_words(*kind).is_some());
        }
        cause = inner.source();
    }
    None
}

/// OpenAI's error object.
pub(super) fn error_body(message: &str, param: Option<&str>, code: Option<&str>) -> Bytes {
    let error = json!({"message": message, "type": "invalid_request_error", "param": param,
                       "code": code});
    Bytes::from(json!({"error": error}).to_string())
}

/// A code as gRPC writes it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
