//! A stream whose upstream dies is carried on by another one, so that the client gets one whole
//! answer or a clean error, never two answers sewn together.
//!
//! ```text
//! told      what the client has been told so far, and whether that can be carried on at all
//! request   what a model is asked to carry it on: the same with its beginning, or the same anew
//! splice    where a continuation joins what was told: the proof that both are one answer
//! rejoining what of a continuation's chunks is news to the client
//! carrier   the stream itself: reads, notices the death, asks, joins
//! ```
//!
//! A model that continues an assistant message is given what was told as one (prefill). Any other is
//! asked the whole question again, and joins only if its answer begins with every letter that was
//! told. One that was given the beginning and begins anew all the same is held to that too.
//!
//! Not carried on, because what was told is more than text that another model could go on from: tool
//! calls, refusals, sealed thinking, several choices, log probabilities, streams in a client's own
//! dialect that is not OpenAI's. Thinking in plain text is: the client has what there was of it, and
//! the continuation's own is kept from it.

mod carrier;
mod rejoining;
mod request;
mod splice;
mod told;

#[cfg(test)]
mod tests;

pub(super) use carrier::{Begun, Carrier, Piece, Recovered};
pub(super) use request::estimated;
