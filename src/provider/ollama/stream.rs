//! A streamed answer: one JSON object a line, one to six chunks each.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::try_unfold;
use serde::de::IgnoredAny;

use super::garbled;
use crate::dialect::lines::Lines;
use crate::dialect::ollama::Decoder;
use crate::dialect::openai::build::Head;
use crate::provider::key::KeyGuard;
use crate::provider::openai::stream::CUT_OFF;
use crate::provider::wire::body::Body;
use crate::provider::{ChunkStream, Class, Failure};
use crate::types::Chunk;

/// The chunks of `body`. Reads only when polled.
pub(super) fn chunks(body: Body, head: Head, key: KeyGuard) -> ChunkStream {
    let reading = Reading {
        body,
        key,
        lines: Lines::default(),
        decoder: Decoder::new(head),
        ready: VecDeque::new(),
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
    lines: Lines,
    decoder: Decoder,
    /// Chunks of the line read last.
    ready: VecDeque<Chunk>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(Some(chunk));
            }
            if self.decoder.is_done() {
                self.body.drain().await;
                return Ok(None);
            }
            if let Some(line) = self.lines.next_line() {
                self.read(&line.map_err(|long| Failure::hard(long.to_string(), long))?)?;
                continue;
            }
            match self.body.piece().await? {
                Some(piece) => self.lines.push(piece),
                None => self.read_last()?,
            }
        }
    }

    fn read(&mut self, line: &Bytes) -> Result<(), Failure> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let chunks = self
            .decoder
            .line(line)
            .map_err(|bad| garbled(&bad, &self.key))?;
        if chunks
            .iter()
            .any(|chunk| chunk.tap.real || chunk.tap.finish.is_some())
        {
            self.body.watch.first_token();
        }
        self.ready = chunks.into();
        Ok(())
    }

    /// The body ended: a last line without its line end counts if it says `done`.
    fn read_last(&mut self) -> Result<(), Failure> {
        let cut_off = || Failure::new(Class::Hard, CUT_OFF);
        let line = self.lines.rest().ok_or_else(cut_off)?;
        serde_json::from_slice::<IgnoredAny>(&line).map_err(|_| cut_off())?;
        self.read(&line)?;
        if self.decoder.is_done() {
            Ok(())
        } else {
            Err(cut_off())
        }
    }
}
