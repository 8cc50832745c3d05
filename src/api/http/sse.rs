//! Frames a reply as server-sent events. Bytes of the upstream's chunks go straight through.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};

use super::chat::unreadable;
use super::errors;
use super::events::data;
use crate::dialect::transcode::ToOpenAi;
use crate::error::Error;
use crate::inference::ReplyStream;
use crate::types::Chunk;

/// A comment goes out after this long without a chunk, below the idle limits of proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

/// The response body of a stream. Dropping it aborts the upstream. Chunks of another dialect than
/// OpenAI's are rewritten by `writer`.
pub(super) fn body(reply: ReplyStream, writer: ToOpenAi, include_usage: bool) -> Body {
    Body::from_stream(frames(Running {
        reply,
        writer,
        include_usage,
    }))
}

struct Running {
    reply: ReplyStream,
    writer: ToOpenAi,
    include_usage: bool,
}

enum Step {
    Running(Box<Running>),
    Ended,
}

fn frames(running: Running) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(Step::Running(Box::new(running)), |step| async move {
        let Step::Running(mut running) = step else {
            return None;
        };
        let frame = loop {
            match tokio::time::timeout(KEEP_ALIVE, running.reply.next()).await {
                Err(_) => {
                    let ping = Bytes::from_static(b": ping\n\n");
                    return Some((Ok(ping), Step::Running(running)));
                }
                Ok(Some(Ok(chunk))) => match running.write(chunk) {
                    Ok(frame) if frame.is_empty() => {}
                    Ok(frame) => return Some((Ok(frame), Step::Running(running))),
                    Err(error) => break framed(errors::body(&error).as_bytes()),
                },
                Ok(Some(Err(error))) => break framed(errors::body(&error).as_bytes()),
                Ok(None) => break ending(&running.reply),
            }
        };
        Some((Ok(frame), Step::Ended))
    })
}

impl Running {
    fn write(&mut self, chunk: Chunk) -> Result<Bytes, Error> {
        if chunk.dialect.is_openai() {
            return Ok(framed(&chunk.raw));
        }
        let mut frames = Vec::new();
        for chunk in self.writer.chunks(chunk).map_err(unreadable)? {
            if self.include_usage || !chunk.usage_only {
                data(&chunk.raw, &mut frames);
            }
        }
        Ok(Bytes::from(frames))
    }
}

fn framed(json: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(json.len() + 8);
    data(json, &mut frame);
    Bytes::from(frame)
}

/// What became known late goes out as a comment, then the end marker.
fn ending(reply: &ReplyStream) -> Bytes {
    let mut frame = BytesMut::new();
    for (name, value) in reply.end().notes() {
        frame.put_slice(format!(": {name}: {value}\n\n").as_bytes());
    }
    frame.put_slice(b"data: [DONE]\n\n");
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::{StreamExt, stream};
    use parking_lot::Mutex;

    use super::{Running, frames};
    use crate::dialect::openai::build::Head;
    use crate::dialect::transcode::ToOpenAi;
    use crate::error::{Error, Kind};
    use crate::inference::{ReplyStream, StreamEnd};

    async fn text(items: Vec<Result<crate::types::Chunk, Error>>, cost: Option<f64>) -> String {
        let end = Arc::new(Mutex::new(StreamEnd {
            cost_usd: cost,
            ..StreamEnd::default()
        }));
        let reply = ReplyStream::new(stream::iter(items).boxed(), end);
        let running = Running {
            reply,
            writer: ToOpenAi::new("m"),
            include_usage: false,
        };
        let frames: Vec<_> = frames(running).collect().await;
        frames
            .into_iter()
            .map(|f| String::from_utf8(f.unwrap().to_vec()).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn a_cut_off_stream_ends_in_an_error_and_without_the_end_marker() {
        let head = Head::new("m");
        let cut = Error::new(Kind::UpstreamFailed, "cut off");
        let text = text(vec![Ok(head.text("hal")), Err(cut)], None).await;
        assert!(text.ends_with("}}\n\n") && text.contains("data: {\"error\":{"));
        assert!(!text.contains("[DONE]"));
    }

    #[tokio::test]
    async fn a_finished_stream_tells_its_cost_and_ends_with_the_marker() {
        let text = text(vec![Ok(Head::new("m").text("hi"))], Some(0.25)).await;
        assert!(text.ends_with(": x-llm-router-cost-usd: 0.25\n\ndata: [DONE]\n\n"));
    }

    #[tokio::test]
    async fn a_stream_of_another_dialect_is_rewritten_and_usage_stays_a_wish() {
        let native = |raw: &'static str| crate::types::Chunk {
            raw: bytes::Bytes::from_static(raw.as_bytes()),
            dialect: crate::types::Dialect::Anthropic,
            tap: crate::types::Tap::default(),
            usage_only: false,
        };
        let told = text(
            vec![
                Ok(native(r#"{"type":"ping"}"#)),
                Ok(native(
                    r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}"#,
                )),
                Ok(native(
                    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}"#,
                )),
            ],
            None,
        )
        .await;
        assert!(told.contains(r#""content":"hi""#), "{told}");
        assert!(told.contains(r#""finish_reason":"stop""#) && told.ends_with("[DONE]\n\n"));
        assert!(
            !told.contains("usage") && !told.contains("message_delta"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn a_chunk_over_several_lines_is_one_event() {
        let mut chunk = Head::new("m").text("hi");
        let read: serde_json::Value = serde_json::from_slice(&chunk.raw).unwrap();
        let lines = serde_json::to_string_pretty(&read).unwrap();
        chunk.raw = bytes::Bytes::from(lines.clone());
        let told = text(vec![Ok(chunk)], None).await;
        let mut splitter = crate::dialect::sse::Splitter::default();
        splitter.push(bytes::Bytes::from(told));
        let event = splitter.next_event().unwrap().unwrap();
        assert_eq!(std::str::from_utf8(&event.data), Ok(&*lines));
        let end = splitter.next_event().unwrap().unwrap();
        assert_eq!(&end.data[..], b"[DONE]");
    }
}
