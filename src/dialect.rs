//! Wire structs and conversions. No I/O; fields we do not know are kept.

pub mod anthropic;
pub mod carry;
pub mod completions;
pub mod gemini;
pub mod json;
pub mod lines;
pub mod lost;
pub mod ollama;
pub mod openai;
pub mod responses;
pub mod seal;
pub mod sse;
pub mod transcode;
pub mod whole;

#[cfg(test)]
mod tests;
