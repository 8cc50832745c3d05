//! From what a chunk is written in to what a client reads: the decoders' side of every door.

use super::openai::decode;
use super::openai::tap::Garbled;
use super::responses;
use super::whole::Whole;
use crate::types::{Chunk, Completion, Dialect, Event};

/// Reads the chunks of one stream, whichever dialect they are in, as events.
#[derive(Debug, Default)]
pub struct Decoder {
    openai: decode::Decoder,
    responses: responses::Decoder,
}

impl Decoder {
    /// What a chunk says.
    ///
    /// # Errors
    /// [`Garbled`] when it cannot be read.
    pub fn events(&mut self, chunk: &Chunk) -> Result<Vec<Event>, Garbled> {
        match chunk.dialect {
            Dialect::OpenAi | Dialect::Anthropic => self.openai.chunk(&chunk.raw),
            Dialect::Responses => self.responses.event(&chunk.raw),
        }
    }
}

/// What a whole answer says.
///
/// # Errors
/// [`Garbled`] when it cannot be read.
pub fn whole(answer: &Completion) -> Result<Whole, Garbled> {
    let events = match answer.dialect {
        Dialect::OpenAi | Dialect::Anthropic => decode::whole(&answer.raw)?,
        Dialect::Responses => responses::decode::whole(&answer.raw)?,
    };
    Ok(Whole::of(events))
}
