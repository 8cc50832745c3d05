//! Pieces of a running answer as bytes. What is read was sealed by a node of this cluster, so that
//! what makes no sense is a bug or damage, and ends the answer.

use serde::{Deserialize, Serialize};

use crate::cache::flight::Break;
use crate::error::Kind;
use crate::types::{Chunk, Dialect, Finish, Tap, Usage};

#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    beyond_text: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    real: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finish: Option<Finish>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    usage_only: bool,
    #[serde(default, skip_serializing_if = "Dialect::is_openai")]
    dialect: Dialect,
}

/// 4 bytes length of the head (little endian), head (JSON), the bytes as the upstream sent them.
pub(super) fn write(chunk: &Chunk) -> Vec<u8> {
    let Tap {
        text,
        beyond_text,
        real,
        finish,
        usage,
    } = chunk.tap.clone();
    let head = Head {
        text,
        beyond_text,
        real,
        finish,
        usage,
        usage_only: chunk.usage_only,
        dialect: chunk.dialect,
    };
    let mut bytes = vec![0; 4];
    let written = serde_json::to_writer(&mut bytes, &head);
    debug_assert!(written.is_ok(), "every head has a JSON form");
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes.splice(0..4, length.to_le_bytes());
    bytes.extend_from_slice(&chunk.raw);
    bytes
}

/// Reads what [`write`] wrote.
pub(super) fn read(bytes: &[u8]) -> Option<Chunk> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (head, raw) = rest.split_at_checked(length)?;
    let head: Head = serde_json::from_slice(head).ok()?;
    Some(Chunk {
        raw: raw.to_vec().into(),
        dialect: head.dialect,
        tap: Tap {
            text: head.text,
            beyond_text: head.beyond_text,
            real: head.real,
            finish: head.finish,
            usage: head.usage,
        },
        usage_only: head.usage_only,
    })
}

/// One byte for the kind, and the message.
pub(super) fn write_break(why: &Break) -> Vec<u8> {
    let mut bytes = vec![u8::from(why.kind == Kind::DeadlineExceeded)];
    bytes.extend_from_slice(why.message.as_bytes());
    bytes
}

/// Reads what [`write_break`] wrote; every kind but a passed deadline is an upstream's failure.
pub(super) fn read_break(bytes: &[u8]) -> Option<Break> {
    let (kind, message) = bytes.split_first()?;
    Some(Break {
        kind: match kind {
            1 => Kind::DeadlineExceeded,
            _ => Kind::UpstreamFailed,
        },
        message: String::from_utf8(message.to_vec()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_piece_is_read_back_as_it_was(text in ".{0,20}", raw in ".{0,40}", flags in 0u8..16) {
            let chunk = Chunk {
                raw: raw.into_bytes().into(),
                dialect: if flags & 1 > 0 { Dialect::Anthropic } else { Dialect::OpenAi },
                tap: Tap {
                    text,
                    beyond_text: flags & 1 > 0,
                    real: flags & 2 > 0,
                    finish: (flags & 4 > 0).then_some(Finish::Length),
                    usage: (flags & 4 > 0).then(|| Usage::new(3, 4)),
                },
                usage_only: flags & 8 > 0,
            };
            let back = read(&write(&chunk)).unwrap();
            prop_assert_eq!(back.raw, chunk.raw);
            prop_assert_eq!(back.tap, chunk.tap);
            prop_assert_eq!(back.dialect, chunk.dialect);
            prop_assert_eq!(back.usage_only, chunk.usage_only);
        }
    }

    #[test]
    fn what_is_no_piece_is_refused() {
        for bytes in [
            &b""[..],
            b"\xff\xff\xff\xff",
            b"\x02\0\0\0{",
            b"\x01\0\0\0x",
        ] {
            assert!(read(bytes).is_none());
        }
        let why = Break {
            kind: Kind::DeadlineExceeded,
            message: "late".to_owned(),
        };
        assert_eq!(read_break(&write_break(&why)).unwrap(), why);
        assert!(read_break(b"").is_none());
    }
}
