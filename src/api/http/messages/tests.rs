use std::sync::Arc;

use axum::response::Response;
use http::{Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::api::http::routes;
use crate::app::testing::One;
use crate::provider::anthropic::testing::Fake;

const DEMO: &str = "models: { a: { provider: demo, model: echo } }\n";
const STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"c-1\",\"usage\":{\"input_tokens\":3}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":5}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

fn file(fake: &Fake) -> String {
    format!(
        "models: {{ c: {{ provider: anthropic, model: c-9, base_url: '{}' }} }}\n",
        fake.url()
    )
}

fn request(path: &str, body: &Value) -> Request<axum::body::Body> {
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("content-type", "application/json")
        .body(axum::body::Body::from(body.to_string()))
        .unwrap()
}

async fn send(one: &One, request: Request<axum::body::Body>) -> Response {
    let routes = routes(Arc::clone(&one.node));
    routes.oneshot(request).await.unwrap()
}

async fn text(response: Response) -> String {
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    String::from_utf8(body.unwrap().to_vec()).unwrap()
}

async fn shown(response: Response) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

fn asks(rest: &Value) -> Value {
    let mut body = json!({"model": "auto", "max_tokens": 64,
        "messages": [{"role": "user", "content": "one two"}]});
    body.as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_another_dialect_answers_whole_and_streamed() {
    let one = One::begin(DEMO).await;
    for path in ["/v1/messages", "/messages"] {
        let answer = send(&one, request(path, &asks(&json!({})))).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-llm-router-model"], "a");
        assert_eq!(
            answer.headers()["request-id"],
            answer.headers()["x-request-id"]
        );
        let message = shown(answer).await;
        assert_eq!(
            message["content"],
            json!([{"type": "text", "text": "one two"}])
        );
        assert_eq!(
            (&message["type"], &message["stop_reason"]),
            (&json!("message"), &json!("end_turn"))
        );
        assert!(
            message["usage"]["input_tokens"].as_u64() > Some(0),
            "{message}"
        );
    }
    let streamed = send(
        &one,
        request("/v1/messages", &asks(&json!({"stream": true}))),
    )
    .await;
    let stream = text(streamed).await;
    assert!(
        stream.starts_with("event: message_start\ndata: {"),
        "{stream}"
    );
    assert!(
        stream.contains("event: message_stop\n") && !stream.contains("[DONE]"),
        "{stream}"
    );
    assert!(stream.contains("\"input_tokens\":2"), "{stream}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_the_dialect_is_asked_and_answers_byte_for_byte() {
    let fake = Fake::answering(200, STREAM).await;
    let one = One::begin(&file(&fake)).await;
    let body = asks(&json!({"stream": true, "novelty": [1], "top_k": 3}));
    let answer = send(&one, request("/v1/messages", &body)).await;
    assert!(!answer.headers().contains_key("x-llm-router-dropped-params"));
    assert_eq!(text(answer).await, STREAM);
    let mut expected = body;
    expected["model"] = json!("c-9");
    assert_eq!(fake.seen()[0].json(), expected);
    let openai =
        json!({"model": "c", "stream": true, "messages": [{"role": "user", "content": "x"}]});
    let chunks = text(send(&one, request("/v1/chat/completions", &openai)).await).await;
    assert!(
        chunks.contains("\"content\":\"hi\"") && chunks.ends_with("[DONE]\n\n"),
        "{chunks}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_ends_in_an_error_event() {
    let cut: &'static str = STREAM.split_once("event: message_delta").unwrap().0;
    let fake = Fake::answering(200, cut).await;
    let one = One::begin(&file(&fake)).await;
    let stream = text(
        send(
            &one,
            request("/v1/messages", &asks(&json!({"stream": true}))),
        )
        .await,
    )
    .await;
    let last = stream.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.starts_with("event: error\ndata: {"), "{stream}");
    let error: Value = serde_json::from_str(last.split_once("data: ").unwrap().1).unwrap();
    assert_eq!(
        (&error["type"], &error["error"]["type"]),
        (&json!("error"), &json!("api_error"))
    );
    assert!(!stream.contains("message_stop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_in_the_clients_words() {
    let one = One::begin(DEMO).await;
    let versioned = |version: &'static str, body: &Value| {
        let mut request = request("/v1/messages", body);
        let headers = request.headers_mut();
        headers.insert("anthropic-version", http::HeaderValue::from_static(version));
        request
    };
    let document = json!([{"type": "document", "source": {}}]);
    let documented = asks(&json!({"messages": [{"role": "user", "content": document}]}));
    for (request, status, kind) in [
        (
            request("/v1/messages", &json!({"model": "a"})),
            400,
            "invalid_request_error",
        ),
        (
            versioned("2020-01-01", &asks(&json!({}))),
            400,
            "invalid_request_error",
        ),
        (
            versioned("2026-10-21", &asks(&json!({"temperature": 1}))),
            400,
            "invalid_request_error",
        ),
        (
            request("/v1/messages", &asks(&json!({"model": "nobody"}))),
            404,
            "not_found_error",
        ),
        (
            request("/v1/messages", &documented),
            400,
            "invalid_request_error",
        ),
        (
            request("/v1/messages/batches", &json!({})),
            404,
            "not_found_error",
        ),
        (
            request("/v1/messages", &Value::Null),
            400,
            "invalid_request_error",
        ),
    ] {
        let answer = send(&one, request).await;
        assert_eq!(answer.status(), status);
        let id = answer.headers()["request-id"].to_str().unwrap().to_owned();
        let body = shown(answer).await;
        assert_eq!(body["error"]["type"], kind, "{body}");
        assert_eq!(
            (&body["type"], &body["request_id"]),
            (&json!("error"), &json!(id))
        );
    }
    let mut wrong = request("/v1/messages", &Value::Null);
    *wrong.method_mut() = Method::DELETE;
    let answer = send(&one, wrong).await;
    assert_eq!(answer.status(), 405);
    assert_eq!(shown(answer).await["type"], "error");
    let mut foreign = request("/v1/messages", &asks(&json!({})));
    foreign
        .headers_mut()
        .insert("host", http::HeaderValue::from_static("evil.example"));
    let answer = send(&one, foreign).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(shown(answer).await["error"]["type"], "permission_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstreams_refusal_keeps_its_words() {
    let said = r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages: too odd"},"request_id":"req_1"}"#;
    let fake = Fake::answering(400, said).await;
    let one = One::begin(&file(&fake)).await;
    let answer = send(&one, request("/v1/messages", &asks(&json!({})))).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(text(answer).await, said);
    let openai = json!({"model": "c", "messages": [{"role": "user", "content": "x"}]});
    let answer = shown(send(&one, request("/v1/chat/completions", &openai)).await).await;
    assert_eq!(answer["error"]["message"], "messages: too odd");
    assert_eq!(answer.get("type"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_by_the_upstream_or_estimated_and_flagged() {
    let body = json!({"model": "auto", "messages": [{"role": "user", "content": "one two"}]});
    let one = One::begin(DEMO).await;
    let answer = send(&one, request("/v1/messages/count_tokens", &body)).await;
    assert_eq!(answer.headers()["x-llm-router-estimated"], "true");
    assert!(shown(answer).await["input_tokens"].as_u64() > Some(0));
    let fake = Fake::answering(200, STREAM).await;
    let one = One::begin(&file(&fake)).await;
    let answer = send(&one, request("/v1/messages/count_tokens", &body)).await;
    assert!(!answer.headers().contains_key("x-llm-router-estimated"));
    assert_eq!(shown(answer).await, json!({"input_tokens": 42}));
    let broken = Fake::answering(500, "{}").await;
    let one = One::begin(&file(&broken)).await;
    let answer = send(&one, request("/v1/messages/count_tokens", &body)).await;
    assert_eq!(answer.headers()["x-llm-router-estimated"], "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_in_the_shape_of_who_names_a_version() {
    let one = One::begin(DEMO).await;
    let get = |path: &str, versioned: bool| {
        let request = Request::builder().uri(path);
        let request = match versioned {
            true => request.header("anthropic-version", "2023-06-01"),
            false => request,
        };
        request.body(axum::body::Body::empty()).unwrap()
    };
    let list = shown(send(&one, get("/v1/models", true)).await).await;
    assert_eq!(
        (&list["has_more"], &list["first_id"]),
        (&json!(false), &list["data"][0]["id"])
    );
    assert_eq!(list["data"][0]["type"], "model");
    let entry = shown(send(&one, get("/v1/models/a", true)).await).await;
    assert_eq!(
        (&entry["id"], &entry["display_name"]),
        (&json!("a"), &json!("a"))
    );
    assert!(entry["created_at"].as_str().unwrap().ends_with('Z'));
    let unknown = shown(send(&one, get("/v1/models/b", true)).await).await;
    assert_eq!(unknown["error"]["type"], "not_found_error");
    let list = shown(send(&one, get("/v1/models", false)).await).await;
    assert_eq!(list["object"], "list");
}
