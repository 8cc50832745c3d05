use futures::StreamExt;

use super::*;
use crate::provider::demo::trouble::{ALL, Wait};

/// What one streamed request to `path` came to: status, text, and how its body ended.
async fn streamed(upstream: &Upstream, path: &str) -> (u16, String, Result<(), String>) {
    let mut body = asking("one two three four");
    body["stream"] = json!(true);
    body["max_tokens"] = json!(99);
    let sent = asking_to(upstream, path, &body).send().await;
    let sent = match sent {
        Ok(sent) => sent,
        Err(error) => return (0, String::new(), Err(format!("{error:?}"))),
    };
    let status = sent.status().as_u16();
    let mut pieces = sent.bytes_stream();
    let mut text = Vec::new();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => text.extend_from_slice(&piece),
            Err(error) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                return (status, text, Err(format!("{error:?}")));
            }
        }
    }
    (status, String::from_utf8_lossy(&text).into_owned(), Ok(()))
}

const PATHS: [&str; 3] = ["/v1/chat/completions", "/api/chat", "/v1/messages"];

#[tokio::test]
async fn a_reset_is_a_reset_before_and_in_the_middle() {
    let upstream = upstream().await;
    upstream.set_fault(Trouble::Reset);
    let (status, _, ended) = streamed(&upstream, PATHS[0]).await;
    assert_eq!(status, 0);
    assert!(
        ended.as_ref().unwrap_err().contains("ConnectionReset"),
        "{ended:?}"
    );
    upstream.set_fault(Trouble::CutByReset.after(2));
    for path in PATHS {
        let (status, text, ended) = streamed(&upstream, path).await;
        assert_eq!(status, 200);
        assert!(
            text.contains("two") && !text.contains("three"),
            "{path}: {text}"
        );
        assert!(
            ended.as_ref().unwrap_err().contains("ConnectionReset"),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn a_length_that_is_a_lie_breaks_the_body_or_cuts_it_short() {
    let upstream = upstream().await;
    for path in PATHS {
        upstream.set_fault(Trouble::LengthTooLong);
        let (_, text, ended) = streamed(&upstream, path).await;
        assert!(
            text.contains("four") && ended.is_err(),
            "{path}: {text} {ended:?}"
        );
        upstream.set_fault(Trouble::LengthTooShort);
        let (_, text, ended) = streamed(&upstream, path).await;
        assert!(
            !text.contains("four") && ended.is_ok(),
            "{path}: {text} {ended:?}"
        );
    }
}

#[tokio::test]
async fn streams_lack_exactly_what_was_ordered() {
    let upstream = upstream().await;
    let counted = async |trouble: Trouble, path: &str, mark: &str| {
        upstream.set_fault(trouble.after(2));
        let (_, text, ended) = streamed(&upstream, path).await;
        assert!(ended.is_ok(), "{trouble:?} {ended:?}");
        text.matches(mark).count()
    };
    let openai = PATHS[0];
    assert_eq!(counted(Trouble::Unterminated, openai, "[DONE]").await, 0);
    assert_eq!(counted(Trouble::Unterminated, openai, r#""stop""#).await, 1);
    assert_eq!(counted(Trouble::Unfinished, openai, r#""stop""#).await, 0);
    assert_eq!(counted(Trouble::FinishTwice, openai, r#""stop""#).await, 2);
    assert_eq!(
        counted(Trouble::Heartbeats, openai, r#""choices":[]"#).await,
        4
    );
    assert_eq!(counted(Trouble::Noise, openai, "{not json}").await, 1);
    assert_eq!(
        counted(Trouble::Unfinished, "/api/chat", r#""done":true"#).await,
        0
    );
    assert_eq!(
        counted(Trouble::Unterminated, "/v1/messages", "event: message_stop").await,
        0
    );
    assert_eq!(
        counted(Trouble::ErrorInside, "/v1/messages", "event: error").await,
        1
    );
}

#[tokio::test]
async fn a_torn_message_is_whole_in_its_frame_alone() {
    let upstream = upstream().await;
    upstream.set_fault(Trouble::Torn.after(1));
    let (_, text, _) = streamed(&upstream, PATHS[0]).await;
    let events: Vec<&str> = text
        .split("\n\n")
        .filter_map(|e| e.strip_prefix("data: "))
        .collect();
    let broken = events
        .iter()
        .filter(|event| serde_json::from_str::<Value>(event).is_err());
    // the closing mark is no JSON either
    let broken: Vec<_> = broken.filter(|event| **event != "[DONE]").collect();
    assert_eq!(broken.len(), 1, "{text}");
    assert!(broken[0].contains("two"));
}

#[tokio::test]
async fn patience_is_asked_for_in_each_way() {
    let upstream = upstream().await;
    for (wait, header) in [
        (Wait::Seconds(2), "retry-after"),
        (Wait::Millis(50), "retry-after-ms"),
        (Wait::Date(60), "retry-after"),
    ] {
        upstream.set_fault(Trouble::Status { status: 429, wait });
        let sent = asking_to(&upstream, PATHS[0], &asking("x"))
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), 429);
        let value = sent.headers()[header].to_str().unwrap();
        assert_eq!(
            value.ends_with("GMT"),
            matches!(wait, Wait::Date(_)),
            "{value}"
        );
    }
    let wait = Wait::Body(7);
    upstream.set_fault(Trouble::Status { status: 429, wait });
    let body = json!({"contents": [{"parts": [{"text": "x"}]}]});
    let (_, text) = post(&upstream, "/v1beta/models/m:generateContent", &body).await;
    assert!(text.contains(r#""retryDelay":"7s""#), "{text}");
}

#[tokio::test]
async fn a_body_nobody_asked_to_have_compressed_is_gzip() {
    let upstream = upstream().await;
    upstream.set_fault(Trouble::Gzip);
    let sent = asking_to(&upstream, PATHS[0], &asking("x"))
        .send()
        .await
        .unwrap();
    assert_eq!(sent.headers()["content-encoding"], "gzip");
    assert_eq!(sent.bytes().await.unwrap()[..2], [0x1f, 0x8b]);
}

#[tokio::test]
async fn trouble_of_every_kind_ends_when_its_requests_are_used_up() {
    let upstream = upstream().await;
    for trouble in ALL {
        for path in PATHS {
            upstream.set_fault(trouble.after(1).first(1));
            let hurt = streamed(&upstream, path);
            // some of them never end by themselves
            let _ = tokio::time::timeout(Duration::from_millis(60), hurt).await;
            let (status, text, ended) = streamed(&upstream, path).await;
            assert!(
                ended.is_ok() && status == 200,
                "{trouble:?} {path}: {ended:?}"
            );
            assert!(text.contains("four"), "{trouble:?} {path}: {text}");
        }
    }
    assert_eq!(upstream.in_flight(), 0);
}
