use std::sync::Arc;

use futures::StreamExt;

use super::testing::Fake;
use super::*;
use crate::dialect::anthropic::{Purpose, Version, to_openai};
use crate::provider::Timeouts;
use crate::provider::openai::stream::CUT_OFF;
use crate::types::{Chunk, Finish, Moment, Usage};

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"c-1\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
const STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"c-1\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":5}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const WHOLE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"c-1","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":5}}"#;

fn call_with(body: ChatBody, stream: bool) -> Call {
    Call {
        body: Arc::new(body),
        model: "".into(),
        stream,
        deadline: Moment::now() + Duration::from_secs(10),
        timeouts: Timeouts::default(),
        traceparent: None,
    }
}

fn plain(stream: bool) -> Call {
    let body = json!({"messages": [{"role": "user", "content": "x"}]});
    call_with(
        ChatBody::parse(body.to_string().as_bytes()).unwrap(),
        stream,
    )
}

fn native(stream: bool) -> Call {
    let body = json!({"model": "alias", "max_tokens": 9, "stream": stream,
        "messages": [{"role": "user", "content": "x"}], "novelty": 1});
    let bytes = body.to_string();
    let version = Version::October2026;
    let beta = Some("context-1m".to_owned());
    call_with(
        to_openai(bytes.as_bytes(), Purpose::Answer, version, beta).unwrap(),
        stream,
    )
}

fn provider(fake: &Fake) -> Anthropic {
    Anthropic::new("c-9")
        .base_url(fake.url())
        .api_key(SecretString::from("sk-ant-secret"))
}

async fn read(provider: &Anthropic, call: Call) -> (Vec<Chunk>, Option<Failure>) {
    let Answer::Stream(mut chunks) = provider.generate(call).await.unwrap() else {
        panic!("a stream was asked for")
    };
    let (mut said, mut failed) = (Vec::new(), None);
    while let Some(item) = chunks.next().await {
        match item {
            Ok(chunk) => said.push(chunk),
            Err(failure) => failed = Some(failure),
        }
    }
    (said, failed)
}

#[tokio::test]
async fn an_openai_client_gets_openai_chunks_and_the_upstream_its_own_dialect() {
    let fake = Fake::answering(200, STREAM).await;
    let (said, failed) = read(&provider(&fake), plain(true)).await;
    assert!(failed.is_none());
    assert!(said.iter().all(|chunk| chunk.dialect.is_openai()));
    let text: String = said.iter().map(|chunk| chunk.tap.text.as_str()).collect();
    assert_eq!(text, "hi");
    assert_eq!(said[said.len() - 2].tap.finish, Some(Finish::Stop));
    assert_eq!(said.last().unwrap().tap.usage, Some(Usage::new(3, 5)));
    let shown: Value = serde_json::from_slice(&said[1].raw).unwrap();
    assert_eq!(shown["model"], "c-1");
    let seen = fake.seen().remove(0);
    assert_eq!(seen.path, "/v1/messages");
    assert_eq!(seen.headers["x-api-key"], "sk-ant-secret");
    assert_eq!(seen.headers["anthropic-version"], "2023-06-01");
    assert!(!seen.headers.contains_key("authorization"));
    assert_eq!(seen.json()["model"], "c-9");
    assert_eq!(seen.json()["max_tokens"], 4096);
}

#[tokio::test]
async fn a_client_of_the_same_dialect_gets_the_upstreams_bytes() {
    let fake = Fake::answering(200, STREAM).await;
    let (said, failed) = read(&provider(&fake), native(true)).await;
    assert!(failed.is_none());
    let data: Vec<&str> = STREAM
        .lines()
        .filter_map(|l| l.strip_prefix("data: "))
        .collect();
    let raw: Vec<&str> = said
        .iter()
        .map(|c| std::str::from_utf8(&c.raw).unwrap())
        .collect();
    assert_eq!(raw, data);
    assert!(
        said.iter()
            .all(|chunk| chunk.dialect == Dialect::Anthropic && !chunk.usage_only)
    );
    assert!(!said[0].tap.real && !said[1].tap.real && said[2].tap.real);
    assert_eq!(said[3].tap.finish, Some(Finish::Stop));
    let seen = fake.seen().remove(0);
    assert_eq!(seen.headers["anthropic-version"], "2026-10-21");
    assert_eq!(seen.headers["anthropic-beta"], "context-1m");
    assert_eq!(
        (&seen.json()["model"], &seen.json()["novelty"]),
        (&json!("c-9"), &json!(1))
    );
}

#[tokio::test]
async fn whole_answers_are_translated_or_as_they_came() {
    let fake = Fake::answering(200, WHOLE).await;
    let options = BTreeMap::from([("auth".to_owned(), json!("bearer"))]);
    let provider = provider(&fake).options(options);
    let Answer::Whole(answer) = provider.generate(native(false)).await.unwrap() else {
        panic!("a whole answer was asked for")
    };
    assert_eq!(
        (&answer.raw[..], answer.dialect),
        (WHOLE.as_bytes(), Dialect::Anthropic)
    );
    let Answer::Whole(answer) = provider.generate(plain(false)).await.unwrap() else {
        panic!("a whole answer was asked for")
    };
    let shown: Value = serde_json::from_slice(&answer.raw).unwrap();
    assert_eq!(shown["choices"][0]["message"]["content"], "hi");
    assert_eq!(answer.tap.usage, Some(Usage::new(3, 5)));
    let seen = fake.seen().remove(0);
    assert_eq!(seen.headers["authorization"], "Bearer sk-ant-secret");
    assert!(!seen.headers.contains_key("x-api-key"));
}

#[tokio::test]
async fn a_stream_that_never_says_why_it_ends_was_cut_off() {
    let fake = Fake::answering(200, START).await;
    for call in [plain(true), native(true)] {
        let (said, failed) = read(&provider(&fake), call).await;
        assert_eq!(said.len(), 1);
        assert_eq!(failed.unwrap().message, CUT_OFF);
    }
}

#[tokio::test]
async fn an_error_inside_a_stream_is_classified_and_shows_no_key() {
    for (kind, class, status) in [
        ("invalid_request_error", Class::Caller, 400),
        ("authentication_error", Class::Credential, 401),
        ("billing_error", Class::Credential, 402),
        ("permission_error", Class::Credential, 403),
        ("not_found_error", Class::Caller, 404),
        ("conflict_error", Class::Caller, 409),
        ("request_too_large", Class::Caller, 413),
        ("rate_limit_error", Class::Gate { retry_after: None }, 429),
        ("api_error", Class::Hard, 500),
        ("timeout_error", Class::Hard, 504),
        ("overloaded_error", Class::Hard, 529),
    ] {
        let error = format!(
            "{START}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"sk-ant-secret\"}}}}\n\n"
        );
        let fake = Fake::answering(200, error.leak()).await;
        for call in [plain(true), native(true)] {
            let failed = read(&provider(&fake), call).await.1.unwrap();
            assert_eq!(
                (failed.class, failed.status),
                (class, Some(status)),
                "{kind}"
            );
            assert!(failed.message.contains(kind) && !failed.message.contains("secret"));
            assert!(!String::from_utf8_lossy(&failed.body).contains("secret"));
        }
    }
    let spent = format!(
        "{START}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"rate_limit_error\",\"message\":\"m\",\"details\":{{\"error_code\":\"enforced_spend_limit_reached\"}}}}}}\n\n"
    );
    let fake = Fake::answering(200, spent.leak()).await;
    let failed = read(&provider(&fake), plain(true)).await.1.unwrap();
    assert_eq!(failed.class, Class::Credential);
}

#[tokio::test]
async fn refusals_are_classified() {
    let spent = r#"{"type":"error","error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}"#;
    let busy = r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#;
    for (status, body, class) in [
        (429, spent, Class::Credential),
        (429, busy, Class::Gate { retry_after: None }),
        (529, busy, Class::Hard),
        (401, busy, Class::Credential),
        (400, busy, Class::Caller),
    ] {
        let fake = Fake::answering(status, body).await;
        let failure = provider(&fake).generate(plain(false)).await.unwrap_err();
        assert_eq!((failure.class, failure.status), (class, Some(status)));
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_clients_dialect() {
    let long = r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"},"request_id":"req_1"}"#;
    let fake = Fake::answering(400, long).await;
    let shown = |failure: Failure| serde_json::from_slice::<Value>(&failure.body).unwrap();
    let failure = provider(&fake).generate(plain(true)).await.unwrap_err();
    let expected = json!({"error": {"type": "invalid_request_error", "param": null,
        "message": "prompt is too long: 9 tokens > 8 maximum", "code": "context_length_exceeded"}});
    assert_eq!(shown(failure), expected);
    let failure = provider(&fake).generate(native(true)).await.unwrap_err();
    assert_eq!(failure.body, long.as_bytes());
}

#[tokio::test]
async fn what_cannot_be_carried_is_the_callers_mistake_and_costs_no_request() {
    let fake = Fake::answering(200, WHOLE).await;
    let body = json!({"messages": [{"role": "user", "content": "x"}], "n": 2});
    let body = ChatBody::parse(body.to_string().as_bytes()).unwrap();
    let failure = provider(&fake)
        .generate(call_with(body, false))
        .await
        .unwrap_err();
    assert_eq!((failure.class, failure.status), (Class::Caller, Some(400)));
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn only_requests_of_the_dialect_are_counted() {
    let fake = Fake::answering(200, WHOLE).await;
    let provider = provider(&fake);
    assert!(provider.count_tokens(plain(false)).await.is_none());
    assert_eq!(
        provider.count_tokens(native(false)).await.unwrap().unwrap(),
        42
    );
    let seen = fake.seen().remove(0);
    assert_eq!(
        (seen.path.as_str(), &seen.json()["model"]),
        ("/v1/messages/count_tokens", &json!("c-9"))
    );
}
