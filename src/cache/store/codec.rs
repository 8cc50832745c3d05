//! An entry as bytes: who may read it and where it belongs in the clear, all else sealed.
//!
//! ```text
//!  1 byte   version (3)
//!  1 byte   number of data keys (1, or 3 for a row all tenants share)
//! 16 bytes  name of each data key
//! 16 bytes  entry
//!  1 byte   1 when it has a partition, else 0
//! 16 bytes  partition, or zeros
//! 24 bytes  salt
//! rest      sealed: 4 bytes length of the header (little endian), header (JSON), vector (half
//!           precision, little endian; empty when the entry has none), 16 bytes tag
//! ```
//! Everything before the salt, and the row's serial, is authenticated with the sealed part: a row
//! that is moved to another serial, partition, entry or tenant does not open.
//!
//! Rows of version 1 were not sealed, those of version 2 are not told from which cache epoch they
//! are. Both are dropped when they are found: a cache loses nothing by it but hits.
//!
//! What is sealed here is also what nodes send each other, sealed for the way under other keys.
//!
//! Guard features are not stored: they are read off the text again, so better guards also judge
//! older entries.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Put;
use super::vault::{KeyId, Owner, SALT, Sealed, Vault};
use crate::cache::answer::StoredAnswer;
use crate::cache::compact::Compact;
use crate::cache::entry::{Entry, Meaning};
use crate::cache::guard::Features;
use crate::cache::key::{EntryId, PartitionId};
use crate::types::TenantId;

const VERSION: u8 = 3;
/// Versions that are not read any more.
pub(super) const OUTDATED: std::ops::RangeInclusive<u8> = 1..=2;

/// An entry read back.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) entry: Entry,
    /// The vector and the name of its space.
    pub(crate) vector: Option<(String, Compact)>,
}

/// The bytes are not an entry of this version in its own place, or its key is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupt;

impl From<Sealed> for Corrupt {
    fn from(_: Sealed) -> Self {
        Corrupt
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    tenant: TenantId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    witness: Option<TenantId>,
    tags: Vec<(String, String)>,
    text: Option<String>,
    space: String,
    epoch: u64,
    created: u64,
    expires: u64,
    answer: StoredAnswer,
}

/// The names of the data keys an entry is sealed with.
pub(super) fn key_ids(entry: &Entry, vault: &Vault) -> Vec<KeyId> {
    owners(&entry.tenant, entry.witness.as_ref())
        .into_iter()
        .map(|owner| vault.id(owner))
        .collect()
}

fn owners<'a>(tenant: &'a TenantId, witness: Option<&'a TenantId>) -> Vec<Owner<'a>> {
    match witness {
        None => vec![Owner::Tenant(tenant)],
        Some(witness) => vec![
            Owner::Everyone,
            Owner::Tenant(tenant),
            Owner::Tenant(witness),
        ],
    }
}

/// What is sealed: everything of an entry but its ids. With room for a tag.
pub(crate) fn plain(entry: &Entry, space: &str, vector: Option<&Compact>) -> Option<Vec<u8>> {
    let header = serde_json::to_vec(&Header {
        tenant: entry.tenant.clone(),
        witness: entry.witness.clone(),
        tags: entry.tags.clone(),
        text: entry
            .meaning
            .as_ref()
            .map(|meaning| meaning.text.as_ref().to_owned()),
        space: space.to_owned(),
        epoch: entry.epoch,
        created: entry.created,
        expires: entry.expires,
        answer: StoredAnswer::clone(&entry.answer),
    })
    .ok()?;
    let length = u32::try_from(header.len()).ok()?;
    let numbers = vector.map_or(0, Compact::len);
    let mut plain = Vec::with_capacity(4 + header.len() + numbers * 2 + 16);
    plain.extend_from_slice(&length.to_le_bytes());
    plain.extend_from_slice(&header);
    if let Some(vector) = vector {
        vector.write(&mut plain);
    }
    Some(plain)
}

/// Reads what [`plain`] wrote.
pub(crate) fn unplain(
    (id, partition): (EntryId, Option<PartitionId>),
    serial: u64,
    plain: &[u8],
) -> Option<Record> {
    let (length, body) = plain.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (header, vector) = body.split_at_checked(length)?;
    let header: Header = serde_json::from_slice(header).ok()?;
    record(serial, id, partition, (header, vector))
}

/// Writes an entry. Its data keys must be in the vault.
pub(crate) fn encode(put: &Put, vault: &Vault) -> Result<Vec<u8>, Corrupt> {
    let entry = &put.entry;
    let plain = plain(entry, &put.space, put.vector.as_ref()).ok_or(Corrupt)?;
    let ids = key_ids(entry, vault);
    let partition = entry.meaning.as_ref().map(|meaning| meaning.partition);
    let mut bytes = clear(&ids, entry.id, partition);
    let (salt, sealed) = vault.seal(&ids, &bound(entry.serial, &bytes), plain)?;
    bytes.extend_from_slice(&salt);
    bytes.extend_from_slice(&sealed);
    Ok(bytes)
}

fn clear(ids: &[KeyId], entry: EntryId, partition: Option<PartitionId>) -> Vec<u8> {
    let mut bytes = vec![VERSION, u8::try_from(ids.len()).unwrap_or(u8::MAX)];
    ids.iter().for_each(|id| bytes.extend_from_slice(&id.0));
    bytes.extend_from_slice(&entry.0);
    bytes.push(u8::from(partition.is_some()));
    bytes.extend_from_slice(&partition.map_or([0; 16], |partition| partition.0));
    bytes
}

/// What is authenticated: the row's place and everything it says in the clear.
fn bound(serial: u64, clear: &[u8]) -> Vec<u8> {
    let mut bytes = serial.to_be_bytes().to_vec();
    bytes.extend_from_slice(clear);
    bytes
}

/// Reads an entry.
pub(crate) fn decode(serial: u64, bytes: &[u8], vault: &Vault) -> Result<Record, Corrupt> {
    let (&[version, count], rest) = bytes.split_first_chunk::<2>().ok_or(Corrupt)?;
    if version != VERSION || !matches!(count, 1 | 3) {
        return Err(Corrupt);
    }
    let (names, rest) = rest
        .split_at_checked(usize::from(count) * 16)
        .ok_or(Corrupt)?;
    let ids: Vec<KeyId> = names
        .as_chunks::<16>()
        .0
        .iter()
        .copied()
        .map(KeyId)
        .collect();
    let (id, rest) = rest.split_first_chunk::<16>().ok_or(Corrupt)?;
    let (&flag, rest) = rest.split_first().ok_or(Corrupt)?;
    let (partition, rest) = rest.split_first_chunk::<16>().ok_or(Corrupt)?;
    let (salt, sealed) = rest.split_first_chunk::<SALT>().ok_or(Corrupt)?;
    let partition = (flag == 1).then_some(PartitionId(*partition));
    let clear = clear(&ids, EntryId(*id), partition);
    let mut sealed = sealed.to_vec();
    let plain = vault.open(&ids, &bound(serial, &clear), salt, &mut sealed)?;
    let record = unplain((EntryId(*id), partition), serial, plain).ok_or(Corrupt)?;
    let owners = owners(&record.entry.tenant, record.entry.witness.as_ref());
    if !owners.into_iter().map(|owner| vault.id(owner)).eq(ids) {
        return Err(Corrupt);
    }
    Ok(record)
}

fn record(
    serial: u64,
    id: EntryId,
    partition: Option<PartitionId>,
    (header, vector): (Header, &[u8]),
) -> Option<Record> {
    if partition.is_some() != header.text.is_some() {
        return None;
    }
    let vector = match vector {
        [] => None,
        bytes => Some((header.space, Compact::read(bytes)?)),
    };
    let meaning = partition.zip(header.text).map(|(partition, text)| Meaning {
        partition,
        features: Arc::new(Features::of(&text)),
        text: text.into(),
    });
    Some(Record {
        entry: Entry {
            id,
            serial,
            tenant: header.tenant,
            witness: header.witness,
            tags: header.tags,
            meaning,
            epoch: header.epoch,
            created: header.created,
            expires: header.expires,
            borrowed: false,
            answer: Arc::new(header.answer),
        },
        vector,
    })
}

#[cfg(test)]
mod tests;
