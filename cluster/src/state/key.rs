//! Keys, as digests: the secret itself is shown once and never agreed on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rows::Place;
use super::{MAX_KEYS, State, bounds};
use crate::command::{Done, Rejected};

/// Most scopes of one key; two are known.
const MAX_SCOPES: usize = 16;
/// Largest digest in hexadecimal: 512 bits.
const MAX_DIGEST: usize = 128;

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

impl KeyRecord {
    /// The record as it begins, whatever the proposer wrote into the fields that only grow here.
    fn fresh(&self, clock_ms: u64) -> Self {
        KeyRecord {
            created_ms: clock_ms,
            revoked_ms: None,
            previous: None,
            ..self.clone()
        }
    }

    /// It can make other keys for as long as it is not revoked.
    fn keeps_admin_open(&self) -> bool {
        let is_admin = self.scopes.iter().any(|scope| scope == "admin");
        is_admin && self.revoked_ms.is_none() && self.expires_ms.is_none()
    }

    fn check(&self) -> Result<(), Rejected> {
        bounds::name("a key's id", &self.id, 64)?;
        let clean = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
        if !self.id.bytes().all(clean) {
            return Err(bounds::too_much("a key's id is made of A-Z a-z 0-9 _ -"));
        }
        bounds::text("a key's name", &self.name, bounds::MAX_NAME)?;
        bounds::text("a tenant", &self.tenant, bounds::MAX_NAME)?;
        check_digest(&self.digest)?;
        if self.scopes.len() > MAX_SCOPES {
            return Err(bounds::too_much(format!(
                "a key has at most {MAX_SCOPES} scopes"
            )));
        }
        self.scopes
            .iter()
            .try_for_each(|scope| bounds::name("a scope", scope, bounds::MAX_NAME))
    }
}

fn check_digest(digest: &str) -> Result<(), Rejected> {
    bounds::name("a digest", digest, MAX_DIGEST)?;
    if !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bounds::too_much("a digest is hexadecimal"));
    }
    Ok(())
}

impl State {
    pub(super) fn create_key(&mut self, record: &KeyRecord) -> Result<Done, Rejected> {
        record.check()?;
        if self.keys.contains_key(&record.id) {
            let what = format!("key {}", record.id);
            return Err(Rejected::Exists { what });
        }
        bounds::room("keys", self.keys.len(), MAX_KEYS)?;
        Ok(self.put_key(record.fresh(self.meta.clock_ms)))
    }

    /// Revoking twice is revoking once: the first time stays. The last key that can make others
    /// stays while others are in force: nobody could administer any more. That is decided here and
    /// not where it is asked for, for two such keys may be revoked through two nodes at once.
    pub(super) fn revoke_key(&mut self, id: &str) -> Result<Done, Rejected> {
        let record = self.key(id)?;
        if record.revoked_ms.is_some() {
            return Ok(Done::Key { id: id.to_owned() });
        }
        let others = || self.keys.values().filter(|other| other.id != id);
        if record.keeps_admin_open()
            && others().any(|other| other.revoked_ms.is_none())
            && !others().any(KeyRecord::keeps_admin_open)
        {
            let what = "a key in force beside this, the last one with the scope `admin` that does \
                        not expire,";
            return Err(Rejected::Exists {
                what: what.to_owned(),
            });
        }
        let mut revoked = record.clone();
        revoked.revoked_ms = Some(self.meta.clock_ms);
        revoked.previous = None;
        Ok(self.put_key(revoked))
    }

    /// A rotation to the digest in force changes nothing, so that the one before it is not lost.
    pub(super) fn rotate_key(
        &mut self,
        id: &str,
        digest: &str,
        grace_until_ms: u64,
    ) -> Result<Done, Rejected> {
        check_digest(digest)?;
        let record = self.key(id)?;
        if record.revoked_ms.is_some() {
            let what = format!("key {id} in force");
            return Err(Rejected::NotFound { what });
        }
        if record.digest == digest {
            return Ok(Done::Key { id: id.to_owned() });
        }
        let mut rotated = record.clone();
        let before = std::mem::replace(&mut rotated.digest, digest.to_owned());
        rotated.previous = Some((before, grace_until_ms));
        Ok(self.put_key(rotated))
    }

    fn key(&self, id: &str) -> Result<&KeyRecord, Rejected> {
        bounds::text("a key's id", id, 64)?;
        let missing = || Rejected::NotFound {
            what: format!("key {id}"),
        };
        self.keys.get(id).ok_or_else(missing)
    }

    fn put_key(&mut self, record: KeyRecord) -> Done {
        let id = record.id.clone();
        self.touch(&Place::Key(&id));
        Arc::make_mut(&mut self.keys).insert(id.clone(), record);
        Done::Key { id }
    }
}
