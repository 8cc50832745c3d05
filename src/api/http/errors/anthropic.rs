//! Errors in Anthropic's shape.

use axum::response::Response;
use http::HeaderValue;
use serde_json::{Value, json};

use super::{advise, json_response};
use crate::api::http::chat::with_id;
use crate::api::status;
use crate::error::{Error, Rejection};
use crate::types::RequestId;

/// The whole response.
pub(in crate::api::http) fn render(error: &Error, id: &RequestId) -> Response {
    if let Some(rejection) = &error.rejection {
        return with_id(pass_on(error, rejection, id), id.as_str());
    }
    let row = status::of(error.kind);
    let mut response = json_response(row.anthropic_http(), body(error, id));
    advise(error, response.headers_mut());
    with_id(response, id.as_str())
}

/// The body alone, also for an error inside a running stream.
pub(in crate::api::http) fn body(error: &Error, id: &RequestId) -> String {
    let message = match &error.param {
        Some(param) if !error.message.contains(param.as_str()) => {
            format!("{param}: {}", error.message)
        }
        Some(_) | None => error.message.clone(),
    };
    shaped(status::of(error.kind).anthropic_type, &message, id)
}

fn shaped(kind: &str, message: &str, id: &RequestId) -> String {
    let error = json!({"type": kind, "message": message});
    json!({"type": "error", "error": error, "request_id": id.as_str()}).to_string()
}

/// An upstream's refusal: as it came where it is one of this dialect, else with what it says.
fn pass_on(error: &Error, rejection: &Rejection, id: &RequestId) -> Response {
    let given: Value = serde_json::from_slice(&rejection.body).unwrap_or_default();
    let mut response = if given["type"] == "error" && given["error"].is_object() {
        json_response(rejection.status, rejection.body.clone())
    } else {
        let message = given["error"]["message"].as_str().unwrap_or(&error.message);
        let kind = status::anthropic_type_of(rejection.status);
        json_response(rejection.status, shaped(kind, message, id))
    };
    let headers = response.headers_mut();
    headers.insert("x-should-retry", HeaderValue::from_static("false"));
    response
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::render;
    use crate::error::{Error, Kind, Rejection};
    use crate::types::RequestId;

    async fn shown(error: &Error) -> (u16, Value) {
        let id = RequestId::accept("req-1").unwrap();
        let response = render(error, &id);
        assert_eq!(response.headers()["x-request-id"], "req-1");
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await;
        (status, serde_json::from_slice(&body.unwrap()).unwrap())
    }

    #[tokio::test]
    async fn every_kind_has_its_status_and_type() {
        for (kind, status, said) in [
            (Kind::InvalidRequest, 400, "invalid_request_error"),
            (Kind::Unauthenticated, 401, "authentication_error"),
            (Kind::Forbidden, 403, "permission_error"),
            (Kind::UnknownModel, 404, "not_found_error"),
            (Kind::TooLarge, 413, "request_too_large"),
            (Kind::RateLimited, 429, "rate_limit_error"),
            (Kind::Internal, 500, "api_error"),
            (Kind::DeadlineExceeded, 504, "timeout_error"),
            (Kind::Overloaded, 529, "overloaded_error"),
        ] {
            let (shown_status, body) = shown(&Error::new(kind, "so it is")).await;
            let expected = json!({"type": "error", "request_id": "req-1",
                "error": {"type": said, "message": "so it is"}});
            assert_eq!((shown_status, body), (status, expected));
        }
    }

    #[tokio::test]
    async fn a_refusal_of_this_dialect_is_passed_on_and_another_is_told_in_it() {
        let refused = |status: u16, body: &'static str| {
            let mut error = Error::new(Kind::UpstreamRejected, "upstream said no");
            error.rejection = Some(Rejection {
                status,
                body: body.into(),
            });
            error
        };
        let own = r#"{"type":"error","error":{"type":"invalid_request_error","message":"x"},"request_id":"req_9"}"#;
        let (status, body) = shown(&refused(400, own)).await;
        assert_eq!((status, &body["request_id"]), (400, &json!("req_9")));
        let (_, body) = shown(&refused(
            404,
            r#"{"error":{"message":"no model","code":"x"}}"#,
        ))
        .await;
        let told = json!({"type": "not_found_error", "message": "no model"});
        assert_eq!(body["error"], told);
        let (_, body) = shown(&refused(422, "<html>")).await;
        assert_eq!(body["error"]["message"], "upstream said no");
    }
}
