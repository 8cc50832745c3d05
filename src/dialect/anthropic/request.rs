//! Requests of this dialect: read as OpenAI-shaped ones, and written from them.

pub mod inbound;
pub mod outbound;
