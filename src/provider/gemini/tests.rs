use std::time::Duration;

use futures::StreamExt;
use serde_json::json;

use super::*;
use crate::provider::ChunkStream;
use crate::provider::is_context_length;
use crate::provider::openai::stream::CUT_OFF;
use crate::provider::stand_in::{StandIn, call, texts, vectors_of};
use crate::types::{Chunk, Finish, Inputs, Usage};

const KEY: &str = "AIza-test-key-1";
const HE: &str = r#"{"candidates":[{"content":{"parts":[{"text":"he"}]}}],"modelVersion":"gemini-2.5-flash-001"}"#;
const Y: &str = r#"{"candidates":[{"content":{"parts":[{"text":"y"}]},"finishReason":"STOP"}],
"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"totalTokenCount":5}}"#;

fn provider(upstream: &StandIn) -> Gemini {
    Gemini::new("gemini-2.5-flash")
        .base_url(format!("{}/v1beta", upstream.url))
        .api_key(SecretString::from(KEY))
}

/// The wire text of some events.
fn wire(events: &[&str]) -> String {
    let lines = events
        .iter()
        .map(|event| format!("data: {}\r\n\r\n", event.replace('\n', "")));
    lines.collect()
}

async fn streaming(text: String) -> StandIn {
    StandIn::answering([(200, "text/event-stream", text)]).await
}

fn asks() -> Value {
    json!({"messages": [{"role": "user", "content": "hi"}], "stream": true})
}

async fn stream_of(provider: &Gemini) -> ChunkStream {
    match provider.generate(call(&asks(), true)).await.unwrap() {
        Answer::Stream(chunks) => chunks,
        Answer::Whole(_) => panic!("a stream was asked for"),
    }
}

/// Everything a stream says, and how it failed.
async fn read(text: String) -> (Vec<Chunk>, Option<Failure>) {
    let upstream = streaming(text).await;
    let mut chunks = stream_of(&provider(&upstream)).await;
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
async fn a_stream_ends_with_its_body_once_a_reason_has_come() {
    let (said, failed) = read(wire(&[HE, Y])).await;
    assert!(failed.is_none());
    let told: Vec<_> = said
        .iter()
        .map(|c| (c.tap.text.as_str(), c.tap.finish))
        .collect();
    let expected = [
        ("", None),
        ("he", None),
        ("y", None),
        ("", Some(Finish::Stop)),
        ("", None),
    ];
    assert_eq!(told, expected);
    let last = said.last().unwrap();
    assert!(last.usage_only && last.tap.usage == Some(Usage::new(3, 2)));
    let shown: Value = serde_json::from_slice(&said[1].raw).unwrap();
    assert_eq!(shown["model"], "gemini-2.5-flash-001");
}

#[tokio::test]
async fn a_stream_without_a_reason_or_with_a_torn_piece_was_cut_off() {
    let torn = wire(&[HE, Y]) + "data: {\"candidates\":[{\"cont";
    for text in [String::new(), wire(&[HE]), torn] {
        let (_, failed) = read(text.clone()).await;
        let failed = failed.unwrap();
        assert_eq!(
            (failed.class, failed.message.as_str()),
            (Class::Hard, CUT_OFF),
            "{text}"
        );
    }
}

#[tokio::test]
async fn noise_is_skipped_and_what_may_have_been_an_answer_is_not() {
    let (said, failed) = read(wire(&[HE, "nonsense", "{not json}", Y])).await;
    let text: String = said.iter().map(|chunk| chunk.tap.text.as_str()).collect();
    assert!(failed.is_none() && text == "hey");
    let (_, failed) = read(wire(&[HE, r#"{"candidates":[{"#, Y])).await;
    assert_eq!(failed.unwrap().class, Class::Hard);
}

#[tokio::test]
async fn errors_inside_a_stream_have_their_class_and_no_key() {
    let gone = r#"{"error":{"code":429,"message":"AIza-test-key-1 is spent","status":"RESOURCE_EXHAUSTED",
        "details":[{"retryDelay":"46s"}]}}"#;
    for text in [wire(&[HE, gone]), wire(&[HE, &format!("[{gone}]")])] {
        let (said, failed) = read(text).await;
        let failed = failed.unwrap();
        let retry_after = Some(Duration::from_secs(46));
        assert_eq!((said.len(), failed.class), (2, Class::Gate { retry_after }));
        assert!(failed.message.contains("spent") && !failed.message.contains(KEY));
    }
    let reason = |word: &str| {
        HE.replace(
            "\"he\"}]}",
            &format!("\"he\"}}]}},\"finishReason\":\"{word}\""),
        )
    };
    let (_, failed) = read(wire(&[&reason("MALFORMED_FUNCTION_CALL")])).await;
    assert_eq!(failed.unwrap().class, Class::Hard);
    let (_, failed) = read(wire(&[&reason("MISSING_THOUGHT_SIGNATURE")])).await;
    let failed = failed.unwrap();
    assert_eq!((failed.class, failed.status), (Class::Caller, Some(400)));
}

#[tokio::test]
async fn an_error_or_a_whole_answer_in_place_of_a_stream_is_what_it_is() {
    let limited = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}"#;
    let upstream = StandIn::answering([
        (200, "application/json; charset=UTF-8", limited.to_owned()),
        (200, "application/json; charset=UTF-8", Y.to_owned()),
    ])
    .await;
    let provider = provider(&upstream);
    for class in [Class::Gate { retry_after: None }, Class::Hard] {
        let failure = provider.generate(call(&asks(), true)).await.unwrap_err();
        assert_eq!(failure.class, class);
    }
}

#[tokio::test]
async fn requests_go_to_the_models_own_address_with_the_key_in_its_header() {
    let upstream = StandIn::answering([
        (200, "application/json", Y.to_owned()),
        (200, "text/event-stream", wire(&[Y])),
        (200, "application/json", Y.to_owned()),
    ])
    .await;
    let provider = provider(&upstream);
    let Answer::Whole(completion) = provider.generate(call(&asks(), false)).await.unwrap() else {
        panic!("a whole answer was asked for")
    };
    assert_eq!(completion.tap.text, "y");
    assert_eq!(completion.tap.usage, Some(Usage::new(3, 2)));
    let streamed: Vec<_> = stream_of(&provider).await.collect().await;
    assert!(streamed.iter().all(Result::is_ok));
    let other = Call {
        model: "tunedModels/my model".into(),
        traceparent: Some("00-a".to_owned()),
        ..call(&asks(), false)
    };
    provider.generate(other).await.unwrap();
    let asked = upstream.asked();
    let paths: Vec<&str> = asked.iter().map(|asked| asked.path.as_str()).collect();
    let expected = [
        "/v1beta/models/gemini-2.5-flash:generateContent",
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        "/v1beta/tunedModels/my%20model:generateContent",
    ];
    assert_eq!(paths, expected);
    assert!(
        asked
            .iter()
            .all(|asked| asked.headers["x-goog-api-key"] == KEY)
    );
    assert!(
        asked
            .iter()
            .all(|asked| !asked.headers.contains_key("authorization"))
    );
    assert_eq!(asked[2].headers["traceparent"], "00-a");
    assert_eq!(asked[0].body["contents"][0]["parts"][0]["text"], "hi");
}

#[tokio::test]
async fn refusals_are_classified_and_told_in_openai_words() {
    let error = |code: u16, message: &str| {
        format!(
            r#"[{{"error":{{"code":{code},"message":"{message}","status":"INVALID_ARGUMENT"}}}}]"#
        )
    };
    let long = "The input token count (9) exceeds the maximum number of tokens allowed (8).";
    let upstream = StandIn::answering([
        (400, "application/json", error(400, long)),
        (403, "application/json", error(403, "no")),
        (503, "application/json", error(503, "overloaded")),
    ])
    .await;
    let provider = provider(&upstream);
    let failure = provider.generate(call(&asks(), true)).await.unwrap_err();
    let shown: Value = serde_json::from_slice(&failure.body).unwrap();
    assert_eq!(shown["error"]["message"], long);
    assert!(failure.class == Class::Caller && is_context_length(&failure));
    for class in [Class::Credential, Class::Hard] {
        let failure = provider.generate(call(&asks(), true)).await.unwrap_err();
        assert_eq!(failure.class, class);
    }
}

#[tokio::test]
async fn what_cannot_be_told_costs_no_request() {
    let upstream = StandIn::saying(Y).await;
    let provider = provider(&upstream);
    let mut body = asks();
    body["n"] = json!(2);
    let asked = call(&body, false);
    let barred = provider.uncarried(&asked.body);
    assert!(
        barred
            .iter()
            .any(|part| part.essential && part.param == "n")
    );
    let failure = provider.generate(asked).await.unwrap_err();
    let shown: Value = serde_json::from_slice(&failure.body).unwrap();
    assert_eq!((failure.class, failure.status), (Class::Caller, Some(400)));
    assert_eq!(shown["error"]["param"], "n");
    assert!(upstream.asked().is_empty());
}

#[tokio::test]
async fn vectors_come_in_batches_and_in_order() {
    let numbers = |from: usize, to: usize| {
        let list: Vec<Value> = (from..to).map(|n| json!({"values": [n, 0.5]})).collect();
        let body = json!({"embeddings": list, "usageMetadata": {"promptTokenCount": 7}});
        (200, "application/json", body.to_string())
    };
    let upstream = StandIn::answering([numbers(0, 100), numbers(100, 130)]).await;
    let inputs: Vec<String> = (0..130).map(|n| format!("text {n}")).collect();
    let asked = EmbedCall {
        dimensions: Some(2),
        ..vectors_of(Inputs::Texts(inputs))
    };
    let answered = provider(&upstream).embed(asked).await.unwrap();
    assert_eq!(answered.vectors.len(), 130);
    assert_eq!(answered.vectors[129], [129.0, 0.5]);
    assert_eq!(answered.usage, Some(Usage::new(14, 0)));
    let asked = upstream.asked();
    assert_eq!(
        asked[0].path,
        "/v1beta/models/gemini-2.5-flash:batchEmbedContents"
    );
    let last = json!({"model": "models/gemini-2.5-flash", "content": {"parts": [{"text": "text 129"}]},
        "outputDimensionality": 2});
    assert_eq!(asked[1].body["requests"][29], last);
}

#[tokio::test]
async fn vectors_that_do_not_fit_the_inputs_are_hard_and_tokens_are_refused() {
    let upstream = StandIn::answering([
        (200, "application/json", r#"{"embeddings":[]}"#.to_owned()),
        (
            200,
            "application/json",
            r#"{"error":{"code":429}}"#.to_owned(),
        ),
    ])
    .await;
    let provider = provider(&upstream);
    let failure = provider.embed(vectors_of(texts(&["a"]))).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.message.as_str()),
        (Class::Hard, "upstream sent 0 vectors for 1 inputs")
    );
    let failure = provider.embed(vectors_of(texts(&["a"]))).await.unwrap_err();
    assert_eq!(failure.class, Class::Gate { retry_after: None });
    let tokens = vectors_of(Inputs::Tokens(vec![vec![1, 2]]));
    let failure = provider.embed(tokens).await.unwrap_err();
    assert_eq!((failure.class, upstream.asked().len()), (Class::Caller, 2));
}

#[tokio::test]
async fn health_asks_for_the_models() {
    let upstream = StandIn::saying("{}").await;
    let provider = provider(&upstream);
    provider.health().await.unwrap();
    assert!(provider.health().await.is_err(), "it answers 500 by now");
    let asked = upstream.asked();
    assert_eq!(asked[0].path, "/v1beta/models?pageSize=1");
    assert_eq!(asked[0].headers["x-goog-api-key"], KEY);
}

#[tokio::test]
async fn a_picture_of_megabytes_comes_through_a_stream_and_one_without_end_does_not() {
    let image = |bytes: usize| {
        let data = "A".repeat(bytes);
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{data}"}}}}]}}}}]}}"#
        )
    };
    let (said, failed) = read(wire(&[&image(3 << 20), Y])).await;
    assert!(failed.is_none());
    assert!(
        said[1]
            .tap
            .text
            .starts_with("![image](data:image/png;base64,AAAA")
    );
    assert!(said[1].tap.text.len() > 3 << 20);
    let (said, failed) = read(wire(&[HE, &image(16 << 20), Y])).await;
    assert_eq!(said.len(), 2);
    let message = failed.unwrap().message;
    assert!(message.contains("longer than 16777216 bytes"), "{message}");
}
