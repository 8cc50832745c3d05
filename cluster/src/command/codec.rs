//! Commands as bytes. A data format: its changes get their own commit prefix.
//!
//! ```text
//! byte 0      the format, 1
//! bytes 1–2   the level the command needs, big-endian
//! the rest    the command as JSON
//! ```

use super::{Change, Command};

/// The highest command level this program understands, and the one it proposes by.
pub const LEVEL: u16 = 1;

/// How the bytes are laid out.
const FORMAT: u8 = 1;

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

impl Change {
    /// The lowest level at which a program understands it.
    pub const fn level(&self) -> u16 {
        match self {
            Change::Begin { .. }
            | Change::Admit { .. }
            | Change::Update { .. }
            | Change::Dismiss { .. }
            | Change::Config { .. }
            | Change::Rollback { .. }
            | Change::CreateKey(_)
            | Change::RevokeKey { .. }
            | Change::RotateKey { .. }
            | Change::Breaker(_)
            | Change::Breakers(_)
            | Change::CacheEpoch { .. }
            | Change::Centroids { .. } => 1,
        }
    }
}

/// A command as bytes.
pub fn encode(command: &Command) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    bytes.extend(command.change.level().to_be_bytes());
    let written = serde_json::to_writer(&mut bytes, command);
    debug_assert!(written.is_ok(), "every command has a JSON form");
    bytes
}

/// Back again.
///
/// # Errors
/// See [`BadCommand`].
pub fn decode(bytes: &[u8]) -> Result<Command, BadCommand> {
    let [format, high, low, body @ ..] = bytes else {
        return Err(BadCommand::Damaged("too short".to_owned()));
    };
    if *format != FORMAT {
        return Err(BadCommand::Damaged(format!("unknown format {format}")));
    }
    // The level comes first: the body of a newer command need not make sense here.
    let level = u16::from_be_bytes([*high, *low]);
    if level > LEVEL {
        return Err(BadCommand::TooNew(level));
    }
    let command: Command =
        serde_json::from_slice(body).map_err(|error| BadCommand::Damaged(error.to_string()))?;
    if command.change.level() != level {
        return Err(BadCommand::Damaged(format!(
            "a {} is not of level {level}",
            command.change.name()
        )));
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BadCommand, LEVEL, decode, encode};
    use crate::state::tests::any_command;

    proptest! {
        #[test]
        fn a_command_comes_back_as_it_went(command in any_command()) {
            prop_assert_eq!(decode(&encode(&command)).unwrap(), command);
        }

        #[test]
        fn garbage_is_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn a_damaged_command_is_refused_or_another_one(
            command in any_command(), at in any::<prop::sample::Index>(), bit in 0..8u8,
        ) {
            let mut bytes = encode(&command);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(other) = decode(&bytes) {
                prop_assert_eq!(decode(&encode(&other)).unwrap(), other);
            }
            prop_assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        }

        #[test]
        fn a_newer_level_is_told_apart_from_damage(command in any_command(), by in 1..u16::MAX) {
            let mut bytes = encode(&command);
            let newer = LEVEL.saturating_add(by);
            bytes[1..3].copy_from_slice(&newer.to_be_bytes());
            bytes.truncate(10);
            prop_assert!(matches!(decode(&bytes), Err(BadCommand::TooNew(level)) if level == newer));
        }
    }

    #[test]
    fn nothing_may_follow_a_command() {
        let mut bytes = encode(&crate::state::tests::command(
            crate::command::Change::CacheEpoch {
                scope: "all".to_owned(),
            },
        ));
        bytes.push(b'1');
        assert!(matches!(decode(&bytes), Err(BadCommand::Damaged(_))));
    }
}
