//! The messages of a stream, as [`Decode`] wants them read.

use bytes::Bytes;

use super::garbled;
use crate::dialect::anthropic::{Bad, Decoder};
use crate::provider::Failure;
use crate::provider::key::KeyGuard;
use crate::provider::translate::{Decode, may_carry};
use crate::types::Event;

impl Decode for Decoder {
    fn message(&mut self, message: &[u8], said: &mut Vec<Event>) -> Result<(), Failure> {
        match Decoder::message(self, message, said) {
            // noise on the line; some servers end with `[DONE]`
            Err(Bad::Shape(_)) if !may_carry(message) => Ok(()),
            // the reader strikes the key out
            read => read.map_err(|bad| {
                let raw = Bytes::copy_from_slice(message);
                garbled(&bad, &raw, &KeyGuard::default())
            }),
        }
    }

    fn is_done(&self) -> bool {
        Decoder::is_done(self)
    }

    fn ended(&mut self, _said: &mut Vec<Event>) {
        Decoder::ended(self);
    }
}
