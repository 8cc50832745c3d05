//! Gemini's native `generateContent`: OpenAI-shaped requests out, its answers back as events.
//!
//! The native API rather than Google's own OpenAI-shaped one, because only it takes every setting
//! and gives back every seal. What it has no place for is named by [`uncarried`]; nothing a user
//! said in a message is dropped.
//!
//! Gemini seals what it thought (`thoughtSignature`) and wants the seal back with the turn it came
//! in: a call's seal travels on the call, any other as a thinking block's signature, marked so that
//! another provider's seal is never shown to Gemini.

pub mod decode;
mod fields;
mod messages;
mod parts;
pub mod request;
mod settings;
mod tools;

pub use decode::{Bad, Decoder};
pub use request::{to_native, uncarried};

/// What Google's documentation has in place of a seal, on the first call of a turn that another
/// model made: later generations refuse a call without any.
const NO_SEAL: &str = "skip_thought_signature_validator";

/// What a model of this name is known to want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    /// Gemini 1 and 2: thinking is a number of tokens, calls need no seal.
    Early,
    /// Gemini 3 and later, undated names among them: thinking is a level, calls need seals.
    Later,
    /// No Gemini at all.
    Other,
}

impl Generation {
    fn of(model: &str) -> Self {
        match model.find("gemini-").map(|at| &model[at + 7..]) {
            Some(rest) if rest.starts_with(['1', '2']) => Generation::Early,
            Some(_) => Generation::Later,
            None => Generation::Other,
        }
    }
}

#[cfg(test)]
mod tests;
