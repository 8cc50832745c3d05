use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use secrecy::SecretString;

use crate::provider::key::KeyGuard;
use crate::provider::limits::Watch;
use crate::provider::openai::stream::{CUT_OFF, chunks};
use crate::provider::wire::body::Body;
use crate::provider::{Class, Failure, Timeouts};
use crate::types::{Chunk, Finish};

const ROLE: &str = r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
const HI: &str = r#"{"id":"c","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}],"usage":null}"#;
const STOP: &str = r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"id":"c","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}"#;

/// The wire text of some events; `[DONE]` is one of them where it is wanted.
fn wire(events: &[&str]) -> String {
    events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect()
}

async fn collect(pieces: Vec<Result<Bytes, Failure>>) -> (Vec<Chunk>, Option<Failure>) {
    let body = Body::new(
        stream::iter(pieces),
        Watch::start(Timeouts::default(), true),
    );
    let mut read = chunks(body, KeyGuard::new(SecretString::from("sk-secret-1")));
    let (mut whole, mut failed) = (Vec::new(), None);
    while let Some(item) = read.next().await {
        match item {
            Ok(chunk) => whole.push(chunk),
            Err(failure) => failed = Some(failure),
        }
    }
    (whole, failed)
}

async fn read(text: &str) -> (Vec<Chunk>, Option<Failure>) {
    collect(vec![Ok(Bytes::copy_from_slice(text.as_bytes()))]).await
}

fn reset() -> Result<Bytes, Failure> {
    Err(Failure::new(Class::Hard, "connection reset"))
}

fn raws(chunks: &[Chunk]) -> Vec<&str> {
    chunks
        .iter()
        .map(|chunk| std::str::from_utf8(&chunk.raw).unwrap())
        .collect()
}

#[tokio::test]
async fn a_stream_without_a_finish_is_reported_as_cut_off() {
    for text in [
        wire(&[ROLE, HI]),
        wire(&[ROLE, HI, "[DONE]"]),
        String::new(),
        wire(&[ROLE, HI]) + "data: {\"cho",
    ] {
        let (_, failed) = read(&text).await;
        let failed = failed.unwrap();
        assert_eq!(
            (failed.class, failed.message.as_str()),
            (Class::Hard, CUT_OFF),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_reset_before_finish_and_counts_is_a_failure_and_after_them_is_none() {
    let piece = |events: &[&str]| Ok(Bytes::from(wire(events)));
    let (said, failed) = collect(vec![piece(&[ROLE, HI]), reset()]).await;
    assert_eq!(
        (said.len(), failed.unwrap().message.as_str()),
        (2, "connection reset")
    );
    let (_, failed) = collect(vec![piece(&[ROLE, HI, STOP]), reset()]).await;
    assert_eq!(failed.unwrap().class, Class::Hard);
    let (said, failed) = collect(vec![piece(&[ROLE, HI, STOP, USAGE]), reset()]).await;
    assert!(said.len() == 4 && failed.is_none());
}

#[tokio::test]
async fn an_error_event_is_a_failure_of_its_class_without_the_key() {
    let error = r#"{"error":{"message":"sk-secret-1 is tired","type":"server_error","code":null}}"#;
    let (said, failed) = read(&wire(&[ROLE, HI, error, HI, STOP, "[DONE]"])).await;
    let failed = failed.unwrap();
    assert_eq!((said.len(), failed.class), (2, Class::Hard));
    assert!(failed.message.contains("tired") && !failed.message.contains("secret"));
    let limited = r#"{"error":{"message":"slow","code":"rate_limit_exceeded"}}"#;
    let (_, failed) = read(&wire(&[limited])).await;
    assert_eq!(failed.unwrap().class, Class::Gate { retry_after: None });
    let (_, failed) = read("event: error\ndata: {\"message\":\"bare\"}\n\n").await;
    assert!(failed.unwrap().message.contains("bare"));
}

#[tokio::test]
async fn what_is_no_chunk_is_garbled() {
    for junk in ["{\"choices\":7}", "{\"choices\":[{", "[\"\"]"] {
        let (_, failed) = read(&wire(&[ROLE, junk, STOP])).await;
        assert_eq!(failed.unwrap().class, Class::Hard, "{junk}");
    }
    let long = format!("data: {{\"x\":\"{}\"}}\n\n", "y".repeat(1 << 20));
    let (_, failed) = read(&long).await;
    assert!(
        failed
            .unwrap()
            .message
            .contains("longer than 1048576 bytes")
    );
}

#[tokio::test]
async fn noise_that_cannot_have_been_an_answer_is_skipped() {
    let (said, failed) = read(&wire(&[ROLE, "nonsense", "{not json}", HI, "[1]", STOP])).await;
    assert!(failed.is_none(), "{failed:?}");
    assert_eq!(raws(&said), [ROLE, HI, STOP]);
}

#[tokio::test]
async fn what_azures_filters_say_passes_untouched_once_there_is_a_choice() {
    let prompt = r#"{"id":"","object":"","model":"","choices":[],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false}}}]}"#;
    let filtered = r#"{"choices":[{"index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}},"delta":{"content":"x"},"finish_reason":null}]}"#;
    let (said, failed) = read(&wire(&[prompt, ROLE, filtered, STOP, "[DONE]"])).await;
    assert!(failed.is_none());
    assert_eq!(raws(&said), [ROLE, filtered, STOP]);
}

#[tokio::test]
async fn a_stop_after_calls_passes_as_it_came_and_is_read_as_tool_calls() {
    let called = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}]},"finish_reason":null}]}"#;
    let (said, failed) = read(&wire(&[ROLE, called, STOP])).await;
    assert!(failed.is_none());
    assert_eq!(raws(&said), [ROLE, called, STOP]);
    let mut decoder = crate::dialect::openai::decode::Decoder::default();
    let events = said
        .iter()
        .flat_map(|chunk| decoder.chunk(&chunk.raw).unwrap());
    let whole = crate::dialect::whole::Whole::of(events);
    assert_eq!(whole.finish, Some(Finish::ToolCalls));
}

#[tokio::test]
async fn chunks_pass_byte_for_byte_and_the_done_mark_does_not() {
    let (said, failed) = read(&wire(&[ROLE, HI, STOP, USAGE, "[DONE]"])).await;
    assert!(failed.is_none());
    assert_eq!(raws(&said), [ROLE, HI, STOP, USAGE]);
    assert_eq!(said[2].tap.finish, Some(Finish::Stop));
    assert!(said[3].usage_only && said[3].tap.usage.unwrap().total_tokens == 14);
}

#[tokio::test]
async fn a_missing_done_mark_or_last_blank_line_is_forgiven() {
    for text in [
        wire(&[ROLE, HI, STOP]),
        wire(&[ROLE, HI]) + "data: " + STOP,
        wire(&[ROLE, HI, STOP]) + "data: [DONE]",
    ] {
        let (said, failed) = read(&text).await;
        assert!(failed.is_none(), "{text}");
        assert_eq!(raws(&said), [ROLE, HI, STOP]);
    }
}

#[tokio::test]
async fn heartbeats_comments_and_what_follows_done_reach_nobody() {
    let filters = r#"{"id":"","choices":[],"prompt_filter_results":[]}"#;
    let text = format!(
        ": ping\n\n{}: ping\n\ndata:\n\n{}",
        wire(&[filters, ROLE]),
        wire(&[HI, STOP, "[DONE]", HI])
    );
    let (said, failed) = read(&text).await;
    assert!(failed.is_none());
    assert_eq!(raws(&said), [ROLE, HI, STOP]);
}

#[tokio::test]
async fn tool_calls_pass_in_fragments_at_once_and_interleaved() {
    let delta = |delta: &str| {
        format!(
            r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{delta}]}},"finish_reason":null}}]}}"#
        )
    };
    let events = [
        delta(
            r#"{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}"#,
        ),
        delta(r#"{"index":0,"function":{"arguments":"{\"a\":"}}"#),
        delta(
            r#"{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{}"}}"#,
        ),
        delta(r#"{"index":0,"function":{"arguments":"1}"}}"#),
        delta(r#"{"index":0,"function":{"arguments":""}}"#),
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#.to_owned(),
    ];
    let mut all: Vec<&str> = events.iter().map(String::as_str).collect();
    let expected = all.clone();
    all.push("[DONE]");
    let (said, failed) = read(&wire(&all)).await;
    assert!(failed.is_none());
    assert_eq!(raws(&said), expected);
    assert!(said[0].tap.real && said[0].tap.beyond_text);
    assert_eq!(said[5].tap.finish, Some(Finish::ToolCalls));
}

#[tokio::test]
async fn several_choices_end_with_the_stream_and_not_with_the_first() {
    let of = |index: u8, finish: &str| {
        format!(
            r#"{{"choices":[{{"index":{index},"delta":{{"content":"x"}},"finish_reason":{finish}}}]}}"#
        )
    };
    let events = [
        of(0, "null"),
        of(1, "null"),
        of(0, "\"stop\""),
        of(1, "\"stop\""),
    ];
    let all: Vec<&str> = events.iter().map(String::as_str).collect();
    let (said, failed) = read(&wire(&all)).await;
    assert_eq!((said.len(), failed.is_none()), (4, true));
}

#[tokio::test]
async fn line_ends_and_delivery_byte_by_byte_change_nothing() {
    let text = wire(&[ROLE, HI, STOP, USAGE, "[DONE]"]);
    for text in [text.replace('\n', "\r\n"), text] {
        let pieces = text
            .bytes()
            .map(|byte| Ok(Bytes::copy_from_slice(&[byte])))
            .collect();
        let (said, failed) = collect(pieces).await;
        assert!(failed.is_none());
        assert_eq!(raws(&said), [ROLE, HI, STOP, USAGE]);
    }
}

/// A body that sends its pieces and then says nothing more.
async fn stalls(events: &[&str], timeouts: Timeouts) -> (usize, Failure) {
    let first = stream::iter([Ok(Bytes::from(wire(events)))]);
    let body = Body::new(first.chain(stream::pending()), Watch::start(timeouts, true));
    let mut read = chunks(body, KeyGuard::default());
    let mut said = 0;
    while let Some(item) = read.next().await {
        match item {
            Ok(_) => said += 1,
            Err(failure) => return (said, failure),
        }
    }
    panic!("the stream ended");
}

#[tokio::test]
async fn announcements_and_pings_do_not_count_as_a_first_token() {
    let first_token = Duration::from_millis(40);
    let timeouts = Timeouts {
        first_token,
        ..Timeouts::default()
    };
    let (said, failure) = stalls(&[ROLE], timeouts).await;
    assert_eq!(
        (said, failure.message.as_str()),
        (1, "no first token within 40ms")
    );
    let pings = stream::repeat_with(|| Ok(Bytes::from_static(b": ping\n\n"))).then(|ping| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        ping
    });
    let mut read = chunks(
        Body::new(pings, Watch::start(timeouts, true)),
        KeyGuard::default(),
    );
    let failure = read.next().await.unwrap().unwrap_err();
    assert!(failure.timed_out && failure.message == "no first token within 40ms");
}

#[tokio::test]
async fn idle_and_total_limits_name_themselves() {
    let idle = Timeouts {
        idle: Duration::from_millis(30),
        ..Timeouts::default()
    };
    let (said, failure) = stalls(&[ROLE, HI], idle).await;
    assert_eq!(
        (said, failure.message.as_str()),
        (2, "nothing more of the answer within 30ms")
    );
    let total = Timeouts {
        total: Duration::from_millis(30),
        ..Timeouts::default()
    };
    let (_, failure) = stalls(&[ROLE, HI], total).await;
    assert_eq!(failure.message, "no complete answer within 30ms");
}

const OTHER: &str =
    r#"{"id":"c","choices":[{"index":1,"delta":{"content":"ho"},"finish_reason":null}]}"#;
const BOTH: &str = r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"stop"}]}"#;

#[tokio::test]
async fn one_of_several_choices_that_never_ended_is_a_cut_off() {
    let (_, failed) = read(&wire(&[HI, OTHER, STOP])).await;
    assert_eq!(failed.unwrap().message, CUT_OFF);
    let (_, failed) = collect(vec![
        Ok(Bytes::from(wire(&[HI, OTHER, STOP, USAGE]))),
        reset(),
    ])
    .await;
    assert_eq!(failed.unwrap().message, "connection reset");
    for events in [
        &[HI, OTHER, STOP, "[DONE]"][..],
        &[HI, OTHER, STOP, BOTH],
        &[HI, OTHER, BOTH],
    ] {
        let (said, failed) = read(&wire(events)).await;
        let given = events.iter().filter(|event| **event != "[DONE]").count();
        assert!(failed.is_none(), "{events:?}");
        assert_eq!(said.len(), given, "the other choice's end is passed on too");
    }
}

#[tokio::test]
async fn calls_without_an_index_reach_the_client_with_one() {
    let first = r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]}}]}"#;
    let (said, failed) = read(&wire(&[ROLE, first, STOP, "[DONE]"])).await;
    assert!(failed.is_none());
    let raws = raws(&said);
    assert!(raws[1].contains(r#""index":0}]"#), "{}", raws[1]);
    assert_eq!((raws[0], raws[2]), (ROLE, STOP));
}
