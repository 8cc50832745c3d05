use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};

use super::*;
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::decode;
use crate::dialect::whole::Whole;
use crate::provider::demo::Fault;
use crate::provider::demo::upstream::Upstream;
use crate::provider::limits::Watch;
use crate::provider::openai::stream::CUT_OFF;
use crate::provider::stand_in::{StandIn, texts, vectors_of};
use crate::provider::{ChunkStream, Timeouts};
use crate::types::{Chunk, Finish, Inputs, Moment, Usage};

async fn upstream() -> Upstream {
    Upstream::start("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
}

fn call_with(body: Value, stream: bool) -> Call {
    Call {
        body: Arc::new(ChatBody::parse(body.to_string().as_bytes()).unwrap()),
        model: "".into(),
        stream,
        deadline: Moment::now() + Duration::from_secs(10),
        timeouts: Timeouts::default(),
        traceparent: None,
    }
}

fn call(text: &str, stream: bool) -> Call {
    call_with(
        json!({"messages": [{"role": "user", "content": text}]}),
        stream,
    )
}

async fn stream_of(provider: &Ollama, call: Call) -> ChunkStream {
    match provider.generate(call).await.unwrap() {
        Answer::Stream(chunks) => chunks,
        Answer::Whole(_) => panic!("a stream was asked for"),
    }
}

/// The chunks of lines that arrive in these pieces.
async fn read(pieces: &[&str]) -> (Vec<Chunk>, Option<Failure>) {
    let pieces: Vec<Result<Bytes, Failure>> = pieces
        .iter()
        .map(|piece| Ok(Bytes::copy_from_slice(piece.as_bytes())))
        .collect();
    let body = Body::new(
        futures::stream::iter(pieces),
        Watch::start(Timeouts::default(), true),
    );
    let form = (Framing::lines(), Form::OpenAi(Head::new("m")));
    let mut read = translate::chunks(body, Decoder::default(), form, KeyGuard::default());
    let (mut said, mut failed) = (Vec::new(), None);
    while let Some(item) = read.next().await {
        match item {
            Ok(chunk) => said.push(chunk),
            Err(failure) => failed = Some(failure),
        }
    }
    (said, failed)
}

const HI: &str = "{\"message\":{\"content\":\"hi\"},\"done\":false}\n";
const DONE: &str =
    "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"eval_count\":1}";

#[tokio::test]
async fn a_stream_that_never_says_done_was_cut_off() {
    for last in [
        "",
        "{\"message\":{\"cont",
        "{\"message\":{\"content\":\"x\"},\"done\":false}",
    ] {
        let (said, failed) = read(&[HI, last]).await;
        assert_eq!(said[1].tap.text, "hi");
        assert_eq!(failed.unwrap().message, CUT_OFF, "{last}");
    }
}

#[tokio::test]
async fn errors_junk_and_long_lines_inside_a_success_are_hard() {
    let long = format!("{{\"message\":\"{}", "x".repeat(1 << 20));
    for (line, words) in [
        ("{\"error\":\"runner crashed\"}\n", "runner crashed"),
        ("{\"error\":\"runner crashed\"}", "runner crashed"),
        ("nonsense\n", "not an ollama answer"),
        (
            "{\"done\":true,\"done_reason\":\"unload\"}\n",
            "answered nothing",
        ),
        (long.as_str(), "longer than"),
    ] {
        let (_, failed) = read(&[HI, line]).await;
        let failed = failed.unwrap();
        assert_eq!(failed.class, Class::Hard);
        assert!(failed.message.contains(words), "{}", failed.message);
    }
}

#[tokio::test]
async fn delivery_byte_by_byte_and_a_missing_last_line_end_change_nothing() {
    let text = format!("{HI}\n{DONE}");
    let bytes: Vec<String> = text.chars().map(String::from).collect();
    let bytewise: Vec<&str> = bytes.iter().map(String::as_str).collect();
    for pieces in [vec![text.as_str()], bytewise] {
        let (said, failed) = read(&pieces).await;
        assert!(failed.is_none());
        let kinds: Vec<_> = said
            .iter()
            .map(|chunk| (chunk.tap.text.as_str(), chunk.tap.finish))
            .collect();
        assert_eq!(
            kinds,
            [
                ("", None),
                ("hi", None),
                ("", Some(Finish::Stop)),
                ("", None)
            ]
        );
    }
}

#[tokio::test]
async fn what_cannot_be_carried_is_the_callers_mistake_and_costs_no_request() {
    let upstream = upstream().await;
    let provider = Ollama::new("m").base_url(upstream.url());
    let image = json!([{"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}]);
    for body in [
        json!({"messages": [{"role": "user", "content": "x"}], "n": 2}),
        json!({"messages": [{"role": "user", "content": image}]}),
    ] {
        let asked = call_with(body, false);
        let barred = provider.uncarried(&asked.body);
        assert!(
            barred.iter().any(|part| part.essential),
            "the plan passes it by"
        );
        let failure = provider.generate(asked).await.unwrap_err();
        assert_eq!((failure.class, failure.status), (Class::Caller, Some(400)));
        let shown: Value = serde_json::from_slice(&failure.body).unwrap();
        assert!(shown["error"]["param"].is_string());
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn refusals_are_classified_and_told_in_openai_words() {
    let upstream = upstream().await;
    let provider = Ollama::new("m").base_url(upstream.url());
    upstream.set_fault(Fault::Status {
        status: 404,
        retry_after_s: None,
    });
    let failure = provider.generate(call("x", true)).await.unwrap_err();
    let shown: Value = serde_json::from_slice(&failure.body).unwrap();
    assert_eq!(failure.class, Class::Caller);
    assert_eq!(shown["error"]["type"], "invalid_request_error");
    upstream.set_fault(Fault::Status {
        status: 500,
        retry_after_s: None,
    });
    assert_eq!(
        provider.generate(call("x", true)).await.unwrap_err().class,
        Class::Hard
    );
}

#[tokio::test]
async fn a_round_trip_gives_text_counts_and_finish_whole_and_streamed() {
    let upstream = upstream().await;
    let provider = Ollama::new("q:3b")
        .base_url(upstream.url())
        .option("num_ctx", 512);
    let limited =
        json!({"messages": [{"role": "user", "content": "one two three"}], "max_tokens": 2});
    let Answer::Whole(completion) = provider
        .generate(call_with(limited.clone(), false))
        .await
        .unwrap()
    else {
        panic!("a whole answer was asked for")
    };
    assert_eq!(
        (completion.tap.text.as_str(), completion.tap.finish),
        ("one two", Some(Finish::Length))
    );
    assert_eq!(completion.tap.usage, Some(Usage::new(3, 2)));
    let items: Vec<_> = stream_of(&provider, call_with(limited, true))
        .await
        .map(Result::unwrap)
        .collect()
        .await;
    let text: String = items.iter().map(|chunk| chunk.tap.text.as_str()).collect();
    assert_eq!(text, "one two");
    assert_eq!(items[items.len() - 2].tap.finish, Some(Finish::Length));
    assert!(items.last().unwrap().usage_only);
    let sent: Value = serde_json::from_slice(&upstream.last_body().unwrap()).unwrap();
    assert_eq!(
        (&sent["model"], &sent["options"]),
        (&json!("q:3b"), &json!({"num_ctx": 512, "num_predict": 2}))
    );
    assert_eq!((upstream.connections(), upstream.aborted()), (1, 0));
}

#[tokio::test]
async fn a_tool_call_arrives_whole_and_its_result_goes_back() {
    let upstream = upstream().await;
    let provider = Ollama::new("tools").base_url(upstream.url());
    let tools = json!([{"type": "function", "function": {"name": "f",
        "parameters": {"type": "object", "required": ["q"], "properties": {"q": {"type": "string"}}}}}]);
    let mut body = json!({"messages": [{"role": "user", "content": "find"}], "tools": tools});
    let items: Vec<_> = stream_of(&provider, call_with(body.clone(), true))
        .await
        .map(Result::unwrap)
        .collect()
        .await;
    let mut decoder = decode::Decoder::default();
    let said = items
        .iter()
        .flat_map(|chunk| decoder.chunk(&chunk.raw).unwrap());
    let whole = Whole::of(said);
    assert_eq!(whole.finish, Some(Finish::ToolCalls));
    let call = json!({"id": whole.calls[0].id, "type": "function",
        "function": {"name": whole.calls[0].name, "arguments": whole.calls[0].arguments}});
    let function = json!({"name": "f", "arguments": "{\"q\":\"find\"}"});
    assert_eq!((&call["function"], whole.calls.len()), (&function, 1));
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
    messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "found it"}));
    let Answer::Whole(completion) = provider.generate(call_with(body, false)).await.unwrap() else {
        panic!("a whole answer was asked for")
    };
    assert_eq!(completion.tap.text, "The tool answered: found it");
    let sent: Value = serde_json::from_slice(&upstream.last_body().unwrap()).unwrap();
    assert_eq!(sent["messages"][2]["tool_name"], "f");
}

#[tokio::test]
async fn dropping_a_stream_aborts_the_upstream() {
    let upstream = upstream().await;
    upstream.set_option("tokens_per_second", 100).unwrap();
    let provider = Ollama::new("m").base_url(upstream.url());
    let mut chunks = stream_of(&provider, call(&"word ".repeat(500), true)).await;
    chunks.next().await.unwrap().unwrap();
    drop(chunks);
    for _ in 0..200 {
        if upstream.aborted() == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the upstream was not told within 200 ms");
}

#[tokio::test]
async fn health_asks_for_the_version() {
    let upstream = upstream().await;
    let provider = Ollama::new("m").base_url(upstream.url());
    provider.health().await.unwrap();
    assert_eq!((upstream.probes(), upstream.requests()), (1, 0));
    upstream.stop().await;
    assert!(provider.health().await.is_err());
    upstream.restart().await.unwrap();
    provider.health().await.unwrap();
}

#[tokio::test]
async fn vectors_come_in_order_with_their_count_and_tokens_are_refused() {
    let body = r#"{"model":"e","embeddings":[[0.1,0.2],[0.3,0.4]],"prompt_eval_count":8}"#;
    let upstream = StandIn::answering([
        (200, "application/json", body.to_owned()),
        (
            200,
            "application/json",
            r#"{"embeddings":[[1]]}"#.to_owned(),
        ),
        (
            400,
            "application/json",
            r#"{"error":"the input length exceeds context length"}"#.to_owned(),
        ),
    ])
    .await;
    let provider = Ollama::new("e")
        .base_url(upstream.url.as_str())
        .option("num_ctx", 512);
    let two = || EmbedCall {
        dimensions: Some(2),
        ..vectors_of(texts(&["a", "b"]))
    };
    let answered = provider.embed(two()).await.unwrap();
    assert_eq!(answered.vectors, [[0.1, 0.2], [0.3, 0.4]]);
    assert_eq!(answered.usage, Some(Usage::new(8, 0)));
    let asked = upstream.asked();
    let sent = json!({"model": "e", "input": ["a", "b"], "truncate": false, "dimensions": 2, "options": {"num_ctx": 512}});
    assert_eq!(
        (asked[0].path.as_str(), &asked[0].body),
        ("/api/embed", &sent)
    );
    assert_eq!(provider.embed(two()).await.unwrap_err().class, Class::Hard);
    let long = provider.embed(two()).await.unwrap_err();
    assert!(crate::provider::is_context_length(&long));
    assert_eq!((long.class, long.status), (Class::Caller, Some(400)));
    let told: Value = serde_json::from_slice(&long.body).unwrap();
    assert_eq!(
        told["error"]["message"],
        "the input length exceeds context length"
    );
    let tokens = vectors_of(Inputs::Tokens(vec![vec![1]]));
    assert_eq!(
        provider.embed(tokens).await.unwrap_err().class,
        Class::Caller
    );
    assert_eq!(upstream.asked().len(), 2);
}
