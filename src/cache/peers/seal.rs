//! Envelopes for the way between nodes: what is inside opens for its own tenant and in its own place
//! alone, so that a node which answers with another tenant's row, by whatever mistake, has answered
//! with bytes nobody can read.
//!
//! The key of a tenant is derived from the secret the cluster's nodes share. As with rows on disk
//! (`store/vault.rs`), each envelope has 24 random bytes of salt; BLAKE3 in its key derivation mode
//! makes its key of both, used once, under nonce zero, with AES-256-GCM.

use bytes::Bytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret, SecretBox};

use super::words::Parcel;
use crate::cache::compact::Compact;
use crate::cache::entry::Entry;
use crate::cache::key::EntryId;
use crate::cache::store::{Record, plain, unplain};
use crate::types::TenantId;

const SALT: usize = 24;
const TENANT: &str = "llm-router 2026 cache: envelopes of a tenant";
const ENVELOPE: &str = "llm-router 2026 cache: key of one envelope";

/// Whose envelope.
#[derive(Clone, Copy, Debug)]
enum Whose<'a> {
    Tenant(&'a TenantId),
    Everyone,
}

/// Makes and opens envelopes.
pub(crate) struct Seals {
    secret: SecretBox<[u8; 32]>,
}

impl Seals {
    /// Envelopes between those who share the secret.
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Seals {
            secret: SecretBox::new(Box::new(*secret)),
        }
    }

    /// An entry in its envelope.
    pub(crate) fn pack(
        &self,
        entry: &Entry,
        space: &str,
        vector: Option<&Compact>,
    ) -> Option<Parcel> {
        let mut parcel = Parcel {
            entry: entry.id,
            partition: entry.meaning.as_ref().map(|meaning| meaning.partition),
            shared: entry.witness.is_some(),
            tenant: entry.tenant.clone(),
            sealed: Bytes::new(),
        };
        let plain = plain(entry, space, vector)?;
        parcel.sealed = self.seal(whose(&parcel), &place(&parcel), plain)?;
        Some(parcel)
    }

    /// The entry in an envelope, if it is what it says outside. It has no serial yet.
    pub(crate) fn unpack(&self, parcel: &Parcel) -> Option<Record> {
        let plain = self.open(whose(parcel), &place(parcel), &parcel.sealed)?;
        let record = unplain((parcel.entry, parcel.partition), 0, &plain)?;
        let entry = &record.entry;
        let as_said = entry.tenant == parcel.tenant && entry.witness.is_some() == parcel.shared;
        as_said.then_some(record)
    }

    /// The same for one who asked: the envelope must be this tenant's, or everyone's where that was
    /// asked for.
    pub(crate) fn unpack_for(
        &self,
        tenant: &TenantId,
        everyone: bool,
        parcel: &Parcel,
    ) -> Option<Record> {
        let meant = parcel.shared == everyone && (everyone || parcel.tenant == *tenant);
        meant.then(|| self.unpack(parcel)).flatten()
    }

    /// Seals a piece of the answer to this request of a tenant.
    pub(crate) fn seal_piece(
        &self,
        (tenant, entry): (&TenantId, EntryId),
        plain: Vec<u8>,
    ) -> Option<Bytes> {
        self.seal(Whose::Tenant(tenant), &entry.0, plain)
    }

    /// Opens what [`Seals::seal_piece`] sealed.
    pub(crate) fn open_piece(
        &self,
        (tenant, entry): (&TenantId, EntryId),
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        self.open(Whose::Tenant(tenant), &entry.0, sealed)
    }

    fn seal(&self, whose: Whose<'_>, clear: &[u8], mut plain: Vec<u8>) -> Option<Bytes> {
        let salt: [u8; SALT] = rand::random();
        self.key(whose, &salt)?
            .seal_in_place_append_tag(once(), Aad::from(clear), &mut plain)
            .ok()?;
        plain.splice(0..0, salt);
        Some(plain.into())
    }

    fn open(&self, whose: Whose<'_>, clear: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (salt, sealed) = sealed.split_first_chunk::<SALT>()?;
        let mut bytes = sealed.to_vec();
        let length = self
            .key(whose, salt)?
            .open_in_place(once(), Aad::from(clear), &mut bytes)
            .ok()?
            .len();
        bytes.truncate(length);
        Some(bytes)
    }

    fn key(&self, whose: Whose<'_>, salt: &[u8; SALT]) -> Option<LessSafeKey> {
        let mut tenant = blake3::Hasher::new_derive_key(TENANT);
        tenant.update(self.secret.expose_secret());
        match whose {
            Whose::Everyone => _ = tenant.update(&[0]),
            Whose::Tenant(name) => _ = tenant.update(&[1]).update(name.as_str().as_bytes()),
        }
        let mut envelope = blake3::Hasher::new_derive_key(ENVELOPE);
        envelope.update(tenant.finalize().as_bytes()).update(salt);
        let key = UnboundKey::new(&AES_256_GCM, envelope.finalize().as_bytes()).ok()?;
        Some(LessSafeKey::new(key))
    }
}

fn whose(parcel: &Parcel) -> Whose<'_> {
    match parcel.shared {
        true => Whose::Everyone,
        false => Whose::Tenant(&parcel.tenant),
    }
}

/// What stands outside is authenticated with what is inside.
fn place(parcel: &Parcel) -> Vec<u8> {
    let mut bytes = parcel.entry.0.to_vec();
    bytes.push(u8::from(parcel.partition.is_some()));
    bytes.extend_from_slice(&parcel.partition.map_or([0; 16], |partition| partition.0));
    bytes.push(u8::from(parcel.shared));
    bytes.extend_from_slice(parcel.tenant.as_str().as_bytes());
    bytes
}

/// The nonce of a key that seals one envelope and nothing else.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::key::PartitionId;

    #[test]
    fn an_envelope_opens_for_its_own_tenant_in_its_own_place_alone() {
        let seals = Seals::new(&[7; 32]);
        let entry = Entry::plain(1, "acme");
        let vector = Compact::of(&[0.6, 0.8]);
        let parcel = seals.pack(&entry, "space", Some(&vector)).unwrap();
        let back = seals.unpack_for(&"acme".into(), false, &parcel).unwrap();
        assert_eq!(back.entry.answer, entry.answer);
        assert_eq!(back.vector, Some(("space".to_owned(), vector)));
        assert!(seals.unpack_for(&"other".into(), false, &parcel).is_none());
        assert!(seals.unpack_for(&"acme".into(), true, &parcel).is_none());
        let relabelled = |change: fn(&mut Parcel)| {
            let mut other = parcel.clone();
            change(&mut other);
            seals.unpack(&other)
        };
        assert!(relabelled(|p| p.tenant = "other".into()).is_none());
        assert!(relabelled(|p| p.shared = true).is_none());
        assert!(relabelled(|p| p.entry = EntryId([9; 16])).is_none());
        assert!(relabelled(|p| p.partition = Some(PartitionId([0; 16]))).is_none());
        assert!(relabelled(|p| p.sealed = p.sealed.slice(1..)).is_none());
        assert!(
            Seals::new(&[8; 32]).unpack(&parcel).is_none(),
            "another cluster's"
        );
    }
}
