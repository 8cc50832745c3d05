//! A reply as the named events of Anthropic's dialect. An upstream's own go through byte for byte.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};

use crate::api::http::chat::unreadable;
use crate::api::http::errors::anthropic;
use crate::api::http::events;
use crate::dialect::anthropic::{Encoder, PING};
use crate::dialect::transcode::Decoder;
use crate::error::Error;
use crate::inference::ReplyStream;
use crate::types::{Chunk, Dialect, RequestId};

/// A `ping` goes out after this long without a chunk, below the idle limits of proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

/// The response body of a stream. Dropping it aborts the upstream.
pub(super) fn body(reply: ReplyStream, id: RequestId, model: &str) -> Body {
    Body::from_stream(frames(Running {
        reply,
        id,
        decoder: Decoder::default(),
        encoder: Encoder::new(model),
        translates: false,
    }))
}

struct Running {
    reply: ReplyStream,
    id: RequestId,
    decoder: Decoder,
    encoder: Encoder,
    /// Something has been written that no upstream wrote: what follows is numbered by us.
    translates: bool,
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
                Err(_) => return Some((Ok(Bytes::from_static(PING)), Step::Running(running))),
                Ok(Some(Ok(chunk))) => match running.write(&chunk) {
                    Ok(frame) if frame.is_empty() => {}
                    Ok(frame) => return Some((Ok(frame), Step::Running(running))),
                    Err(error) => break running.failed(&error),
                },
                Ok(Some(Err(error))) => break running.failed(&error),
                Ok(None) => break running.ended(),
            }
        };
        Some((Ok(frame), Step::Ended))
    })
}

impl Running {
    fn write(&mut self, chunk: &Chunk) -> Result<Bytes, Error> {
        match chunk.dialect {
            Dialect::Anthropic if !self.translates => self.encoder.pass(&chunk.raw),
            Dialect::OpenAi | Dialect::Anthropic | Dialect::Responses => {
                self.translates = true;
                let events = self.decoder.events(chunk).map_err(unreadable)?;
                events.into_iter().for_each(|event| self.encoder.say(event));
            }
        }
        Ok(self.encoder.take())
    }

    fn failed(&self, error: &Error) -> Bytes {
        let body = anthropic::body(error, &self.id);
        Bytes::from(format!("event: error\ndata: {body}\n\n"))
    }

    /// What is left of the answer, and what became known late as a comment.
    fn ended(&mut self) -> Bytes {
        self.encoder.end();
        let mut frame = self.encoder.take().to_vec();
        events::comments(&self.reply.end(), &mut frame);
        Bytes::from(frame)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::{StreamExt, stream};
    use parking_lot::Mutex;

    use super::{ReplyStream, RequestId, body};
    use crate::dialect::openai::build::Head;
    use crate::inference::StreamEnd;
    use crate::types::{Event, Finish};

    #[tokio::test]
    async fn who_carried_the_answer_on_is_told_after_it() {
        let head = Head::new("m");
        let chunks = [head.text("hi"), head.said(&Event::Finish(Finish::Stop))].map(Ok);
        let end = Arc::new(Mutex::new(StreamEnd {
            cost_usd: Some(0.25),
            recovered: Some("b".into()),
            ..StreamEnd::default()
        }));
        let reply = ReplyStream::new(stream::iter(chunks).boxed(), end);
        let body = body(reply, RequestId::generate(), "m");
        let told = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let told = String::from_utf8(told.to_vec()).unwrap();
        let late = ": x-llm-router-recovered: b\n\n: x-llm-router-cost-usd: 0.25\n\n";
        assert!(
            told.contains("message_stop") && told.ends_with(late),
            "{told}"
        );
    }
}
