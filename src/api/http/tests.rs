//! The whole door in front of a real cluster of one, without a socket.

mod cache;
mod dialects;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{Method, Request};
use llm_router_cluster::Revision;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::routes;
use crate::app::testing::One;

/// How long two nodes may take to come to know of each other on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const FILE: &str = "models: { a: { provider: demo, model: echo } }\n";

async fn ask(one: &One, request: http::request::Builder, body: &Value) -> Response {
    let body = match body.is_null() {
        true => Body::empty(),
        false => Body::from(body.to_string()),
    };
    let request = request.body(body).unwrap();
    routes(Arc::clone(&one.node))
        .oneshot(request)
        .await
        .unwrap()
}

fn to(method: Method, path: &str) -> http::request::Builder {
    let json = "application/json";
    Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", json)
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    (status, serde_json::from_slice(&body.unwrap()).unwrap())
}

fn chat() -> (http::request::Builder, Value) {
    let body = json!({"model": "a", "messages": [{"role": "user", "content": "hi"}]});
    (to(Method::POST, "/v1/chat/completions"), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_waits_for_the_revision_its_caller_has_seen_and_says_its_own() {
    let one = One::begin(FILE).await;
    let (request, body) = chat();
    let seen = request.header("x-llm-router-min-revision", "1");
    let answer = ask(&one, seen, &body).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-llm-router-revision"], "1");
    assert!(!answer.headers().contains_key("x-llm-router-partition"));
    let (request, body) = chat();
    let ahead = request.header("x-llm-router-min-revision", "9");
    let (status, said) = read(ask(&one, ahead, &body).await).await;
    assert_eq!(
        (status, &said["error"]["code"]),
        (503, &json!("revision_not_here"))
    );
    let (request, body) = chat();
    let wrong = request.header("x-llm-router-min-revision", "soon");
    assert_eq!(ask(&one, wrong, &body).await.status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_cannot_be_built_is_422_with_its_place_and_changes_nothing() {
    let one = One::begin(FILE).await;
    let speedy = json!({"models": {"a": {
        "provider": "demo", "model": "echo", "options": {"speed": 1}}}});
    let put = to(Method::PUT, "/admin/v1/config");
    let (status, said) = read(ask(&one, put, &speedy).await).await;
    assert_eq!(
        (status, &said["error"]["code"]),
        (422, &json!("invalid_config"))
    );
    assert_eq!(said["error"]["problems"][0]["path"], "models.a");
    let (_, now) = read(ask(&one, to(Method::GET, "/admin/v1/config"), &Value::Null).await).await;
    assert_eq!(now["revision"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_node_says_so_with_what_it_does_meanwhile_and_serves() {
    let first = One::begin(FILE).await;
    let one = first.second("").await;
    let agreed = one.agreed().in_service(Revision(1), PATIENCE).await;
    agreed.unwrap();
    while one.node.is_isolated() {
        // it hears of its leader within a heartbeat or two
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let health = read(ask(&one, to(Method::GET, "/health"), &Value::Null).await).await;
    assert_eq!(health.1["cluster"]["connected"], true);
    assert!(health.1["cluster"]["applied"].as_u64() > Some(0));
    first.cluster.shutdown().await;
    while !one.node.is_isolated() {
        // what is heard of a leader wears off with time alone
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (request, body) = chat();
    let answer = ask(&one, request, &body).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-llm-router-partition"], "isolated");
    let mode = answer.headers()["x-llm-router-partition-mode"]
        .to_str()
        .unwrap();
    assert!(mode.contains("routing=serve, writes=refuse"), "{mode}");
    let made = ask(
        &one,
        to(Method::POST, "/admin/v1/keys"),
        &json!({"name": "ops"}),
    )
    .await;
    assert_eq!(made.headers()["x-llm-router-partition"], "isolated");
    assert_eq!(read(made).await.0, 503);
    let here = to(Method::GET, "/admin/v1/config/history?consistency=local");
    assert_eq!(ask(&one, here, &Value::Null).await.status(), 200);
    let newest = to(Method::GET, "/admin/v1/config/history");
    assert_eq!(ask(&one, newest, &Value::Null).await.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_the_nodes_or_the_clusters_and_nobody_elses() {
    let one = One::begin(FILE).await;
    let stats = |query: &str| to(Method::GET, &format!("/admin/v1/stats{query}"));
    let (_, own) = read(ask(&one, stats(""), &Value::Null).await).await;
    assert!(own["total_requests"].is_u64(), "{own}");
    let (status, sums) = read(ask(&one, stats("?scope=cluster"), &Value::Null).await).await;
    assert_eq!(status, 200);
    assert!(
        sums["usage"].is_object() && sums["nodes"].is_u64(),
        "{sums}"
    );
    for unknown in ["?scope=world", "?scop=cluster"] {
        assert_eq!(
            ask(&one, stats(unknown), &Value::Null).await.status(),
            400,
            "{unknown}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_order_is_agreed_on_under_the_callers_name() {
    let one = One::begin(FILE).await;
    let path = "/admin/v1/models/a/breaker";
    let order = json!({"mode": "force_open"});
    let (status, said) = read(ask(&one, to(Method::PUT, path), &order).await).await;
    assert_eq!((status, &said["mode"]), (200, &json!("force_open")));
    one.cluster.shutdown().await;
    let again = ask(&one, to(Method::PUT, path), &json!({"mode": "auto"})).await;
    let (status, said) = read(again).await;
    assert_eq!((status, &said["error"]["code"]), (503, &json!("no_quorum")));
}
