use serde_json::json;

use super::*;

mod dialects;
mod harm;

async fn post(upstream: &Upstream, path: &str, body: &Value) -> (u16, String) {
    let sent = asking_to(upstream, path, body).send().await.unwrap();
    (sent.status().as_u16(), sent.text().await.unwrap())
}

/// A request with a credential in each dialect's way.
fn asking_to(upstream: &Upstream, path: &str, body: &Value) -> reqwest::RequestBuilder {
    reqwest_client()
        .post(format!("{}{path}", upstream.url()))
        .header("x-api-key", "k")
        .header("x-goog-api-key", "k")
        .header("api-key", "k")
        .header("anthropic-version", "2023-06-01")
        .body(body.to_string())
}

fn reqwest_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only(std::iter::empty())
        .build()
        .unwrap()
}

async fn upstream() -> Upstream {
    Upstream::start("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
}

fn asking(text: &str) -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]})
}

#[tokio::test]
async fn a_bad_request_is_refused_on_both_wires() {
    let upstream = upstream().await;
    let (status, text) = post(&upstream, "/v1/chat/completions", &json!({"messages": []})).await;
    assert_eq!(status, 400);
    assert!(text.contains("\"param\":\"messages\""));
    let (status, text) = post(&upstream, "/api/chat", &json!({})).await;
    assert_eq!(status, 400);
    assert!(text.starts_with("{\"error\":\""));
    assert_eq!(
        (
            upstream.requests(),
            upstream.aborted(),
            upstream.in_flight()
        ),
        (2, 0, 0)
    );
}

#[tokio::test]
async fn options_that_make_no_sense_change_nothing() {
    let upstream = upstream().await;
    assert!(upstream.set_option("speed", 1).is_err());
    let (status, _) = post(&upstream, "/v1/chat/completions", &asking("x")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn an_unknown_model_is_an_echo_under_that_name() {
    let upstream = upstream().await;
    let (_, text) = post(&upstream, "/v1/chat/completions", &asking("good day")).await;
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&value["model"], &value["choices"][0]["message"]["content"]),
        (&json!("gpt-4o"), &json!("good day"))
    );
}

#[tokio::test]
async fn streams_carry_usage_only_where_it_was_asked_for() {
    let upstream = upstream().await;
    let mut body = asking("a");
    body["stream"] = json!(true);
    let (_, text) = post(&upstream, "/v1/chat/completions", &body).await;
    assert!(
        text.ends_with("data: [DONE]\n\n") && !text.contains("usage"),
        "{text}"
    );
    body["stream_options"] = json!({"include_usage": true});
    let (_, text) = post(&upstream, "/v1/chat/completions", &body).await;
    assert!(
        text.ends_with("data: [DONE]\n\n") && text.contains("\"choices\":[]"),
        "{text}"
    );
}

#[tokio::test]
async fn a_canned_answer_is_the_same_whole_and_streamed() {
    let upstream = upstream().await;
    upstream.set_canned(Some("fixed words"));
    let (_, whole) = post(&upstream, "/v1/chat/completions", &asking("x")).await;
    assert!(whole.contains("fixed words"));
    let mut body = asking("x");
    body["stream"] = json!(true);
    let (_, streamed) = post(&upstream, "/v1/chat/completions", &body).await;
    assert!(streamed.contains("\"fixed \"") && streamed.ends_with("data: [DONE]\n\n"));
    upstream.set_canned(None);
    let (_, echo) = post(&upstream, "/v1/chat/completions", &asking("x")).await;
    assert!(!echo.contains("fixed"));
}

#[tokio::test]
async fn a_stopped_upstream_refuses_and_a_restarted_one_answers_again() {
    let upstream = upstream().await;
    upstream.stop().await;
    let url = format!("{}/api/version", upstream.url());
    assert!(reqwest_client().get(&url).send().await.is_err());
    upstream.restart().await.unwrap();
    assert_eq!(
        reqwest_client().get(&url).send().await.unwrap().status(),
        200
    );
    let addr = upstream.addr();
    drop(upstream);
    for _ in 0..200 {
        if TcpListener::bind(addr).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the port stayed open");
}

#[tokio::test]
async fn answers_at_once_are_counted_at_their_height() {
    let upstream = upstream().await;
    upstream.set_option("latency_ms", 50).unwrap();
    let (body, path) = (asking("x"), "/v1/chat/completions");
    futures::future::join_all((0..4).map(|_| post(&upstream, path, &body))).await;
    assert_eq!((upstream.max_in_flight(), upstream.in_flight()), (4, 0));
}
