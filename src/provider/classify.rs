//! What an upstream's status, or a broken connection, means. Pure.
//!
//! | status | class |
//! |---|---|
//! | 429; 503 that says how long to wait | gate |
//! | 429 because a spending limit is reached | credential |
//! | 401, 402, 403 | credential |
//! | 400 and the other 4xx, 408 apart | caller; the body is kept |
//! | 3xx, 408, 5xx | hard |

mod body;

use std::error::Error as StdError;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderMap;

use super::{Class, Failure};

pub(crate) use self::body::is_context_length;
pub(super) use self::body::{quote, told};

/// Longest wait an upstream may ask for.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// Most of an error body that is kept, in bytes.
pub(super) const MAX_ERROR_BODY: usize = 64 << 10;
/// Most of an error body that is quoted, in characters.
const MAX_QUOTE: usize = 500;

/// What Anthropic calls an account that may spend no more: waiting does not help.
const SPENT: &str = "enforced_spend_limit_reached";

/// The failure a status other than 2xx stands for. `now_millis` is the wall clock, for dates.
pub(super) fn status(status: u16, headers: &HeaderMap, body: Bytes, now_millis: u64) -> Failure {
    let wait = retry_after(headers, now_millis).or_else(|| body::hint(&body));
    let spent = status == 429 && body::code(&body).as_deref() == Some(SPENT);
    let class = if spent {
        Class::Credential
    } else {
        class(status, wait)
    };
    let message = match (class, status) {
        (_, 300..=399) => format!("http {status}: redirect refused"),
        (Class::Hard, _) => match quote(&body) {
            text if text.is_empty() => format!("http {status}"),
            text => format!("http {status}: {text}"),
        },
        // bodies of these may echo a prompt or name a key, their codes do not
        (Class::Gate { .. } | Class::Credential | Class::Caller, _) => match body::code(&body) {
            Some(code) => format!("http {status} ({code})"),
            None => format!("http {status}"),
        },
    };
    let body = if class == Class::Caller {
        body::worded(body)
    } else {
        Bytes::new()
    };
    Failure {
        status: Some(status),
        body,
        ..Failure::new(class, message)
    }
}

fn class(status: u16, wait: Option<Duration>) -> Class {
    match status {
        429 => Class::Gate { retry_after: wait },
        503 if wait.is_some() => Class::Gate { retry_after: wait },
        401..=403 => Class::Credential,
        408 => Class::Hard,
        400..=499 => Class::Caller,
        _ => Class::Hard,
    }
}

/// `retry-after-ms`, else `retry-after` in seconds or as an HTTP date; at most [`MAX_RETRY_AFTER`].
pub(super) fn retry_after(headers: &HeaderMap, now_millis: u64) -> Option<Duration> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let number = |name: &str| {
        text(name)
            .and_then(|value| value.parse::<f64>().ok())
            .filter(|n| n.is_finite() && *n >= 0.0)
    };
    let capped = |seconds: f64| Duration::from_secs_f64(seconds.min(MAX_RETRY_AFTER.as_secs_f64()));
    number("retry-after-ms")
        .map(|millis| capped(millis / 1000.0))
        .or_else(|| number("retry-after").map(capped))
        .or_else(|| {
            let date = httpdate::parse_http_date(text("retry-after")?).ok()?;
            let until = date.duration_since(UNIX_EPOCH).ok()?;
            let wait = until.saturating_sub(Duration::from_millis(now_millis));
            Some(wait.min(MAX_RETRY_AFTER))
        })
}

/// The failure that an error object inside a 200 stands for. `message` says so in one line.
pub(super) fn reported(body: &Bytes, message: impl Into<String>) -> Failure {
    let (class, status) = inside(body);
    let body = match class {
        Class::Caller => body::worded(body.clone()),
        Class::Gate { .. } | Class::Credential | Class::Hard => Bytes::new(),
    };
    Failure {
        status,
        body,
        ..Failure::new(class, message)
    }
}

/// The statuses that Anthropic's types of errors go with.
const TYPES: [(&str, u16); 10] = [
    ("invalid_request_error", 400),
    ("authentication_error", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("conflict_error", 409),
    ("request_too_large", 413),
    ("api_error", 500),
    ("timeout_error", 504),
    ("overloaded_error", 529),
];

/// What an error object inside a 200 means, and the status it would have had where it says so.
fn inside(body: &[u8]) -> (Class, Option<u16>) {
    let retry_after = body::hint(body);
    let gate = Class::Gate { retry_after };
    let word = body::code(body);
    match word.as_deref() {
        Some(SPENT) => return (Class::Credential, Some(429)),
        Some("slow_down" | "RESOURCE_EXHAUSTED") => return (gate, Some(429)),
        Some(word) if word.starts_with("rate_limit") => return (gate, Some(429)),
        Some("context_length_exceeded" | "content_filter") => {
            return (Class::Caller, Some(400));
        }
        Some(_) | None => {}
    }
    let known = TYPES.iter().find(|(kind, _)| word.as_deref() == Some(kind));
    let known = known.map(|(_, status)| *status);
    match known.or_else(|| body::number(body)) {
        Some(status) => (class(status, retry_after), Some(status)),
        None => (Class::Hard, None),
    }
}

/// A connection that failed: in few words, with the cause and without the address.
pub(super) fn transport(error: reqwest::Error, connect: Duration) -> Failure {
    let timed_out = error.is_timeout();
    let message = if timed_out && error.is_connect() {
        format!(
            "no connection within {}",
            crate::config::Span::from(connect)
        )
    } else {
        describe(&error)
    };
    Failure {
        timed_out,
        ..Failure::hard(message, error.without_url())
    }
}

fn describe(error: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut dns = false;
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && let Some(words) = io_words(io.kind())
        {
            return words.to_owned();
        }
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return format!("tls: {tls}");
        }
        if inner
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_incomplete_message)
        {
            return CLOSED_EARLY.to_owned();
        }
        dns |= inner.to_string().starts_with("dns error");
        cause = match inner
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            // an io::Error hides what it wraps from `source`
            Some(wrapped) => Some(wrapped),
            None => inner.source(),
        };
    }
    match () {
        () if dns => "host name not found".to_owned(),
        () if error.is_connect() => "connection failed".to_owned(),
        () if error.is_body() || error.is_decode() => "the answer broke off".to_owned(),
        () => "request failed".to_owned(),
    }
}

/// Broken connections an operator can tell apart.
const IO_WORDS: [(io::ErrorKind, &str); 8] = [
    (io::ErrorKind::ConnectionRefused, "connection refused"),
    (io::ErrorKind::ConnectionReset, "connection reset"),
    (io::ErrorKind::ConnectionAborted, "connection aborted"),
    (io::ErrorKind::BrokenPipe, "connection broken"),
    (io::ErrorKind::HostUnreachable, "host unreachable"),
    (io::ErrorKind::NetworkUnreachable, "network unreachable"),
    (io::ErrorKind::TimedOut, "connection timed out"),
    (io::ErrorKind::UnexpectedEof, CLOSED_EARLY),
];
const CLOSED_EARLY: &str = "connection closed before the answer was complete";

pub(super) fn io_words(kind: io::ErrorKind) -> Option<&'static str> {
    IO_WORDS
        .iter()
        .find(|(known, _)| *known == kind)
        .map(|(_, words)| *words)
}

#[cfg(test)]
mod tests;
