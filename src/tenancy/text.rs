//! A key as its owner holds it: `rk_<id>_<secret>_<check>`.
//!
//! The check is a CRC over the rest, so that a key that was cut off or mistyped is told from one
//! that is not known, without a look at any table.

use std::fmt;

/// What every key begins with.
const PREFIX: &str = "rk";
/// Characters of an id: 71 bits, enough that two never meet by chance.
const ID: usize = 12;
/// Characters of a secret: 43 of 62 are 256 bits.
const SECRET: usize = 43;
/// Characters of the check: a CRC-32 in hexadecimal.
const CHECK: usize = 8;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Separates these digests from every other use of the same hash.
const DOMAIN: &str = "llm-router 2026-11 digest of a key's secret";

/// A key whose check holds. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct KeyText {
    text: String,
}

/// The text cannot be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rk_{}_…", self.id())
    }
}

impl KeyText {
    /// A new key.
    pub(super) fn generate() -> Self {
        KeyText::generate_for(&random(ID))
    }

    /// Another secret for the key of this id.
    pub(super) fn generate_for(id: &str) -> Self {
        let body = format!("{PREFIX}_{id}_{}", random(SECRET));
        let text = format!("{body}_{}", check(&body));
        KeyText { text }
    }

    /// Reads a key; its parts have exactly the lengths they are made with.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let length = PREFIX.len() + ID + SECRET + CHECK + 3;
        let (body, given) = text.rsplit_once('_').ok_or(Malformed)?;
        let parts: Vec<&str> = body.split('_').collect();
        let [PREFIX, id, secret] = parts[..] else {
            return Err(Malformed);
        };
        let clean = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric());
        let whole = text.len() == length && id.len() == ID && secret.len() == SECRET;
        if !whole || !clean(id) || !clean(secret) || given != check(body) {
            return Err(Malformed);
        }
        Ok(KeyText {
            text: text.to_owned(),
        })
    }

    /// By which it is found.
    pub(super) fn id(&self) -> &str {
        self.text.split('_').nth(1).unwrap_or_default()
    }

    /// What is agreed on in place of the secret. No slow hash: the secret is 256 random bits, and
    /// it is checked with every request.
    pub(super) fn digest(&self) -> blake3::Hash {
        blake3::Hash::from_bytes(blake3::derive_key(DOMAIN, self.text.as_bytes()))
    }

    /// The whole of it, to be shown once.
    pub(super) fn expose(&self) -> &str {
        &self.text
    }
}

fn check(body: &str) -> String {
    format!("{:08x}", crc32fast::hash(body.as_bytes()))
}

/// Characters drawn evenly: bytes that would favour some of them are drawn again.
fn random(length: usize) -> String {
    let even = u8::MAX - u8::MAX % 62;
    std::iter::repeat_with(rand::random::<u8>)
        .filter(|byte| *byte < even)
        .take(length)
        .map(|byte| char::from(ALPHABET[usize::from(byte % 62)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_key_is_refused() {
        let key = KeyText::generate();
        let whole = key.expose();
        let cut = &whole[..whole.len() - 1];
        let spaced = format!(" {whole}");
        for bad in ["", "rk", "rk___", "sk-live-1", "unused", cut, &spaced] {
            assert_eq!(KeyText::parse(bad), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn a_key_is_never_shown_by_debug() {
        let key = KeyText::generate();
        let shown = format!("{key:?}");
        assert!(shown.contains(key.id()), "{shown}");
        assert!(!shown.contains(key.expose().split('_').nth(2).unwrap()));
    }

    #[test]
    fn another_secret_for_the_same_id_has_another_digest() {
        let key = KeyText::generate();
        let other = KeyText::generate_for(key.id());
        assert_eq!(key.id(), other.id());
        assert_ne!(key.digest(), other.digest());
    }

    proptest! {
        #[test]
        fn any_one_changed_character_is_refused(at in 0_usize..68, to in "[ -~]") {
            let key = KeyText::generate();
            let mut text = key.expose().to_owned();
            prop_assume!(at < text.len() && text[at..=at] != to);
            text.replace_range(at..=at, &to);
            prop_assert_eq!(KeyText::parse(&text), Err(Malformed));
        }

        #[test]
        fn a_key_survives_being_written_and_read(_round in 0..64) {
            let key = KeyText::generate();
            prop_assert_eq!(KeyText::parse(key.expose()), Ok(key));
        }

        #[test]
        fn no_text_makes_the_reader_fall_over(text in "\\PC{0,80}") {
            let _ = KeyText::parse(&text);
        }
    }
}
