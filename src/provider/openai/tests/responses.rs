//! The Responses API of an upstream that has it: what goes out, and what comes back.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use futures::StreamExt;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::dialect::responses::read;
use crate::provider::{Answer, Call, Class, Failure, OpenAi, Provider, Timeouts};
use crate::types::{Dialect, Finish, Moment, Usage};

/// An upstream whose `/responses` gives one answer, and what it was sent.
struct Fake {
    url: String,
    heard: Arc<Mutex<Vec<Bytes>>>,
    _serving: JoinSet<()>,
}

async fn fake(media: &'static str, answer: &'static str) -> Fake {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let responses = post(move |body: Bytes| async move {
        hears.lock().push(body);
        ([("content-type", media)], answer)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route("/responses", responses);
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    Fake {
        url,
        heard,
        _serving: serving,
    }
}

fn provider(fake: &Fake, has: bool) -> OpenAi {
    let options = [("responses".to_owned(), json!(has))].into();
    OpenAi::new("gpt").base_url(&fake.url).options(options)
}

const ASKED: &str =
    r#"{ "model":"auto","input": "hi",  "tools":[{"type":"web_search"}], "n":1.0 }"#;

fn call(asked: &str, stream: bool) -> Call {
    Call {
        body: Arc::new(read(asked.as_bytes()).unwrap().chat),
        model: "gpt".into(),
        stream,
        deadline: Moment::now() + Duration::from_secs(10),
        timeouts: Timeouts::default(),
        traceparent: None,
    }
}

const WHOLE: &str = r#"{"id":"resp_1","object":"response","status":"completed","model":"gpt-x",
 "output":[{"type":"reasoning","summary":[]},{"type":"message","role":"assistant",
 "content":[{"type":"output_text","text":"Paris","annotations":[]}]}],
 "usage":{"input_tokens":3,"output_tokens":2,"total_tokens":5}, "odd":1e2}"#;

#[tokio::test]
async fn a_request_goes_out_as_it_came_but_for_its_model_and_the_answer_comes_back_as_it_is() {
    let fake = fake("application/json", WHOLE).await;
    let answer = provider(&fake, true).generate(call(ASKED, false)).await;
    let Answer::Whole(whole) = answer.unwrap() else {
        panic!("a stream was not asked for")
    };
    assert_eq!(whole.raw, WHOLE.as_bytes());
    assert_eq!(whole.dialect, Dialect::Responses);
    assert_eq!(
        (whole.tap.text.as_str(), whole.tap.finish),
        ("Paris", Some(Finish::Stop))
    );
    assert_eq!(whole.tap.usage, Some(Usage::new(3, 2)));
    let sent = fake.heard.lock()[0].clone();
    let expected = r#"{"model":"gpt","input":"hi","tools":[{"type":"web_search"}],"n":1.0}"#;
    assert_eq!(sent, expected.as_bytes());
}

const EVENTS: [&str; 4] = [
    r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","model":"gpt-x"}}"#,
    r#"{"type":"response.output_text.delta","sequence_number":1,"output_index":0,"delta":"Pa"}"#,
    r#"{"type":"response.new_kind","sequence_number":2,"big":123456789012345678901234567890}"#,
    r#"{"type":"response.completed","sequence_number":3,"response":{"id":"resp_1","status":"completed","output":[],"usage":{"input_tokens":3,"output_tokens":2}}}"#,
];

fn framed(events: &[&str]) -> &'static str {
    let framed = events
        .iter()
        .map(|data| format!("event: x\ndata: {data}\n\n"));
    Box::leak(framed.collect::<String>().into_boxed_str())
}

async fn streamed(answer: &'static str) -> Vec<Result<crate::types::Chunk, Failure>> {
    let fake = fake("text/event-stream", answer).await;
    let answer = provider(&fake, true).generate(call(ASKED, true)).await;
    let Answer::Stream(chunks) = answer.unwrap() else {
        panic!("a stream was asked for")
    };
    let sent = String::from_utf8(fake.heard.lock()[0].to_vec()).unwrap();
    assert!(sent.ends_with(r#""stream":true}"#), "{sent}");
    chunks.collect().await
}

#[tokio::test]
async fn every_event_of_a_stream_is_passed_on_as_it_came() {
    let chunks = streamed(framed(&EVENTS)).await;
    let chunks: Vec<_> = chunks.into_iter().map(Result::unwrap).collect();
    let raw: Vec<&[u8]> = chunks.iter().map(|chunk| &chunk.raw[..]).collect();
    assert_eq!(raw, EVENTS.map(str::as_bytes));
    assert_eq!(chunks[1].tap.text, "Pa");
    assert!(chunks[1].tap.real && !chunks[0].tap.real);
    assert_eq!(chunks[3].tap.finish, Some(Finish::Stop));
    assert_eq!(chunks[3].tap.usage.unwrap().prompt_tokens, 3);
}

#[tokio::test]
async fn items_of_unknown_kinds_and_pictures_of_megabytes_pass_as_they_came() {
    let search = r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"tool_search_call","arguments":{"q":"x"}}}"#;
    let image = format!(
        r#"{{"type":"response.output_item.done","output_index":0,"item":{{"type":"image_generation_call","id":"ig","result":"{}"}}}}"#,
        "A".repeat(3 << 20)
    );
    let end = r#"{"type":"response.completed","response":{"status":"completed","output":[{"type":"tool_search_call","arguments":{"q":"x"}}]}}"#;
    let events = [EVENTS[0], search, &image, end];
    let chunks = streamed(framed(&events)).await;
    let chunks: Vec<_> = chunks.into_iter().map(Result::unwrap).collect();
    let raw: Vec<&[u8]> = chunks.iter().map(|chunk| &chunk.raw[..]).collect();
    assert_eq!(raw, events.map(str::as_bytes));
}

#[tokio::test]
async fn a_long_error_keeps_its_class_and_its_code() {
    let long = "überlang ".repeat(200);
    let (slow, deep) = (
        json!({"type": "error", "message": long, "code": "rate_limit_exceeded"}),
        json!({"type": "response.failed", "response": {"error":
            {"message": long, "code": "context_length_exceeded"}}}),
    );
    for (error, class) in [
        (&slow, Class::Gate { retry_after: None }),
        (&deep, Class::Caller),
        (
            &json!({"type": "error", "error": deep["response"]["error"]}),
            Class::Caller,
        ),
    ] {
        let said = streamed(framed(&[EVENTS[0], &error.to_string()])).await;
        let failure = said.into_iter().last().unwrap().unwrap_err();
        assert_eq!(failure.class, class, "{failure}");
        assert!(failure.message.chars().count() < 700);
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_off_or_fails_is_no_answer() {
    let cut = streamed(framed(&EVENTS[..2])).await;
    let failure = cut.into_iter().last().unwrap().unwrap_err();
    assert_eq!(failure.class, Class::Hard);
    let error = r#"{"type":"error","code":"rate_limit_exceeded","message":"slow down"}"#;
    let slow = streamed(framed(&[EVENTS[0], error])).await;
    let failure = slow.into_iter().last().unwrap().unwrap_err();
    assert!(matches!(failure.class, Class::Gate { .. }), "{failure}");
}

#[tokio::test]
async fn whoever_has_the_api_can_be_told_everything_and_others_cannot() {
    let fake = fake("application/json", WHOLE).await;
    let body = read(ASKED.as_bytes()).unwrap().chat;
    assert_eq!(provider(&fake, true).uncarried(&body), []);
    let without = provider(&fake, false).uncarried(&body);
    assert!(without.iter().any(|part| part.essential));
    let elsewhere = OpenAi::new("m").base_url(&fake.url).uncarried(&body);
    assert_eq!(elsewhere, without);
    assert_eq!(OpenAi::new("m").uncarried(&body), []);
    let options = [("responses".to_owned(), json!("yes"))].into();
    assert!(OpenAi::new("m").options(options).check().is_err());
}
