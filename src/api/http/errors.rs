//! An error in the caller's dialect: OpenAI's four-key shape or Anthropic's, and the headers SDKs
//! act on.

pub(super) mod anthropic;

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::api::options::request_id;
use crate::api::status;
use crate::app::partition;
use crate::error::{Error, Kind, Rejection, Retry};

/// Whose words a caller is answered in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// OpenAI's.
    OpenAi,
    /// Anthropic's.
    Anthropic,
}

impl Manner {
    /// By the path, and by the header that only Anthropic's clients send where both come.
    pub(super) fn of(path: &str, headers: &HeaderMap) -> Self {
        let path = path.strip_prefix("/v1").unwrap_or(path);
        let below = |root: &str| {
            let rest = path.strip_prefix(root);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let names_version = headers.contains_key(crate::dialect::anthropic::VERSION);
        if below("/messages") || (below("/models") && names_version) {
            Manner::Anthropic
        } else {
            Manner::OpenAi
        }
    }
}

/// The whole response to a request at `path`, in its caller's words.
pub(super) fn render_for(path: &str, headers: &HeaderMap, error: &Error) -> Response {
    match Manner::of(path, headers) {
        Manner::OpenAi => render(error),
        Manner::Anthropic => anthropic::render(error, &request_id(headers)),
    }
}

/// The whole response.
pub fn render(error: &Error) -> Response {
    render_with(error, Value::Null)
}

/// The whole response, with `details` (an object, or nothing) beside the four keys.
pub(super) fn render_with(error: &Error, details: Value) -> Response {
    if let Some(rejection) = &error.rejection {
        return pass_on(error, rejection);
    }
    let row = status::of(error.kind);
    let mut shown = value(error);
    if let (Some(shown), Value::Object(details)) = (shown["error"].as_object_mut(), details) {
        shown.extend(details);
    }
    let mut response = json_response(row.http, shown.to_string());
    advise(error, response.headers_mut());
    response
}

/// What SDKs act on.
fn advise(error: &Error, headers: &mut HeaderMap) {
    if let Retry::After(wait) = error.retry {
        retry_after(headers, wait);
    }
    if error.kind == Kind::NoQuorum {
        // the refused change has found out before the node counts as isolated
        let mode = HeaderValue::from_static(partition::HEADER);
        headers.insert("x-llm-router-partition-mode", mode);
    }
    if !status::of(error.kind).sdk_may_retry {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    if error.kind == Kind::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if matches!(error.kind, Kind::TooLarge | Kind::RequestTimeout) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// The body alone, also for an error inside a running stream.
pub(super) fn body(error: &Error) -> String {
    value(error).to_string()
}

fn value(error: &Error) -> Value {
    let row = status::of(error.kind);
    json!({"error": {
        "message": error.message,
        "type": row.openai_type,
        "param": error.param,
        "code": row.openai_code,
    }})
}

fn pass_on(error: &Error, rejection: &Rejection) -> Response {
    let shaped = serde_json::from_slice::<Value>(&rejection.body)
        .is_ok_and(|body| body.get("error").is_some_and(Value::is_object));
    let text = String::from_utf8_lossy(&rejection.body);
    let mut response = json_response(
        rejection.status,
        if shaped {
            text.into_owned()
        } else {
            body(error)
        },
    );
    response
        .headers_mut()
        .insert("x-should-retry", HeaderValue::from_static("false"));
    response
}

fn retry_after(headers: &mut HeaderMap, wait: Duration) {
    let millis = wait.as_millis().max(1);
    let seconds = millis.div_ceil(1000);
    if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
        headers.insert(header::RETRY_AFTER, value);
    }
    if let Ok(value) = HeaderValue::from_str(&millis.to_string()) {
        headers.insert("retry-after-ms", value);
    }
}

/// A JSON response with a status.
pub(super) fn json_response(status: u16, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::render;
    use crate::error::{Error, Kind, Rejection, Retry};

    #[test]
    fn a_retry_after_is_never_rounded_down_to_nothing() {
        let wait = Retry::After(Duration::from_millis(250));
        let response = render(&Error::new(Kind::RateLimited, "slow down").with_retry(wait));
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["retry-after-ms"], "250");
        assert!(!response.headers().contains_key("x-should-retry"));
    }

    #[test]
    fn a_change_refused_without_a_quorum_says_what_the_node_does_meanwhile() {
        let response = render(&Error::new(Kind::NoQuorum, "no leader"));
        let mode = response.headers()["x-llm-router-partition-mode"].to_str();
        assert!(mode.unwrap().contains("writes=refuse"));
        let other = render(&Error::new(Kind::Behind, "not yet"));
        assert!(!other.headers().contains_key("x-llm-router-partition-mode"));
    }

    #[test]
    fn sdks_are_told_not_to_repeat_what_we_already_repeated() {
        let response = render(&Error::new(Kind::UpstreamFailed, "all failed"));
        assert_eq!(response.status(), 502);
        assert_eq!(response.headers()["x-should-retry"], "false");
    }

    #[tokio::test]
    async fn an_upstream_refusal_is_passed_on_and_a_page_is_wrapped() {
        let refused = |body: &'static str| {
            let mut error = Error::new(Kind::UpstreamRejected, "upstream said 400");
            error.rejection = Some(Rejection {
                status: 422,
                body: body.into(),
            });
            render(&error)
        };
        let text = |response: axum::response::Response| async {
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 16)
                .await
                .unwrap();
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        let own = r#"{"error":{"message":"bad tool","type":"x","param":"tools","code":null}}"#;
        let passed = refused(own);
        assert_eq!(passed.status(), 422);
        assert_eq!(text(passed).await, own);
        assert!(text(refused("<html>")).await.contains("upstream said 400"));
    }
}
