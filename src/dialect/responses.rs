//! OpenAI Responses: a request read as a chat request with the form it came in beside it, answers
//! written as response objects and events, and those of an upstream that speaks it read.
//!
//! An upstream that has the API gets the request as it came. Every other one is asked statelessly
//! for text and function calls: what needs a server that remembers (`previous_response_id`,
//! `conversation`, `background`, stored prompts) or runs tools of its own can only be told to the
//! former, and is named as such rather than lost.

pub mod decode;
pub mod encode;
mod items;
pub mod object;
pub mod request;

pub use decode::Decoder;
pub use encode::Encoder;
pub use object::Echo;
pub use request::{Inbound, read};

/// What precedes thinking that another provider sealed, in `encrypted_content`: it comes back to us
/// in the next request, and goes to that provider again as it was.
const SEALED: &str = "llm-router:";

#[cfg(test)]
mod tests;
