//! Ways for an upstream to fail.

use serde_json::json;

/// What goes wrong with an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The connection is closed before an answer begins.
    Connect,
    /// Another status than 200.
    Status {
        /// 300 to 599.
        status: u16,
        /// `retry-after` in seconds.
        retry_after_s: Option<u64>,
    },
    /// The stream breaks off; a whole answer breaks off at once.
    Cut {
        /// Words said before.
        after_tokens: u64,
    },
    /// Silence, then a closed connection.
    Hang {
        /// Length of the silence in milliseconds.
        millis: u64,
    },
    /// A 200 with something that is no answer.
    Garbled,
}

/// An OpenAI-shaped error for `status`.
pub(super) fn error_body(status: u16) -> String {
    let (kind, code) = match status {
        401..=403 => ("authentication_error", "invalid_api_key"),
        429 => ("rate_limit_error", "rate_limit_exceeded"),
        400..=499 => ("invalid_request_error", "demo_refusal"),
        _ => ("server_error", "demo_failure"),
    };
    let error = json!({"message": "the demo provider was told to fail", "type": kind, "param": null, "code": code});
    json!({"error": error}).to_string()
}
