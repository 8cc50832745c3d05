//! A key as it is shown: everything but its secret, which is shown once.

use std::fmt;

use llm_router_cluster::state::KeyRecord;
use serde::Serialize;

use super::text::KeyText;

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyShown {
    /// By which it is found; the part of a key between the first two underscores.
    pub id: String,
    /// For people.
    pub name: String,
    /// Who pays.
    pub tenant: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// `active`, `expired` or `revoked`.
    pub state: &'static str,
    /// Wall-clock milliseconds when it was made.
    pub created_ms: u64,
    /// Refused from then on.
    pub expires_ms: Option<u64>,
    /// Refused since then.
    pub revoked_ms: Option<u64>,
    /// Until when the secret before the last rotation is taken.
    pub previous_until_ms: Option<u64>,
    /// How long a node that hears of no leader takes it, in seconds.
    pub valid_without_quorum_s: u64,
}

impl KeyShown {
    /// A record at this wall-clock time.
    pub(super) fn of(record: &KeyRecord, now_ms: u64) -> Self {
        let state = match (record.revoked_ms, record.expires_ms) {
            (Some(_), _) => "revoked",
            (None, Some(end)) if end <= now_ms => "expired",
            (None, _) => "active",
        };
        let previous = record.previous.as_ref().map(|(_, until)| *until);
        KeyShown {
            id: record.id.clone(),
            name: record.name.clone(),
            tenant: record.tenant.clone(),
            scopes: record.scopes.clone(),
            state,
            created_ms: record.created_ms,
            expires_ms: record.expires_ms,
            revoked_ms: record.revoked_ms,
            previous_until_ms: previous.filter(|until| *until > now_ms),
            valid_without_quorum_s: record.valid_without_quorum_s,
        }
    }
}

/// A key that was just made, or got another secret.
#[derive(Serialize)]
pub struct Made {
    /// The key itself; it cannot be shown again.
    #[serde(serialize_with = "exposed")]
    key: KeyText,
    /// What is known of it from now on.
    #[serde(flatten)]
    shown: KeyShown,
}

fn exposed<S: serde::Serializer>(key: &KeyText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose())
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Made").field(&self.shown).finish()
    }
}

impl Made {
    pub(super) fn new(key: KeyText, shown: KeyShown) -> Self {
        Made { key, shown }
    }

    /// The key itself, to be handed to its owner.
    pub fn text(&self) -> &str {
        self.key.expose()
    }

    /// What is known of it.
    pub fn shown(&self) -> &KeyShown {
        &self.shown
    }
}
