//! Frames a reply as server-sent events. Bytes of the upstream's chunks go straight through.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};

use super::errors;
use crate::inference::ReplyStream;

/// A comment goes out after this long without a chunk, below the idle limits of proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

/// The response body of a stream. Dropping it aborts the upstream.
pub(super) fn body(reply: ReplyStream) -> Body {
    Body::from_stream(frames(reply))
}

enum Step {
    Running(ReplyStream),
    Ended,
}

fn frames(reply: ReplyStream) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(Step::Running(reply), |step| async move {
        let Step::Running(mut reply) = step else {
            return None;
        };
        let frame = match tokio::time::timeout(KEEP_ALIVE, reply.next()).await {
            Err(_) => return Some((Ok(Bytes::from_static(b": ping\n\n")), Step::Running(reply))),
            Ok(Some(Ok(chunk))) => {
                return Some((Ok(data(&chunk.raw)), Step::Running(reply)));
            }
            Ok(Some(Err(error))) => data(errors::body(&error).as_bytes()),
            Ok(None) => ending(&reply),
        };
        Some((Ok(frame), Step::Ended))
    })
}

fn data(json: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(json.len() + 8);
    frame.put_slice(b"data: ");
    frame.put_slice(json);
    frame.put_slice(b"\n\n");
    frame.freeze()
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

    use super::frames;
    use crate::dialect::openai::build::Head;
    use crate::error::{Error, Kind};
    use crate::inference::{ReplyStream, StreamEnd};

    async fn text(items: Vec<Result<crate::types::Chunk, Error>>, cost: Option<f64>) -> String {
        let end = Arc::new(Mutex::new(StreamEnd {
            cost_usd: cost,
            ..StreamEnd::default()
        }));
        let reply = ReplyStream::new(stream::iter(items).boxed(), end);
        let frames: Vec<_> = frames(reply).collect().await;
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
}
