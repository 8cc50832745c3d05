//! Secrets from where a config says they are. The config itself holds references only.

use std::fs;
use std::io::Read;

use secrecy::SecretString;

use super::routing::Secret;
use super::seal::DOTS;

/// Largest secret in bytes.
pub const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Why a secret could not be had. Never holds the secret.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// The variable is not set, or is empty.
    #[error("environment variable {0} is not set")]
    Variable(String),
    /// The file cannot be read.
    #[error("cannot read secret file {path}")]
    File {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is empty.
    #[error("secret file {0} is empty")]
    Empty(String),
    /// It is sealed, and this node has no key or another one.
    #[error("the sealed secret cannot be opened on this node")]
    Sealed,
    /// Only the dots that stand for a secret are there, not the secret.
    #[error("the secret itself is not here, only the dots that stand for it")]
    Covered,
    /// The file is larger than [`MAX_SECRET_BYTES`].
    #[error("secret file {0} is over 64 KiB")]
    TooLarge(String),
}

/// The secret a reference stands for. `lookup` reads an environment variable. A sealed secret is
/// opened by [`super::seal::Seal`] before.
///
/// # Errors
/// [`Missing`], naming the variable or the file.
pub fn resolve(
    secret: &Secret,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<SecretString, Missing> {
    match secret {
        Secret::Sealed(_) => Err(Missing::Sealed),
        Secret::Literal(text) if text == DOTS => Err(Missing::Covered),
        Secret::Literal(text) => Ok(SecretString::from(text.as_str())),
        Secret::Env { env } => {
            let value = lookup(env).filter(|value| !value.trim().is_empty());
            value
                .map(|value| value.trim().into())
                .ok_or_else(|| Missing::Variable(env.clone()))
        }
        Secret::File { file } => read(file),
    }
}

fn read(path: &str) -> Result<SecretString, Missing> {
    let failed = |source| Missing::File {
        path: path.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_SECRET_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_SECRET_BYTES {
        return Err(Missing::TooLarge(path.to_owned()));
    }
    match text.trim() {
        "" => Err(Missing::Empty(path.to_owned())),
        secret => Ok(secret.into()),
    }
}

/// The text could be the name of an environment variable.
pub fn is_variable(text: &str) -> bool {
    let starts = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn an_unset_variable_is_named_and_nothing_else_is() {
        let secret = Secret::Env {
            env: "NO_SUCH_KEY".to_owned(),
        };
        let error = resolve(&secret, |_| None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment variable NO_SUCH_KEY is not set"
        );
        assert!(resolve(&secret, |_| Some("  ".to_owned())).is_err());
    }

    #[test]
    fn a_file_over_the_limit_is_refused_and_one_within_is_trimmed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let secret = Secret::File {
            file: path.display().to_string(),
        };
        assert!(matches!(
            resolve(&secret, |_| None),
            Err(Missing::File { .. })
        ));
        fs::write(&path, vec![b'a'; 64 * 1024 + 1]).unwrap();
        assert!(matches!(
            resolve(&secret, |_| None),
            Err(Missing::TooLarge(_))
        ));
        fs::write(&path, "\n").unwrap();
        assert!(matches!(resolve(&secret, |_| None), Err(Missing::Empty(_))));
        fs::write(&path, " sk-1 \n").unwrap();
        assert_eq!(resolve(&secret, |_| None).unwrap().expose_secret(), "sk-1");
    }

    #[test]
    fn a_variable_is_read_through_the_lookup() {
        let secret = Secret::Env {
            env: "KEY".to_owned(),
        };
        let found = resolve(&secret, |name| (name == "KEY").then(|| "sk-2\n".to_owned())).unwrap();
        assert_eq!(found.expose_secret(), "sk-2");
    }
}
