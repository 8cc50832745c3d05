//! A streamed answer, chunk by chunk, until its end is certain or it was cut off.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::try_unfold;

use super::garbled;
use crate::dialect::openai::tap::{Chunks, Garbled};
use crate::dialect::sse::{Event, Splitter};
use crate::provider::key::KeyGuard;
use crate::provider::wire::body::Body;
use crate::provider::{ChunkStream, Class, Failure, translate};
use crate::types::Chunk;

/// What a stream without an end is reported as.
pub(in crate::provider) const CUT_OFF: &str = "upstream cut the stream off before it finished";

/// The chunks of `body`. Reads only when polled.
pub(super) fn chunks(body: Body, key: KeyGuard) -> ChunkStream {
    let reading = Reading {
        body,
        key,
        splitter: Splitter::default(),
        read: Chunks::default(),
        counted: false,
        ended: false,
    };
    try_unfold(reading, |mut reading| async move {
        let next = reading.next().await?;
        Ok(next.map(|chunk| (chunk, reading)))
    })
    .boxed()
}

struct Reading {
    body: Body,
    key: KeyGuard,
    splitter: Splitter,
    read: Chunks,
    /// Token counts have come.
    counted: bool,
    /// `[DONE]` has come.
    ended: bool,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        loop {
            while let Some(event) = self.splitter.next_event() {
                let event = event.map_err(|long| Failure::hard(long.to_string(), long))?;
                if let Some(chunk) = self.read(event)? {
                    return Ok(Some(chunk));
                }
                if self.ended {
                    self.body.drain().await;
                    return self.end();
                }
            }
            match self.body.piece().await {
                Ok(Some(piece)) => self.splitter.push(piece),
                Ok(None) => return self.rest(),
                // all that could still be lost is the closing mark
                Err(_) if self.read.all_ended() && self.counted => return Ok(None),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// One event; `None` for `[DONE]`, heartbeats and whatever else holds no chunk.
    fn read(&mut self, event: Event) -> Result<Option<Chunk>, Failure> {
        let data = event.data;
        if data.as_ref() == b"[DONE]" {
            self.ended = true;
            return Ok(None);
        }
        if data.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        if event.named_error {
            let text = String::from_utf8_lossy(&data).chars().take(500).collect();
            return Err(garbled(Garbled::Error(text), &data, &self.key));
        }
        match self.chunk(data.clone()) {
            Ok(chunk) => Ok(chunk),
            // noise on the line: the answer is whole without it
            Err(_) if !translate::may_carry(&data) => Ok(None),
            Err(bad) => Err(garbled(bad, &data, &self.key)),
        }
    }

    fn chunk(&mut self, data: Bytes) -> Result<Option<Chunk>, Garbled> {
        let (ended, known) = (self.read.has_ended(), self.read.ended());
        let chunk = self.read.read(data)?;
        let tap = &chunk.tap;
        // said once is enough: clients would see an answer that ends and ends again
        let repeats = ended && tap.finish.is_some() && known == self.read.ended();
        let again = repeats && !tap.real && tap.usage.is_none();
        self.counted |= tap.usage.is_some();
        if tap.real || tap.finish.is_some() {
            self.body.watch.first_token();
        }
        // without choices and without counts it is a heartbeat, on which clients stumble
        let heartbeat = chunk.usage_only && tap.usage.is_none();
        Ok((!heartbeat && !again).then_some(chunk))
    }

    /// The body ended: its last block may lack the closing blank line, or be cut anywhere.
    fn rest(&mut self) -> Result<Option<Chunk>, Failure> {
        let last = self
            .splitter
            .rest()
            .map(|event| event.data)
            .unwrap_or_default();
        self.ended |= last.as_ref() == b"[DONE]";
        if !self.ended
            && let Ok(Some(chunk)) = self.chunk(last)
        {
            return Ok(Some(chunk));
        }
        self.end()
    }

    /// `[DONE]` speaks for all choices; without it each has to say that it ended.
    fn end(&self) -> Result<Option<Chunk>, Failure> {
        if self.read.all_ended() || (self.ended && self.read.has_ended()) {
            Ok(None)
        } else {
            Err(Failure::new(Class::Hard, CUT_OFF))
        }
    }
}
