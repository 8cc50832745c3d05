use std::collections::BTreeMap;

use futures::StreamExt;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::provider::stand_in::{StandIn, call, texts, vectors_of};
use crate::provider::{Answer, BuildError, Class, OpenAi, Provider};

const ANSWER: &str =
    r#"{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
const STREAM: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn options(options: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(options).unwrap()
}

fn asks() -> Value {
    json!({"messages": [{"role": "user", "content": "hi"}]})
}

#[tokio::test]
async fn azure_is_asked_with_its_version_in_the_address_and_the_key_in_its_header() {
    let upstream = StandIn::answering([
        (200, "application/json", ANSWER.to_owned()),
        (
            200,
            "application/json",
            r#"{"data":[{"embedding":[1]}]}"#.to_owned(),
        ),
        (200, "application/json", "{}".to_owned()),
    ])
    .await;
    let given = json!({"api_version": "2025-04-01-preview", "auth": "api-key", "top_p": 0.5});
    let azure = OpenAi::new("gpt-4o")
        .base_url(format!("{}/openai/deployments/chat", upstream.url))
        .api_key(SecretString::from("azure-key-1"))
        .options(options(given));
    azure.check().unwrap();
    azure.generate(call(&asks(), false)).await.unwrap();
    azure.embed(vectors_of(texts(&["a"]))).await.unwrap();
    azure.health().await.unwrap();
    let asked = upstream.asked();
    let base = "/openai/deployments/chat";
    let version = "?api-version=2025-04-01-preview";
    for (asked, path) in asked
        .iter()
        .zip(["chat/completions", "embeddings", "models"])
    {
        assert_eq!(asked.path, format!("{base}/{path}{version}"));
        assert_eq!(asked.headers["api-key"], "azure-key-1");
        assert!(!asked.headers.contains_key("authorization"));
    }
    let sent = &asked[0].body;
    assert_eq!(sent["top_p"], 0.5);
    assert!(sent.get("api_version").is_none() && sent.get("auth").is_none());
}

#[tokio::test]
async fn a_server_that_refuses_stream_options_is_not_sent_any() {
    let upstream = StandIn::answering([
        (200, "text/event-stream", STREAM.to_owned()),
        (200, "text/event-stream", STREAM.to_owned()),
    ])
    .await;
    let mut body = asks();
    body["stream_options"] = json!({"include_usage": true});
    for (given, told) in [(json!({"stream_usage": false}), false), (json!({}), true)] {
        let plain = OpenAi::new("m")
            .base_url(upstream.url.as_str())
            .options(options(given));
        let Answer::Stream(chunks) = plain.generate(call(&body, true)).await.unwrap() else {
            panic!("a stream was asked for")
        };
        assert_eq!(chunks.map(Result::unwrap).count().await, 1);
        let sent = upstream.asked().remove(0).body;
        assert_eq!(sent.get("stream_options").is_some(), told);
        assert!(sent["stream"] == true && sent.get("stream_usage").is_none());
    }
}

#[tokio::test]
async fn a_setting_that_cannot_be_meant_is_refused_before_and_at_the_first_request() {
    let wrong = OpenAi::new("m").options(options(json!({"auth": "basic"})));
    assert!(matches!(wrong.check(), Err(BuildError::Option(text)) if text.contains("auth")));
    let failure = wrong.generate(call(&asks(), false)).await.unwrap_err();
    assert!(failure.class == Class::Hard && failure.message.contains("auth"));
}

#[tokio::test]
async fn errors_inside_a_success_are_classified_whole_and_streamed() {
    let limited = r#"{"error":{"message":"slow","code":"rate_limit_exceeded"}}"#;
    let long = r#"{"error":{"message":"long","code":"context_length_exceeded"}}"#;
    let event = |error: &str| format!("data: {error}\n\n");
    let upstream = StandIn::answering([
        (200, "application/json", limited.to_owned()),
        (200, "text/event-stream", event(limited)),
        (200, "application/json", long.to_owned()),
        (200, "text/event-stream", event(long)),
    ])
    .await;
    let provider = OpenAi::new("m").base_url(upstream.url.as_str());
    for class in [Class::Gate { retry_after: None }, Class::Caller] {
        let whole = provider.generate(call(&asks(), false)).await.unwrap_err();
        let Answer::Stream(mut chunks) = provider.generate(call(&asks(), true)).await.unwrap()
        else {
            panic!("a stream was asked for")
        };
        let streamed = chunks.next().await.unwrap().unwrap_err();
        assert_eq!((whole.class, streamed.class), (class, class));
        assert_eq!(whole.body, streamed.body);
    }
}

#[tokio::test]
async fn azures_responses_are_asked_with_its_version_in_the_address() {
    let answer = r#"{"id":"r","status":"completed","model":"m","output":[]}"#;
    let upstream = StandIn::saying(answer).await;
    let azure = OpenAi::new("m")
        .base_url(format!("{}/openai", upstream.url))
        .api_key(SecretString::from("azure-key-1"))
        .options(options(
            json!({"api_version": "preview", "auth": "api-key", "responses": true}),
        ));
    let read = crate::dialect::responses::read(br#"{"model":"m","input":"hi"}"#).unwrap();
    let call = crate::provider::Call {
        body: std::sync::Arc::new(read.chat),
        ..call(&asks(), false)
    };
    azure.generate(call).await.unwrap();
    let asked = upstream.asked().remove(0);
    assert_eq!(asked.path, "/openai/responses?api-version=preview");
    assert_eq!(asked.headers["api-key"], "azure-key-1");
}
