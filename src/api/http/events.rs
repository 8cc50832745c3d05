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
use crate::inference::ReplyStream;
use crate::types::Chunk;

/// A comment goes out after this long without an event, below the idle limits of proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

/// A piece of one of the answers that a response consists of.
pub(super) enum Piece {
    /// A chunk of the answer with this number.
    Chunk(u64, Chunk),
    /// An answer is whole and cost so much, where that is known.
    Ended(Option<f64>),
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
            None => (Ok(Piece::Ended(reply.end().cost_usd)), None),
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
    cost: Option<f64>,
}

fn frames<W: Write>(
    pieces: Pieces,
    writer: W,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let running = Running {
        pieces,
        writer,
        cost: None,
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
                Some(Ok(Piece::Ended(cost))) => {
                    let known = self.cost.zip(cost).map(|(known, more)| known + more);
                    self.cost = known.or(self.cost).or(cost);
                    None
                }
                Some(Err(error)) => Some(error),
                None => {
                    if let Some(cost) = self.cost {
                        let comment = format!(": x-llm-router-cost-usd: {cost}\n\n");
                        out.extend_from_slice(comment.as_bytes());
                    }
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
