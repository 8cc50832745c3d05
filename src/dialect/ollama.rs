//! Ollama's native `/api/chat`: OpenAI-shaped requests out, its answers back as events.
//!
//! The native API rather than Ollama's own OpenAI endpoint, because only it takes `num_ctx` and
//! `keep_alive`. What it cannot carry is named by [`uncarried`]; what may not be left out is refused
//! ([`Untranslatable`]) should anyone ask all the same. Nothing a user said in a message is dropped.

pub mod answer;
pub mod request;
mod untold;

pub use answer::{Bad, Decoder};
pub use request::{Untranslatable, to_native};
pub use untold::uncarried;

#[cfg(test)]
mod tests;
