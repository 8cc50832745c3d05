//! Seals: what a provider puts on its model's thinking and wants back, byte for byte.
//!
//! A seal travels through another provider's dialect as the signature of a thinking block. Marked
//! with whose it is, because a provider refuses a conversation that holds a seal it did not make.

/// What marks the seal of a turn as Gemini's.
const GEMINI: &str = "google:";
/// What marks the seal of the call that follows it as Gemini's.
const GEMINI_CALL: &str = "google-call:";

/// Gemini's seal of a turn as the signature of a thinking block.
pub fn mark(seal: &str) -> String {
    format!("{GEMINI}{seal}")
}

/// Gemini's seal of a call as the signature of a thinking block in front of it.
pub fn mark_call(seal: &str) -> String {
    format!("{GEMINI_CALL}{seal}")
}

/// The seal of a turn that Gemini made.
pub fn of_turn(signature: &str) -> Option<&str> {
    signature.strip_prefix(GEMINI)
}

/// The seal of a call that Gemini made.
pub fn of_call(signature: &str) -> Option<&str> {
    signature.strip_prefix(GEMINI_CALL)
}

/// Anthropic may have made this seal, as none other is known to have.
pub fn is_anthropic(signature: &str) -> bool {
    !signature.is_empty() && of_turn(signature).is_none() && of_call(signature).is_none()
}
