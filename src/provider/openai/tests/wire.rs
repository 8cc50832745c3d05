use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use http::{HeaderMap, Response};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::dialect::openai::ChatBody;
use crate::provider::demo::Fault;
use crate::provider::demo::upstream::Upstream;
use crate::provider::{Answer, Call, ChunkStream, Class, Failure, OpenAi, Provider, Timeouts};
use crate::types::{Completion, Finish, Moment, Usage};

const KEY: &str = "sk-test-key-1";

async fn upstream() -> Upstream {
    Upstream::start("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
}

fn provider(upstream: &Upstream) -> OpenAi {
    OpenAi::new("echo")
        .base_url(upstream.openai_url())
        .api_key(SecretString::from(KEY))
}

fn call(text: &str, stream: bool) -> Call {
    let body =
        json!({"model": "auto", "messages": [{"role": "user", "content": text}], "stream": stream});
    Call {
        body: Arc::new(ChatBody::parse(body.to_string().as_bytes()).unwrap()),
        model: "echo".into(),
        stream,
        deadline: Moment::now() + Duration::from_secs(10),
        timeouts: Timeouts::default(),
        traceparent: None,
    }
}

async fn whole(provider: &OpenAi, call: Call) -> Result<Completion, Failure> {
    match provider.generate(call).await? {
        Answer::Whole(completion) => Ok(completion),
        Answer::Stream(_) => panic!("a stream was not asked for"),
    }
}

async fn stream(provider: &OpenAi, call: Call) -> Result<ChunkStream, Failure> {
    match provider.generate(call).await? {
        Answer::Stream(chunks) => Ok(chunks),
        Answer::Whole(_) => panic!("a stream was asked for"),
    }
}

/// Looks every millisecond for at most 200 ms.
async fn soon(mut holds: impl FnMut() -> bool) -> bool {
    for _ in 0..200 {
        if holds() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    false
}

#[tokio::test]
async fn every_refusal_has_its_class() {
    let upstream = upstream().await;
    let provider = provider(&upstream);
    let wait = Some(Duration::from_secs(7));
    for (status, retry_after_s, class) in [
        (429, Some(7), Class::Gate { retry_after: wait }),
        (503, Some(7), Class::Gate { retry_after: wait }),
        (503, None, Class::Hard),
        (500, None, Class::Hard),
        (302, None, Class::Hard),
        (401, None, Class::Credential),
        (422, None, Class::Caller),
    ] {
        upstream.set_fault(Fault::Status {
            status,
            retry_after_s,
        });
        for streamed in [false, true] {
            let failure = provider.generate(call("x", streamed)).await.unwrap_err();
            assert_eq!((failure.class, failure.status), (class, Some(status)));
            assert_eq!(failure.body.is_empty(), class != Class::Caller, "{status}");
        }
    }
}

#[tokio::test]
async fn broken_connections_and_garbled_answers_are_hard() {
    let upstream = upstream().await;
    let provider = provider(&upstream);
    for (fault, words) in [
        (
            Fault::Connect,
            "connection closed before the answer was complete",
        ),
        (
            Fault::Hang { millis: 5 },
            "connection closed before the answer was complete",
        ),
        (Fault::Garbled, "not an OpenAI answer"),
        (Fault::Cut { after_tokens: 1 }, ""),
    ] {
        upstream.set_fault(fault);
        let failure = whole(&provider, call("one two three", false))
            .await
            .unwrap_err();
        assert_eq!(failure.class, Class::Hard);
        assert!(
            failure.message.contains(words),
            "{fault:?}: {}",
            failure.message
        );
        assert!(!failure.message.contains("127.0.0.1"));
    }
    upstream.stop().await;
    let failure = whole(&provider, call("x", false)).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.message.as_str()),
        (Class::Hard, "connection refused")
    );
}

#[tokio::test]
async fn a_stream_cut_in_the_middle_ends_in_a_hard_failure() {
    let upstream = upstream().await;
    upstream.set_fault(Fault::Cut { after_tokens: 2 });
    let chunks = stream(&provider(&upstream), call("one two three", true))
        .await
        .unwrap();
    let items: Vec<_> = chunks.collect().await;
    let text: String = items
        .iter()
        .flatten()
        .map(|chunk| chunk.tap.text.as_str())
        .collect();
    assert_eq!(text, "one two ");
    assert_eq!(
        items.last().unwrap().as_ref().unwrap_err().class,
        Class::Hard
    );
    assert_eq!(upstream.aborted(), 0, "it was the upstream that left");
}

#[tokio::test]
async fn dropping_the_wait_for_an_answer_aborts_the_upstream() {
    let upstream = upstream().await;
    upstream.set_option("latency_ms", 60_000).unwrap();
    let provider = provider(&upstream);
    for streamed in [false, true] {
        let before = upstream.aborted();
        let waited = tokio::time::timeout(
            Duration::from_millis(50),
            provider.generate(call("x", streamed)),
        );
        assert!(waited.await.is_err());
        assert!(soon(|| upstream.aborted() == before + 1 && upstream.in_flight() == 0).await);
    }
}

#[tokio::test]
async fn dropping_a_stream_aborts_the_upstream() {
    let upstream = upstream().await;
    upstream.set_option("tokens_per_second", 100).unwrap();
    let provider = provider(&upstream);
    let mut chunks = stream(&provider, call(&"word ".repeat(500), true))
        .await
        .unwrap();
    for _ in 0..3 {
        chunks.next().await.unwrap().unwrap();
    }
    assert_eq!(upstream.in_flight(), 1);
    drop(chunks);
    assert!(soon(|| upstream.aborted() == 1 && upstream.in_flight() == 0).await);
}

#[tokio::test]
async fn slow_heads_and_first_tokens_are_given_up() {
    let upstream = upstream().await;
    let provider = provider(&upstream);
    let limits = |first_token| Timeouts {
        first_token: Duration::from_millis(first_token),
        ..Timeouts::default()
    };
    upstream.set_option("latency_ms", 5000).unwrap();
    let failure = whole(
        &provider,
        Call {
            timeouts: limits(30),
            ..call("x", false)
        },
    )
    .await
    .unwrap_err();
    assert!(
        failure.timed_out && failure.message == "no answer within 30ms",
        "{}",
        failure.message
    );
    upstream.set_option("latency_ms", 0).unwrap();
    upstream.set_option("first_token_ms", 5000).unwrap();
    let mut chunks = stream(
        &provider,
        Call {
            timeouts: limits(50),
            ..call("x", true)
        },
    )
    .await
    .unwrap();
    assert!(!chunks.next().await.unwrap().unwrap().tap.real);
    let failure = chunks.next().await.unwrap().unwrap_err();
    assert_eq!(failure.message, "no first token within 50ms");
    assert!(chunks.next().await.is_none());
}

#[tokio::test]
async fn an_unreachable_host_is_given_up_within_the_connect_limit() {
    // a listener whose backlog is full takes no more connections, without refusing them
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(
        Duration::from_millis(200),
        tokio::net::TcpStream::connect(addr),
    )
    .await
    {
        held.push(stream);
    }
    let provider = OpenAi::new("m")
        .base_url(format!("http://{addr}"))
        .connect_timeout(Duration::from_millis(100));
    let failure = whole(&provider, call("x", false)).await.unwrap_err();
    assert!(failure.timed_out);
    assert_eq!(failure.message, "no connection within 100ms");
}

#[tokio::test]
async fn a_whole_answer_arrives_with_its_counts() {
    let upstream = upstream().await;
    let completion = whole(&provider(&upstream), call("hello there world", false))
        .await
        .unwrap();
    assert_eq!(completion.tap.text, "hello there world");
    assert_eq!(completion.tap.usage, Some(Usage::new(3, 3)));
    assert_eq!(completion.tap.finish, Some(Finish::Stop));
    let sent: Value = serde_json::from_slice(&upstream.last_body().unwrap()).unwrap();
    assert_eq!(sent["model"], "echo");
    let headers = upstream.last_headers().unwrap();
    assert_eq!(headers["authorization"], format!("Bearer {KEY}").as_str());
    assert!(headers.get("traceparent").is_none() && headers.get("accept-encoding").is_none());
}

#[tokio::test]
async fn streams_end_cleanly_and_share_one_connection() {
    let upstream = upstream().await;
    let provider = provider(&upstream);
    for _ in 0..3 {
        let chunks = stream(&provider, call("a b", true)).await.unwrap();
        let items: Vec<_> = chunks.map(Result::unwrap).collect().await;
        let text: String = items.iter().map(|chunk| chunk.tap.text.as_str()).collect();
        assert_eq!(text, "a b");
        assert!(items.last().unwrap().usage_only);
    }
    assert_eq!((upstream.requests(), upstream.aborted()), (3, 0));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn the_call_decides_whether_to_stream_and_where_the_trace_goes() {
    let upstream = upstream().await;
    let options = BTreeMap::from([("top_p".to_owned(), json!(0.5))]);
    let provider = provider(&upstream).options(options);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let asked = Call {
        stream: false,
        traceparent: Some(trace.to_owned()),
        model: "".into(),
        ..call("x", true)
    };
    whole(&provider, asked).await.unwrap();
    let sent: Value = serde_json::from_slice(&upstream.last_body().unwrap()).unwrap();
    assert_eq!(
        (&sent["stream"], &sent["top_p"], &sent["model"]),
        (&json!(false), &json!(0.5), &json!("echo"))
    );
    assert_eq!(upstream.last_headers().unwrap()["traceparent"], trace);
}

/// An upstream that answers everything with what `make` returns.
async fn answering(tasks: &mut JoinSet<()>, make: fn(&HeaderMap) -> Response<Body>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router =
        axum::Router::new().fallback(move |headers: HeaderMap| async move { make(&headers) });
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn answer(status: u16, kind: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(body.into())
        .unwrap()
}

#[tokio::test]
async fn an_echoed_key_is_struck_out_of_bodies_and_messages() {
    let mut tasks = JoinSet::new();
    for status in [400, 500] {
        let make: fn(&HeaderMap) -> Response<Body> = match status {
            400 => |headers| {
                answer(
                    400,
                    "text/plain",
                    format!("bad {}", headers["authorization"].to_str().unwrap()),
                )
            },
            _ => |headers| {
                answer(
                    500,
                    "text/plain",
                    format!("bad {}", headers["authorization"].to_str().unwrap()),
                )
            },
        };
        let url = answering(&mut tasks, make).await;
        let provider = OpenAi::new("m")
            .base_url(url)
            .api_key(SecretString::from(KEY));
        let failure = whole(&provider, call("x", false)).await.unwrap_err();
        let shown = format!(
            "{failure} {failure:?} {}",
            String::from_utf8_lossy(&failure.body)
        );
        assert!(
            shown.contains("[redacted]") && !shown.contains(KEY),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn answers_without_bounds_are_refused() {
    let mut tasks = JoinSet::new();
    let endless: fn(&HeaderMap) -> Response<Body> = |_| {
        let piece = bytes::Bytes::from(vec![b' '; 1 << 20]);
        let pieces = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
        answer(200, "application/json", Body::from_stream(pieces))
    };
    let provider = OpenAi::new("m").base_url(answering(&mut tasks, endless).await);
    let failure = whole(&provider, call("x", false)).await.unwrap_err();
    assert_eq!(failure.message, "answer is over 64 MiB");
    let heads: fn(&HeaderMap) -> Response<Body> = |_| {
        let mut big = answer(200, "application/json", "{}");
        for n in 0..5u8 {
            let name = format!("x-{n}").parse::<http::HeaderName>().unwrap();
            big.headers_mut()
                .insert(name, "y".repeat(8000).parse().unwrap());
        }
        big
    };
    let provider = OpenAi::new("m").base_url(answering(&mut tasks, heads).await);
    assert!(
        whole(&provider, call("x", false))
            .await
            .unwrap_err()
            .message
            .contains("32 KiB")
    );
}

#[tokio::test]
async fn an_error_or_a_whole_answer_in_place_of_a_stream_is_hard() {
    let mut tasks = JoinSet::new();
    let error: fn(&HeaderMap) -> Response<Body> = |_| {
        answer(
            200,
            "application/json",
            r#"{"error":{"message":"overloaded"}}"#,
        )
    };
    let provider = OpenAi::new("m").base_url(answering(&mut tasks, error).await);
    let failure = provider.generate(call("x", true)).await.unwrap_err();
    assert!(failure.class == Class::Hard && failure.message.contains("overloaded"));
    let whole: fn(&HeaderMap) -> Response<Body> = |_| {
        answer(
            200,
            "application/json",
            r#"{"choices":[{"message":{"content":"x"}}]}"#,
        )
    };
    let provider = OpenAi::new("m").base_url(answering(&mut tasks, whole).await);
    let failure = provider.generate(call("x", true)).await.unwrap_err();
    assert!(failure.message.contains("whole answer"));
}

#[tokio::test]
async fn health_asks_for_models_or_the_configured_path() {
    let upstream = upstream().await;
    provider(&upstream).health().await.unwrap();
    provider(&upstream)
        .health_path("/api/version")
        .health()
        .await
        .unwrap();
    provider(&upstream)
        .health_path("/nowhere")
        .health()
        .await
        .unwrap();
    assert_eq!((upstream.requests(), upstream.probes()), (0, 3));
    let mut tasks = JoinSet::new();
    for (make, words) in [
        (
            (|_| answer(500, "text/plain", "")) as fn(&HeaderMap) -> Response<Body>,
            "http 500",
        ),
        (|_| answer(302, "text/plain", ""), "http 302"),
    ] {
        let down = OpenAi::new("m").base_url(answering(&mut tasks, make).await);
        assert!(down.health().await.unwrap_err().message.contains(words));
    }
    upstream.stop().await;
    assert_eq!(
        provider(&upstream).health().await.unwrap_err().message,
        "connection refused"
    );
}

#[tokio::test]
async fn a_key_is_not_sent_in_clear_text_even_when_nobody_checked() {
    let provider = OpenAi::new("m")
        .base_url("http://192.0.2.1/v1")
        .api_key(SecretString::from(KEY));
    let failure = whole(&provider, call("x", false)).await.unwrap_err();
    assert!(failure.class == Class::Hard && failure.message.contains("clear text"));
}
