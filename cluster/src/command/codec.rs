//! Commands as bytes. A data format: its changes get their own commit prefix.

use super::Command;

/// The highest command level this program understands, and the one it proposes by.
pub const LEVEL: u16 = 1;

/// Bytes that are no command this program understands.
#[derive(Debug, thiserror::Error)]
pub enum BadCommand {
    /// A newer program wrote it.
    #[error("a command of level {0} is newer than this program understands: upgrade it")]
    TooNew(u16),
    /// It is damaged.
    #[error("not a command: {0}")]
    Damaged(String),
}

/// A command as bytes.
#[expect(
    unused_variables,
    clippy::unimplemented,
    reason = "the contract, before its author has come"
)]
pub fn encode(command: &Command) -> Vec<u8> {
    unimplemented!()
}

/// Back again.
///
/// # Errors
/// See [`BadCommand`].
#[expect(
    unused_variables,
    clippy::unimplemented,
    reason = "the contract, before its author has come"
)]
pub fn decode(bytes: &[u8]) -> Result<Command, BadCommand> {
    unimplemented!()
}
