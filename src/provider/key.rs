//! A provider's credential: sent in one header, struck out of everything else.

use bytes::Bytes;
use http::HeaderValue;
use http::header::InvalidHeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::Failure;

/// Shortest key that can be told from ordinary text.
const MIN_STRIKE: usize = 6;

/// An upstream's key, or none.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyGuard(Option<SecretString>);

impl KeyGuard {
    pub(super) fn new(key: SecretString) -> Self {
        KeyGuard(Some(key))
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// The `authorization` header's value; `None` without a key.
    ///
    /// # Errors
    /// The key is blank or cannot stand in a header.
    pub(super) fn bearer(&self) -> Result<Option<HeaderValue>, InvalidHeaderValue> {
        self.value("Bearer ")
    }

    /// The value of a header that holds the key alone; `None` without a key.
    ///
    /// # Errors
    /// The key is blank or cannot stand in a header.
    pub(super) fn plain(&self) -> Result<Option<HeaderValue>, InvalidHeaderValue> {
        self.value("")
    }

    fn value(&self, scheme: &str) -> Result<Option<HeaderValue>, InvalidHeaderValue> {
        let Some(key) = self.0.as_ref().map(ExposeSecret::expose_secret) else {
            return Ok(None);
        };
        // a blank key is as unusable as one with a line break, and refused the same way
        let text = if key.trim().is_empty() {
            "\n".to_owned()
        } else {
            format!("{scheme}{key}")
        };
        let mut value = HeaderValue::from_str(&text)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// `text` with every occurrence of the key struck out.
    pub(super) fn strike_out(&self, text: Bytes) -> Bytes {
        let Some(key) = self.0.as_ref().map(|key| key.expose_secret().as_bytes()) else {
            return text;
        };
        if key.len() < MIN_STRIKE || !text.windows(key.len()).any(|window| window == key) {
            return text;
        }
        let (mut out, mut rest) = (Vec::with_capacity(text.len()), &text[..]);
        while let Some(at) = rest.windows(key.len()).position(|window| window == key) {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(b"[redacted]");
            rest = &rest[at + key.len()..];
        }
        out.extend_from_slice(rest);
        Bytes::from(out)
    }

    /// The same for text.
    pub(super) fn strike_out_text(&self, text: String) -> String {
        String::from_utf8_lossy(&self.strike_out(Bytes::from(text))).into_owned()
    }
}

impl Failure {
    /// The same failure with every occurrence of the key struck out.
    pub(super) fn struck(self, key: &KeyGuard) -> Self {
        Failure {
            message: key.strike_out_text(self.message),
            body: key.strike_out(self.body),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_struck_out_wherever_it_stands() {
        let guard = KeyGuard::new(SecretString::from("sk-1234"));
        let text = "bad key sk-1234: sk-1234 sk-123".to_owned();
        assert_eq!(
            guard.strike_out_text(text),
            "bad key [redacted]: [redacted] sk-123"
        );
        assert_eq!(
            KeyGuard::default().strike_out_text("sk-1234".to_owned()),
            "sk-1234"
        );
    }

    #[test]
    fn a_blank_key_is_no_key() {
        assert!(KeyGuard::new(SecretString::from(" ")).bearer().is_err());
        assert!(KeyGuard::new(SecretString::from(" ")).plain().is_err());
        assert!(KeyGuard::default().bearer().unwrap().is_none());
        assert!(KeyGuard::default().plain().unwrap().is_none());
    }
}
