//! An entry as bytes: version, checksum, header length, JSON header, vector.
//!
//! ```text
//! 1 byte  version (1)
//! 8 bytes BLAKE3 of everything after them, cut short
//! 4 bytes length of the header, little endian
//! n bytes header, JSON
//! rest    the vector, f32 little endian; empty when the entry has none
//! ```
//! Guard features are not stored: they are read off the text again, so better guards also judge
//! older entries.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Put;
use crate::cache::answer::StoredAnswer;
use crate::cache::entry::{Entry, Meaning};
use crate::cache::guard::Features;
use crate::types::TenantId;

const VERSION: u8 = 1;
const PREFIX: usize = 1 + 8 + 4;

/// An entry read back.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) entry: Entry,
    /// The vector and the name of its space.
    pub(crate) vector: Option<(String, Arc<[f32]>)>,
}

/// The bytes are not an entry of a version we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupt;

#[derive(Serialize, Deserialize)]
struct Header {
    id: String,
    tenant: TenantId,
    tags: Vec<(String, String)>,
    partition: Option<String>,
    text: Option<String>,
    space: String,
    created: u64,
    expires: u64,
    answer: StoredAnswer,
}

/// Writes an entry.
pub(crate) fn encode(put: &Put) -> Result<Vec<u8>, serde_json::Error> {
    let entry = &put.entry;
    let header = serde_json::to_vec(&Header {
        id: entry.id.to_string(),
        tenant: entry.tenant.clone(),
        tags: entry.tags.clone(),
        partition: entry
            .meaning
            .as_ref()
            .map(|meaning| meaning.partition.to_string()),
        text: entry
            .meaning
            .as_ref()
            .map(|meaning| meaning.text.as_ref().to_owned()),
        space: put.space.as_ref().to_owned(),
        created: entry.created,
        expires: entry.expires,
        answer: StoredAnswer::clone(&entry.answer),
    })?;
    let vector = put.vector.as_deref().unwrap_or_default();
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(PREFIX + header.len() + vector.len() * 4);
    bytes.push(VERSION);
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&header);
    vector
        .iter()
        .for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
    let sum = checksum(&bytes[9..]);
    bytes[1..9].copy_from_slice(&sum);
    Ok(bytes)
}

/// Reads an entry.
pub(crate) fn decode(serial: u64, bytes: &[u8]) -> Result<Record, Corrupt> {
    let (version, rest) = bytes.split_first().ok_or(Corrupt)?;
    let (sum, body) = rest.split_first_chunk::<8>().ok_or(Corrupt)?;
    if *version != VERSION || *sum != checksum(body) {
        return Err(Corrupt);
    }
    let (length, body) = body.split_first_chunk::<4>().ok_or(Corrupt)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Corrupt)?;
    let (header, vector) = body.split_at_checked(length).ok_or(Corrupt)?;
    let header: Header = serde_json::from_slice(header).map_err(|_| Corrupt)?;
    let (numbers, rest) = vector.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(Corrupt);
    }
    let vector: Arc<[f32]> = numbers
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    let meaning = match (header.partition, header.text) {
        (Some(partition), Some(text)) => Some(Meaning {
            partition: partition.parse().map_err(|_| Corrupt)?,
            features: Arc::new(Features::of(&text)),
            text: text.into(),
        }),
        _ => None,
    };
    Ok(Record {
        entry: Entry {
            id: header.id.parse().map_err(|_| Corrupt)?,
            serial,
            tenant: header.tenant,
            tags: header.tags,
            meaning,
            created: header.created,
            expires: header.expires,
            answer: Arc::new(header.answer),
        },
        vector: (!vector.is_empty()).then_some((header.space, vector)),
    })
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    let mut sum = [0; 8];
    blake3::Hasher::new()
        .update(bytes)
        .finalize_xof()
        .fill(&mut sum);
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cache::key::{EntryId, PartitionId};
    use crate::types::Usage;

    fn put(text: &str, vector: Option<Vec<f32>>) -> Put {
        let meaning = vector.is_some().then(|| Meaning {
            partition: PartitionId([3; 16]),
            text: text.into(),
            features: Arc::new(Features::of(text)),
        });
        let entry = Entry {
            id: EntryId([1; 16]),
            serial: 5,
            tenant: "acme".into(),
            tags: vec![("k".to_owned(), text.to_owned())],
            meaning,
            created: 1,
            expires: 2,
            answer: Arc::new(StoredAnswer {
                text: text.to_owned(),
                usage: Usage::new(1, 2),
                model: "m".into(),
                shown_model: "s".to_owned(),
                created: 9,
            }),
        };
        Put {
            entry: Arc::new(entry),
            space: "space".into(),
            vector: vector.map(Into::into),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(text in ".{0,40}", vector in prop::option::of(prop::collection::vec(-1.0f32..1.0, 1..9))) {
            let put = put(&text, vector);
            let record = decode(5, &encode(&put).unwrap()).unwrap();
            prop_assert_eq!(&record.entry.answer, &put.entry.answer);
            prop_assert_eq!(record.entry.id, put.entry.id);
            prop_assert_eq!(&record.entry.tags, &put.entry.tags);
            prop_assert_eq!(record.entry.meaning.map(|m| m.text), put.entry.meaning.as_ref().map(|m| m.text.clone()));
            prop_assert_eq!(record.vector.map(|(_, v)| v), put.vector);
        }

        #[test]
        fn a_changed_or_cut_value_is_corrupt(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let good = encode(&put("question", Some(vec![0.5; 4]))).unwrap();
            let at = at.index(good.len());
            let mut changed = good.clone();
            changed[at] ^= 1 << bit;
            prop_assert!(decode(5, &changed).is_err());
            prop_assert!(decode(5, &good[..at]).is_err());
        }
    }
}
