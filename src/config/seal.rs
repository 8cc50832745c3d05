//! Literal secrets as the nodes agree on them: AES-256-GCM under a key that every member has and
//! the log has not. Bound to the place it stands in, so that it cannot be moved to another model
//! whose upstream would then be told it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};

use super::routing::Secret;
use super::secret::{Missing, resolve};
use crate::types::ModelName;

/// What stands for a secret wherever a config is shown. In a config that is applied, it means the
/// secret in force.
pub const DOTS: &str = "••••";
/// How every sealed text begins; the number is the format's.
const PREFIX: &str = "sealed:v1:";
/// Longest sealed text in bytes: the largest secret, in base64.
const MAX_BYTES: usize = 96 << 10;

/// A sealed secret as text. Harmless without the key, and shown nowhere all the same.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(String);

impl Sealed {
    /// The text, `sealed:v1:…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a text that begins as one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.starts_with(PREFIX) && text.len() <= MAX_BYTES;
        fits.then(|| Sealed(text.to_owned()))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DOTS)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Sealed::parse(&text).ok_or_else(|| de::Error::custom("not a sealed secret"))
    }
}

/// A secret could not be sealed: the key or the source of random numbers failed.
#[derive(Debug, thiserror::Error)]
#[error("a secret cannot be sealed on this machine")]
pub struct Unsealable;

/// The key of the cluster. Cheap to clone.
#[derive(Clone)]
pub struct Seal {
    key: std::sync::Arc<Key>,
}

struct Key {
    cipher: Option<LessSafeKey>,
    digest: [u8; 32],
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

impl Seal {
    /// Seals and opens under this key.
    pub fn new(key: [u8; 32]) -> Self {
        let cipher = UnboundKey::new(&AES_256_GCM, &key).ok();
        Seal {
            key: std::sync::Arc::new(Key {
                cipher: cipher.map(LessSafeKey::new),
                digest: blake3::derive_key("llm-router 2026 digest of a routing config", &key),
            }),
        }
    }

    /// A digest nobody without the key can compare guesses with.
    pub fn digest(&self, text: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.key.digest, text)
    }

    /// Covers a model's secret.
    ///
    /// # Errors
    /// [`Unsealable`].
    pub fn seal(&self, model: &ModelName, secret: &str) -> Result<Sealed, Unsealable> {
        let cipher = self.key.cipher.as_ref().ok_or(Unsealable)?;
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut bytes = secret.as_bytes().to_vec();
        let sealing = Nonce::assume_unique_for_key(nonce);
        cipher
            .seal_in_place_append_tag(sealing, place(model), &mut bytes)
            .map_err(|_| Unsealable)?;
        let whole = [nonce.as_slice(), &bytes].concat();
        Ok(Sealed(format!("{PREFIX}{}", BASE64.encode(whole))))
    }

    /// A model's secret again; `None` when the key or the model is another, or the text damaged.
    pub fn open(&self, model: &ModelName, sealed: &Sealed) -> Option<SecretString> {
        let cipher = self.key.cipher.as_ref()?;
        let whole = BASE64.decode(sealed.0.strip_prefix(PREFIX)?).ok()?;
        let (nonce, bytes) = whole.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = bytes.to_vec();
        let text = cipher.open_in_place(nonce, place(model), &mut bytes).ok()?;
        std::str::from_utf8(text).ok().map(SecretString::from)
    }

    /// The secret a model's reference stands for, sealed ones included.
    ///
    /// # Errors
    /// [`Missing`], naming the variable or the file.
    pub fn resolve(
        &self,
        model: &ModelName,
        secret: &Secret,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<SecretString, Missing> {
        match secret {
            Secret::Sealed(sealed) => self.open(model, sealed).ok_or(Missing::Sealed),
            Secret::Env { .. } | Secret::File { .. } | Secret::Literal(_) => {
                resolve(secret, lookup)
            }
        }
    }
}

/// The place a secret is bound to.
fn place(model: &ModelName) -> Aad<String> {
    Aad::from(format!("models.{model}.api_key"))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn seal() -> Seal {
        Seal::new([7; 32])
    }

    #[test]
    fn a_sealed_secret_opens_for_its_model_and_key_alone() {
        let (a, b) = (ModelName::from("a"), ModelName::from("b"));
        let sealed = seal().seal(&a, "sk-live").unwrap();
        assert!(sealed.as_str().starts_with("sealed:v1:"));
        assert!(!sealed.as_str().contains("sk-live"));
        assert!(seal().open(&b, &sealed).is_none(), "moved to another model");
        assert!(Seal::new([8; 32]).open(&a, &sealed).is_none());
        assert_eq!(seal().open(&a, &sealed).unwrap().expose_secret(), "sk-live");
    }

    #[test]
    fn a_damaged_text_does_not_open() {
        let a = ModelName::from("a");
        let whole = seal().seal(&a, "sk-live").unwrap();
        for cut in [PREFIX.len(), PREFIX.len() + 5, whole.0.len() - 1] {
            assert!(
                seal()
                    .open(&a, &Sealed(whole.0[..cut].to_owned()))
                    .is_none()
            );
        }
        let mut turned = whole.0.into_bytes();
        let at = turned.len() - 9;
        turned[at] = if turned[at] == b'A' { b'B' } else { b'A' };
        let turned = Sealed(String::from_utf8(turned).unwrap());
        assert!(seal().open(&a, &turned).is_none());
    }

    #[test]
    fn the_same_secret_never_looks_the_same_twice() {
        let a = ModelName::from("a");
        assert_ne!(seal().seal(&a, "x").unwrap(), seal().seal(&a, "x").unwrap());
    }

    #[test]
    fn a_sealed_secret_is_shown_as_dots_and_read_as_itself() {
        let a = ModelName::from("a");
        let sealed = seal().seal(&a, "sk-live").unwrap();
        let json = serde_json::to_string(sealed.as_str()).unwrap();
        let secret: Secret = serde_json::from_str(&json).unwrap();
        assert!(matches!(&secret, Secret::Sealed(read) if *read == sealed));
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"••••\"");
        assert_eq!(format!("{secret:?}"), "Secret(••••)");
        let opened = seal().resolve(&a, &secret, |_| None).unwrap();
        assert_eq!(opened.expose_secret(), "sk-live");
        let covered = Secret::Literal(DOTS.to_owned());
        assert!(matches!(
            seal().resolve(&a, &covered, |_| None),
            Err(Missing::Covered)
        ));
    }
}
