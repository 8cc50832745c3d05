//! The state as stored rows. A data format: its changes get their own commit prefix.
//!
//! ```text
//! breaker/<target>        centroids/<space>     config/<revision, 8 bytes big-endian>
//! epoch/<scope>           key/<id>              member/<number, 8 bytes big-endian>
//! meta/state              request/<number, 8 bytes big-endian>
//! ```
//!
//! A value is one byte for the format, 1, and then JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cache::Cells;
use super::{BadRow, ConfigRevision, KeyRecord, MemberRecord, Row, State, TargetId};
use crate::identity::{MemberId, Revision};

/// How a value is laid out.
const FORMAT: u8 = 1;

/// What is not in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// The cluster's id once it began.
    pub(super) cluster: Option<String>,
    /// The largest time a command carried.
    pub(super) clock_ms: u64,
    /// The highest member number ever given.
    pub(super) last_member: MemberId,
    /// The highest epoch of a breaker that was forgotten.
    pub(super) forgotten_epoch: u64,
    /// How often cached answers were called off, in whatever scope.
    #[serde(default)]
    pub(super) cache_epoch: u64,
    /// The latest epoch whose scope was forgotten: answers as old as that are off whatever they are.
    #[serde(default)]
    pub(super) cache_floor: u64,
}

/// A row's place.
pub(super) enum Place<'a> {
    Meta,
    Breaker(&'a TargetId),
    Centroids(&'a str),
    Config(Revision),
    Epoch(&'a str),
    Key(&'a str),
    Member(MemberId),
    Request(u64),
}

impl Place<'_> {
    fn key(&self) -> Vec<u8> {
        match self {
            Place::Meta => b"meta/state".to_vec(),
            Place::Breaker(target) => named("breaker/", &target.0),
            Place::Centroids(space) => named("centroids/", space),
            Place::Config(revision) => numbered("config/", revision.0),
            Place::Epoch(scope) => named("epoch/", scope),
            Place::Key(id) => named("key/", id),
            Place::Member(member) => numbered("member/", member.0),
            Place::Request(number) => numbered("request/", *number),
        }
    }
}

fn named(table: &str, name: &str) -> Vec<u8> {
    [table.as_bytes(), name.as_bytes()].concat()
}

fn numbered(table: &str, number: u64) -> Vec<u8> {
    [table.as_bytes(), &number.to_be_bytes()].concat()
}

/// A value as stored.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    let written = serde_json::to_writer(&mut bytes, value);
    debug_assert!(written.is_ok(), "every row has a JSON form");
    bytes
}

/// A stored value back again, or what is wrong with it.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match bytes {
        [FORMAT, body @ ..] => serde_json::from_slice(body).map_err(|error| error.to_string()),
        [other, ..] => Err(format!("unknown format {other}")),
        [] => Err("it is empty".to_owned()),
    }
}

/// Tables by name, their keys apart from the name.
fn split(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = key.iter().position(|byte| *byte == b'/')?;
    Some((&key[..slash], &key[slash + 1..]))
}

fn number(key: &[u8]) -> Result<u64, String> {
    let bytes = key.try_into().map_err(|_| "its number has not 8 bytes")?;
    Ok(u64::from_be_bytes(bytes))
}

fn text(key: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(key).map_err(|error| error.to_string())
}

/// The name in the key and the one in the value have to agree.
fn agree<T: PartialEq>(key: &T, value: &T) -> Result<(), String> {
    if key == value {
        Ok(())
    } else {
        Err("it belongs under another key".to_owned())
    }
}

impl State {
    pub(super) fn touch(&mut self, place: &Place<'_>) {
        self.touched.insert(place.key());
    }

    /// Rows that changed since this was last called, in key order; a row changed twice is told once.
    pub fn changes(&mut self) -> Vec<Row> {
        let touched = std::mem::take(&mut self.touched);
        let row = |key: Vec<u8>| Row {
            value: self.value(&key),
            key,
        };
        touched.into_iter().map(row).collect()
    }

    /// All rows, in key order.
    pub fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        let mut put = |place: Place<'_>, value: Vec<u8>| rows.push((place.key(), value));
        for (target, record) in &*self.breakers {
            put(Place::Breaker(target), encode(record));
        }
        for (space, cells) in &*self.centroids {
            put(Place::Centroids(space), encode(&**cells));
        }
        for kept in &self.config.revisions {
            put(Place::Config(kept.revision), encode(&**kept));
        }
        for (scope, epoch) in &*self.epochs {
            put(Place::Epoch(scope), encode(epoch));
        }
        for (id, record) in &*self.keys {
            put(Place::Key(id), encode(record));
        }
        for (member, record) in &*self.members {
            put(Place::Member(*member), encode(record));
        }
        if self.meta != Meta::default() {
            put(Place::Meta, encode(&self.meta));
        }
        for (number, value) in self.remembered.iter() {
            put(Place::Request(number), value.to_vec());
        }
        rows
    }

    /// The state made of these rows, in whatever order.
    ///
    /// # Errors
    /// [`BadRow`] for a row of an unknown table or one that cannot be read.
    pub fn from_rows(rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Self, BadRow> {
        let mut state = State::default();
        let mut numbered = Numbered::default();
        for (key, value) in rows {
            state
                .restore(&mut numbered, &key, value)
                .map_err(|problem| bad(&key, problem))?;
        }
        state.config.revisions = numbered.revisions.into_values().collect();
        for (number, value) in numbered.requests {
            state
                .remembered
                .restore(number, value)
                .map_err(|problem| bad(&Place::Request(number).key(), problem))?;
        }
        Ok(state)
    }

    /// SHA-256 over all rows: equal on nodes that agree.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (key, value) in self.rows() {
            for part in [key, value] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        hash.finalize().into()
    }

    fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        let (table, name) = split(key)?;
        let named = || text(name).ok();
        let numbered = || number(name).ok();
        match table {
            b"breaker" => self
                .breakers
                .get(&TargetId(named()?.to_owned()))
                .map(encode),
            b"centroids" => self.centroids.get(named()?).map(|cells| encode(&**cells)),
            b"config" => self.config.get(Revision(numbered()?)).map(encode),
            b"epoch" => self.epochs.get(named()?).map(encode),
            b"key" => self.keys.get(named()?).map(encode),
            b"member" => self.members.get(&MemberId(numbered()?)).map(encode),
            b"meta" => (self.meta != Meta::default()).then(|| encode(&self.meta)),
            b"request" => self.remembered.value(numbered()?).map(<[u8]>::to_vec),
            _ => None,
        }
    }

    fn restore(
        &mut self,
        numbered: &mut Numbered,
        key: &[u8],
        value: Vec<u8>,
    ) -> Result<(), String> {
        let (table, name) = split(key).ok_or("it is of no table")?;
        let fresh = match table {
            b"breaker" => {
                let target = TargetId(text(name)?.to_owned());
                Arc::make_mut(&mut self.breakers)
                    .insert(target, decode(&value)?)
                    .is_none()
            }
            b"centroids" => {
                let cells: Cells = decode(&value)?;
                let space = text(name)?;
                agree(&space, &cells.centroids.space.as_str())?;
                let spaces = Arc::make_mut(&mut self.centroids);
                spaces.insert(space.to_owned(), Arc::new(cells)).is_none()
            }
            b"config" => {
                let kept: ConfigRevision = decode(&value)?;
                agree(&number(name)?, &kept.revision.0)?;
                numbered
                    .revisions
                    .insert(kept.revision, Arc::new(kept))
                    .is_none()
            }
            b"epoch" => {
                let scope = text(name)?.to_owned();
                Arc::make_mut(&mut self.epochs)
                    .insert(scope, decode(&value)?)
                    .is_none()
            }
            b"key" => {
                let record: KeyRecord = decode(&value)?;
                agree(&text(name)?, &record.id.as_str())?;
                Arc::make_mut(&mut self.keys)
                    .insert(record.id.clone(), record)
                    .is_none()
            }
            b"member" => {
                let record: MemberRecord = decode(&value)?;
                agree(&number(name)?, &record.member.0)?;
                Arc::make_mut(&mut self.members)
                    .insert(record.member, record)
                    .is_none()
            }
            b"meta" if name == b"state" => {
                let before = std::mem::replace(&mut self.meta, decode(&value)?);
                before == Meta::default()
            }
            b"request" => numbered.requests.insert(number(name)?, value).is_none(),
            _ => return Err("it is of no table this program knows".to_owned()),
        };
        if fresh {
            Ok(())
        } else {
            Err("it is there twice".to_owned())
        }
    }
}

/// Rows whose order matters, until all are there.
#[derive(Default)]
struct Numbered {
    revisions: BTreeMap<Revision, Arc<ConfigRevision>>,
    requests: BTreeMap<u64, Vec<u8>>,
}

fn bad(key: &[u8], problem: String) -> BadRow {
    BadRow {
        key: key.escape_ascii().to_string(),
        problem,
    }
}
