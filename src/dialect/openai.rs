//! OpenAI Chat Completions: requests, answers, chunks and errors.
//!
//! [`ChatBody`] is a request with every field kept raw; [`tap`] reads off answers what the node
//! needs; [`build`] makes OpenAI-shaped JSON where the upstream does not speak it, [`decode`] reads
//! it back for a client that does not.

pub mod build;
mod calls;
pub(super) mod content;
pub mod decode;
pub mod embeddings;
mod numbers;
pub mod request;
pub mod reshape;
pub mod tap;

pub use request::{Asking, BadRequest, ChatBody, Message};
