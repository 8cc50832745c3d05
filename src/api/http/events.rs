//! Server-sent events of a door that does not pass chunks on as they come: what each becomes is the
//! dialect's business, keep-alive, errors and the end are this file's.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use http::{HeaderName, HeaderValue, header};

use crate::error::Error;
use crate::inference::{ReplyStream, StreamEnd};
use crate::types::Chunk;

/// A comment goes out after this long without an event, below the idle limits of proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

/// A piece of one of the answers that a response consists of.
pub(super) enum Piece {
    /// A chunk of the answer with this number.
    Chunk(u64, Chunk),
    /// An answer is whole, and this became known late.
    Ended(StreamEnd),
}

/// The pieces of a response, until all of its answers are whole or one broke off.
pub(super) type Pieces = BoxStream<'static, Result<Piece, Error>>;

/// Writes pieces in one dialect, framed.
pub(super) trait Write: Send + 'static {
    /// What a chunk of one of the answers becomes; may be nothing.
    ///
    /// # Errors
    /// It cannot be read: the answer is over.
    fn chunk(&mut self, number: u64, chunk: &Chunk, out: &mut Vec<u8>) -> Result<(), Error>;
    /// An answer broke off; nothing comes after.
    fn failed(&mut self, error: &Error, out: &mut Vec<u8>);
    /// All answers are whole; nothing comes after.
    fn ended(&mut self, out: &mut Vec<u8>);
}

/// The pieces of one reply.
pub(super) fn pieces(number: u64, reply: ReplyStream) -> Pieces {
    stream::unfold(Some(reply), move |reply| async move {
        let mut reply = reply?;
        Some(match reply.next().await {
            Some(Ok(chunk)) => (Ok(Piece::Chunk(number, chunk)), Some(reply)),
            Some(Err(error)) => (Err(error), None),
            None => (Ok(Piece::Ended(reply.end())), None),
        })
    })
    .boxed()
}

/// The response. Dropping its body aborts the upstreams.
pub(super) fn response(pieces: Pieces, writer: impl Write) -> Response {
    let mut response = Response::new(Body::from_stream(frames(pieces, writer)));
    let fixed = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    for (name, value) in fixed {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

struct Running<W> {
    pieces: Pieces,
    writer: W,
    /// What became known late, of all answers until now.
    end: StreamEnd,
}

fn frames<W: Write>(
    pieces: Pieces,
    writer: W,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let running = Running {
        pieces,
        writer,
        end: StreamEnd::default(),
    };
    stream::unfold(Some(running), |running| async move {
        let mut running = running?;
        let mut out = Vec::new();
        let goes_on = running.next(&mut out).await;
        Some((Ok(Bytes::from(out)), goes_on.then_some(running)))
    })
}

impl<W: Write> Running<W> {
    /// Appends what is sent next; false when nothing comes after it.
    async fn next(&mut self, out: &mut Vec<u8>) -> bool {
        while out.is_empty() {
            let Ok(piece) = tokio::time::timeout(KEEP_ALIVE, self.pieces.next()).await else {
                out.extend_from_slice(b": ping\n\n");
                return true;
            };
            let failed = match piece {
                Some(Ok(Piece::Chunk(number, chunk))) => {
                    self.writer.chunk(number, &chunk, out).err()
                }
                Some(Ok(Piece::Ended(end))) => {
                    self.end.join(end);
                    None
                }
                Some(Err(error)) => Some(error),
                None => {
                    comments(&self.end, out);
                    self.writer.ended(out);
                    return false;
                }
            };
            if let Some(error) = failed {
                self.writer.failed(&error, out);
                return false;
            }
        }
        true
    }
}

/// Appends what became known late, as comments.
pub(super) fn comments(end: &StreamEnd, out: &mut Vec<u8>) {
    for (name, value) in end.notes() {
        out.extend_from_slice(format!(": {name}: {value}\n\n").as_bytes());
    }
}

/// Appends one event without a name; JSON over several lines stays one event.
pub(super) fn data(json: &[u8], out: &mut Vec<u8>) {
    for line in json.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// Appends one event with a name.
pub(super) fn named(name: &str, json: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    data(json, out);
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::{Piece, StreamEnd, Write, frames};
    use crate::error::Error;
    use crate::types::Chunk;

    /// Writes nothing but an end.
    struct Silent;

    impl Write for Silent {
        fn chunk(&mut self, _: u64, _: &Chunk, _: &mut Vec<u8>) -> Result<(), Error> {
            Ok(())
        }

        fn failed(&mut self, _: &Error, _: &mut Vec<u8>) {}

        fn ended(&mut self, out: &mut Vec<u8>) {
            out.extend_from_slice(b"the end");
        }
    }

    #[tokio::test]
    async fn what_several_answers_cost_and_who_carried_one_on_is_told_before_the_end() {
        let end = |cost, recovered: Option<&str>| {
            Ok(Piece::Ended(StreamEnd {
                cost_usd: cost,
                recovered: recovered.map(Into::into),
                ..StreamEnd::default()
            }))
        };
        let ends = [
            end(Some(0.25), Some("b")),
            end(None, None),
            end(Some(0.5), None),
        ];
        let frames: Vec<_> = frames(stream::iter(ends).boxed(), Silent).collect().await;
        let told: Vec<u8> = frames.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(
            String::from_utf8(told).unwrap(),
            ": x-llm-router-recovered: b\n\n: x-llm-router-cost-usd: 0.75\n\nthe end"
        );
    }
}
