//! Keys, as digests: the secret itself is shown once and never agreed on.

use serde::{Deserialize, Serialize};

/// A key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Public part of the key, by which it is found. 1 to 64 characters of `[A-Za-z0-9_-]`.
    pub id: String,
    /// For people. At most 128 bytes.
    pub name: String,
    /// Who pays. At most 128 bytes.
    pub tenant: String,
    /// Digest of the secret, hexadecimal.
    pub digest: String,
    /// What it may do: `use`, `admin`.
    pub scopes: Vec<String>,
    /// The agreed clock when it was made, in milliseconds.
    #[serde(default)]
    pub created_ms: u64,
    /// Refused after this wall-clock time, in milliseconds.
    #[serde(default)]
    pub expires_ms: Option<u64>,
    /// Refused since then; kept so that its id is never used again.
    #[serde(default)]
    pub revoked_ms: Option<u64>,
    /// The digest before the last rotation, and until when it is taken.
    #[serde(default)]
    pub previous: Option<(String, u64)>,
    /// How long a node that hears of no leader still takes it, in seconds.
    #[serde(default)]
    pub valid_without_quorum_s: u64,
}
