//! The keys of what is on disk: one random data key per tenant, one for what all tenants share.
//!
//! A data key is kept wrapped (AES-256-GCM) under a key derived from the node's secret, in a column
//! family of its own. Deleting it there is what deletes a tenant: his rows, copies and backups of
//! the value files included, stay what they are, unreadable bytes.
//!
//! No row key is used twice. Each row has 24 random bytes of salt; its key is BLAKE3 (in its key
//! derivation mode) of the data keys and the salt, and seals that one row under nonce zero
//! (AES-256-GCM, authenticated data as given). Two of 2⁶⁴ rows share a salt with a chance of about
//! 2⁻⁶⁵, so the number of rows under a data key needs no further bound.
//!
//! A row that all tenants share is sealed under three data keys at once, the shared one and those
//! of the two tenants who agreed on it, so that deleting either of them deletes it too.

use std::collections::HashMap;
use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret, SecretBox};

use crate::types::TenantId;

/// Most data keys; rows of further tenants stay in memory. A key takes about 100 bytes.
pub(crate) const MAX_KEYS: usize = 262_144;
/// Bytes of a row's salt.
pub(super) const SALT: usize = 24;

const WRAPPING: &str = "llm-router 2026 cache: key that wraps data keys";
const ROW: &str = "llm-router 2026 cache: key of one row";
const NAMES: &str = "llm-router 2026 cache: names of data keys";

/// What cannot be opened: damaged, moved, or its key is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed;

/// Whose key is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    /// One tenant.
    Tenant(&'a TenantId),
    /// All of them.
    Everyone,
}

/// The name of a data key on disk; says nothing about the tenant to who lacks the node's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct KeyId(pub(super) [u8; 16]);

/// The data keys in use.
pub(crate) struct Vault {
    wrapping: LessSafeKey,
    names: SecretBox<[u8; 32]>,
    keys: HashMap<KeyId, SecretBox<[u8; 32]>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({} data keys)", self.keys.len())
    }
}

impl Vault {
    /// An empty vault under the node's secret.
    pub(crate) fn new(secret: &[u8; 32]) -> Result<Self, Sealed> {
        let names = Box::new(blake3::derive_key(NAMES, secret));
        Ok(Vault {
            wrapping: cipher(&blake3::derive_key(WRAPPING, secret))?,
            names: SecretBox::new(names),
            keys: HashMap::new(),
        })
    }

    /// The name of an owner's data key.
    pub(crate) fn id(&self, owner: Owner<'_>) -> KeyId {
        let mut hasher = blake3::Hasher::new_keyed(self.names.expose_secret());
        match owner {
            Owner::Tenant(tenant) => hasher.update(b"tenant ").update(tenant.as_str().as_bytes()),
            Owner::Everyone => hasher.update(b"everyone"),
        };
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        KeyId(id)
    }

    /// Makes a data key unless there is one. Returns it wrapped when it is new, to be written
    /// before anything is sealed with it.
    pub(crate) fn ensure(&mut self, id: KeyId) -> Result<Option<Vec<u8>>, Sealed> {
        if self.keys.contains_key(&id) {
            return Ok(None);
        }
        if self.keys.len() >= MAX_KEYS {
            return Err(Sealed);
        }
        let key: [u8; 32] = rand::random();
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut wrapped = key.to_vec();
        let bound = Nonce::assume_unique_for_key(nonce);
        self.wrapping
            .seal_in_place_append_tag(bound, Aad::from(id.0), &mut wrapped)
            .map_err(|_| Sealed)?;
        wrapped.splice(0..0, nonce);
        self.keys.insert(id, SecretBox::new(Box::new(key)));
        Ok(Some(wrapped))
    }

    /// Takes in a data key read from disk.
    pub(crate) fn unwrap(&mut self, id: KeyId, wrapped: &[u8]) -> Result<(), Sealed> {
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or(Sealed)?;
        let mut bytes = sealed.to_vec();
        let key = self
            .wrapping
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(id.0),
                &mut bytes,
            )
            .map_err(|_| Sealed)?;
        let key = <[u8; 32]>::try_from(&*key).map_err(|_| Sealed)?;
        self.keys.insert(id, SecretBox::new(Box::new(key)));
        Ok(())
    }

    /// Forgets a data key.
    pub(crate) fn forget(&mut self, id: KeyId) {
        self.keys.remove(&id);
    }

    /// The names of all data keys.
    pub(crate) fn ids(&self) -> Vec<KeyId> {
        self.keys.keys().copied().collect()
    }

    /// Seals `plain` under all the named keys and a fresh salt; `clear` is authenticated with it.
    pub(super) fn seal(
        &self,
        ids: &[KeyId],
        clear: &[u8],
        mut plain: Vec<u8>,
    ) -> Result<([u8; SALT], Vec<u8>), Sealed> {
        let salt: [u8; SALT] = rand::random();
        self.row_key(ids, &salt)?
            .seal_in_place_append_tag(once(), Aad::from(clear), &mut plain)
            .map_err(|_| Sealed)?;
        Ok((salt, plain))
    }

    /// Opens what [`Vault::seal`] sealed with the same keys and the same `clear`.
    pub(super) fn open<'a>(
        &self,
        ids: &[KeyId],
        clear: &[u8],
        salt: &[u8; SALT],
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8], Sealed> {
        let opened = self
            .row_key(ids, salt)?
            .open_in_place(once(), Aad::from(clear), sealed);
        opened.map(|plain| &*plain).map_err(|_| Sealed)
    }

    fn row_key(&self, ids: &[KeyId], salt: &[u8; SALT]) -> Result<LessSafeKey, Sealed> {
        let mut hasher = blake3::Hasher::new_derive_key(ROW);
        for id in ids {
            hasher.update(self.keys.get(id).ok_or(Sealed)?.expose_secret());
        }
        cipher(hasher.update(salt).finalize().as_bytes())
    }
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, Sealed> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| Sealed)?;
    Ok(LessSafeKey::new(key))
}

/// The nonce of a key that seals one row and nothing else.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::new(&[7; 32]).unwrap()
    }

    #[test]
    fn a_row_opens_under_its_own_keys_and_its_own_place_alone() {
        let mut vault = vault();
        let [acme, other, everyone] = [
            Owner::Tenant(&"acme".into()),
            Owner::Tenant(&"everyone".into()),
            Owner::Everyone,
        ]
        .map(|owner| vault.id(owner));
        for id in [acme, other, everyone] {
            assert!(vault.ensure(id).unwrap().is_some());
            assert!(vault.ensure(id).unwrap().is_none());
        }
        let (salt, sealed) = vault.seal(&[acme], b"place", b"text".to_vec()).unwrap();
        let open = |ids: &[KeyId], place: &[u8]| {
            let mut bytes = sealed.clone();
            vault
                .open(ids, place, &salt, &mut bytes)
                .map(<[u8]>::to_vec)
        };
        assert_eq!(open(&[acme], b"place").unwrap(), b"text");
        for (ids, place) in [
            (&[other][..], &b"place"[..]),
            (&[everyone], b"place"),
            (&[acme, everyone], b"place"),
            (&[acme], b"plane"),
            (&[], b"place"),
        ] {
            assert_eq!(open(ids, place), Err(Sealed));
        }
        assert!(!sealed.windows(4).any(|part| part == b"text"));
    }

    #[test]
    fn a_wrapped_key_is_no_use_to_another_node_tenant_or_after_damage() {
        let mut first = vault();
        let id = first.id(Owner::Tenant(&"acme".into()));
        let wrapped = first.ensure(id).unwrap().unwrap();
        let (salt, sealed) = first.seal(&[id], b"", b"text".to_vec()).unwrap();
        let mut again = vault();
        assert_eq!(again.id(Owner::Tenant(&"acme".into())), id);
        again.unwrap(id, &wrapped).unwrap();
        assert_eq!(
            again.open(&[id], b"", &salt, &mut sealed.clone()),
            Ok(&b"text"[..])
        );
        let mut foreign = Vault::new(&[8; 32]).unwrap();
        assert!(foreign.unwrap(id, &wrapped).is_err());
        assert!(again.unwrap(KeyId([1; 16]), &wrapped).is_err());
        assert!(again.unwrap(id, &wrapped[1..]).is_err());
        assert!(again.unwrap(id, b"").is_err());
    }

    #[test]
    fn a_row_of_everyone_needs_the_keys_of_both_who_agreed() {
        let mut vault = vault();
        let ids = [
            vault.id(Owner::Everyone),
            vault.id(Owner::Tenant(&"a".into())),
            vault.id(Owner::Tenant(&"b".into())),
        ];
        for id in ids {
            vault.ensure(id).unwrap();
        }
        let (salt, sealed) = vault.seal(&ids, b"", b"text".to_vec()).unwrap();
        assert!(vault.open(&ids, b"", &salt, &mut sealed.clone()).is_ok());
        vault.forget(ids[2]);
        vault.ensure(ids[2]).unwrap();
        assert!(vault.open(&ids, b"", &salt, &mut sealed.clone()).is_err());
    }
}
