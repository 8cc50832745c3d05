//! Between the cache's own terms and the generated ones. Outward cannot fail; inward names the field
//! that makes no sense.

use bytes::Bytes;
use llm_router_proto::llm_router::cluster::v1;
use tonic::Status;
use v1::fly_reply::Word as ReplyWord;
use v1::fly_request::Word as RequestWord;

use crate::cache::compact::Compact;
use crate::cache::key::{EntryId, PartitionId};
use crate::cache::peers::words::{
    Ask, Compared, FlyAsk, FlyWord, Group, Kept, Offered, Parcel, Sampled, Seen, Stand, Told,
    Wanted,
};
use crate::types::Priority;

/// Most entries of one call.
const MAX_ENTRIES: usize = 4096;
/// Most groups of one comparison: all cells over a month.
const MAX_GROUPS: usize = 256 * 24 * 31;
/// Most bytes of a tenant's or a space's name.
const MAX_NAME: usize = 256;
/// Most numbers of a vector.
const MAX_DIMENSIONS: usize = 8192;

/// A message that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{field} {problem}")]
pub(crate) struct Bad {
    field: &'static str,
    problem: &'static str,
}

const fn bad(field: &'static str, problem: &'static str) -> Bad {
    Bad { field, problem }
}

impl From<Bad> for Status {
    fn from(bad: Bad) -> Self {
        Status::invalid_argument(bad.to_string())
    }
}

fn id(bytes: &[u8], field: &'static str) -> Result<[u8; 16], Bad> {
    bytes.try_into().map_err(|_| bad(field, "is not 16 bytes"))
}

fn id_or_none(bytes: &[u8], field: &'static str) -> Result<Option<[u8; 16]>, Bad> {
    match bytes {
        [] => Ok(None),
        bytes => id(bytes, field).map(Some),
    }
}

fn name(text: String, field: &'static str) -> Result<String, Bad> {
    if text.len() > MAX_NAME {
        return Err(bad(field, "is too long"));
    }
    Ok(text)
}

fn bytes_of(vector: &Compact) -> Bytes {
    let mut bytes = Vec::new();
    vector.write(&mut bytes);
    bytes.into()
}

fn out(id: [u8; 16]) -> Bytes {
    Bytes::copy_from_slice(&id)
}

fn out_or_empty(id: Option<[u8; 16]>) -> Bytes {
    id.map_or_else(Bytes::new, out)
}

impl From<Parcel> for v1::Parcel {
    fn from(parcel: Parcel) -> Self {
        v1::Parcel {
            entry: out(parcel.entry.0),
            partition: out_or_empty(parcel.partition.map(|partition| partition.0)),
            shared: parcel.shared,
            tenant: parcel.tenant.to_string(),
            sealed: parcel.sealed,
        }
    }
}

impl TryFrom<v1::Parcel> for Parcel {
    type Error = Bad;

    fn try_from(parcel: v1::Parcel) -> Result<Self, Bad> {
        Ok(Parcel {
            entry: EntryId(id(&parcel.entry, "parcel.entry")?),
            partition: id_or_none(&parcel.partition, "parcel.partition")?.map(PartitionId),
            shared: parcel.shared,
            tenant: name(parcel.tenant, "parcel.tenant")?.into(),
            sealed: parcel.sealed,
        })
    }
}

pub(super) fn parcels_in(parcels: Vec<v1::Parcel>) -> Result<Vec<Parcel>, Bad> {
    if parcels.len() > MAX_ENTRIES {
        return Err(bad("parcels", "are too many"));
    }
    parcels.into_iter().map(TryInto::try_into).collect()
}

pub(super) fn ask_out(ask: &Ask) -> v1::LookRequest {
    v1::LookRequest {
        tenant: ask.tenant.to_string(),
        partition: out(ask.partition.0),
        shared_partition: out_or_empty(ask.everyone.map(|partition| partition.0)),
        vector: bytes_of(&ask.vector),
        space: ask.space.clone(),
        least: ask.least,
        ttl_ms: ask.ttl_millis,
        epoch: ask.epoch,
    }
}

impl TryFrom<v1::LookRequest> for Ask {
    type Error = Bad;

    fn try_from(ask: v1::LookRequest) -> Result<Self, Bad> {
        if ask.vector.len() > MAX_DIMENSIONS * 2 {
            return Err(bad("vector", "is too long"));
        }
        let shared = id_or_none(&ask.shared_partition, "shared_partition")?;
        Ok(Ask {
            tenant: name(ask.tenant, "tenant")?.into(),
            partition: PartitionId(id(&ask.partition, "partition")?),
            everyone: shared.map(PartitionId),
            vector: Compact::read(&ask.vector).ok_or(bad("vector", "is no vector"))?,
            space: name(ask.space, "space")?,
            least: ask.least,
            ttl_millis: ask.ttl_ms,
            epoch: ask.epoch,
        })
    }
}

impl From<Seen> for v1::LookReply {
    fn from(seen: Seen) -> Self {
        let near = |list: Vec<(f32, Parcel)>| {
            let list = list.into_iter().map(|(similarity, parcel)| v1::Near {
                similarity,
                parcel: Some(parcel.into()),
            });
            list.collect()
        };
        v1::LookReply {
            own: near(seen.own),
            shared: near(seen.everyone),
            behind: seen.behind,
        }
    }
}

impl TryFrom<v1::LookReply> for Seen {
    type Error = Bad;

    fn try_from(reply: v1::LookReply) -> Result<Self, Bad> {
        let near = |list: Vec<v1::Near>| {
            if list.len() > MAX_ENTRIES {
                return Err(bad("near", "are too many"));
            }
            let list = list.into_iter().map(|near| {
                let parcel = near.parcel.ok_or(bad("near.parcel", "is missing"))?;
                Ok((near.similarity, parcel.try_into()?))
            });
            list.collect::<Result<Vec<_>, Bad>>()
        };
        Ok(Seen {
            own: near(reply.own)?,
            everyone: near(reply.shared)?,
            behind: reply.behind,
        })
    }
}

impl From<FlyAsk> for v1::FlyAsk {
    fn from(ask: FlyAsk) -> Self {
        v1::FlyAsk {
            tenant: ask.tenant.to_string(),
            entry: out(ask.entry.0),
            shared_entry: out_or_empty(ask.everyone.map(|entry| entry.0)),
            ttl_ms: ask.ttl_millis,
            epoch: ask.epoch,
            priority: priority_out(ask.priority),
            refresh: ask.refresh,
        }
    }
}

impl TryFrom<v1::FlyAsk> for FlyAsk {
    type Error = Bad;

    fn try_from(ask: v1::FlyAsk) -> Result<Self, Bad> {
        Ok(FlyAsk {
            tenant: name(ask.tenant, "tenant")?.into(),
            entry: EntryId(id(&ask.entry, "entry")?),
            everyone: id_or_none(&ask.shared_entry, "shared_entry")?.map(EntryId),
            ttl_millis: ask.ttl_ms,
            epoch: ask.epoch,
            priority: priority_in(ask.priority)?,
            refresh: ask.refresh,
        })
    }
}

fn priority_out(priority: Priority) -> u32 {
    match priority {
        Priority::Critical => 0,
        Priority::High => 1,
        Priority::Normal => 2,
        Priority::Low => 3,
    }
}

fn priority_in(number: u32) -> Result<Priority, Bad> {
    match number {
        0 => Ok(Priority::Critical),
        1 => Ok(Priority::High),
        2 => Ok(Priority::Normal),
        3 => Ok(Priority::Low),
        _ => Err(bad("priority", "is none")),
    }
}

impl From<Told> for v1::FlyRequest {
    fn from(told: Told) -> Self {
        let word = match told {
            Told::Begun(sealed) => RequestWord::Begun(v1::FlyBegun { sealed }),
            Told::Piece(sealed) => RequestWord::Piece(v1::FlyPiece { sealed }),
            Told::Landed(parcel) => RequestWord::Landed(parcel.into()),
            Told::Ended => RequestWord::Ended(v1::FlyEnded {}),
            Told::Broken(sealed) => RequestWord::Broken(v1::FlyBroken { sealed }),
            Told::Abandoned => RequestWord::Abandoned(v1::FlyAbandoned {}),
        };
        v1::FlyRequest { word: Some(word) }
    }
}

/// The first word on a flight's stream.
pub(super) fn fly_ask_in(request: v1::FlyRequest) -> Result<FlyAsk, Bad> {
    match request.word {
        Some(RequestWord::Ask(ask)) => ask.try_into(),
        _ => Err(bad("word", "does not begin with a question")),
    }
}

pub(super) fn fly_ask_out(ask: FlyAsk) -> v1::FlyRequest {
    v1::FlyRequest {
        word: Some(RequestWord::Ask(ask.into())),
    }
}

/// A later word.
pub(super) fn told_in(request: v1::FlyRequest) -> Result<Told, Bad> {
    match request.word {
        Some(RequestWord::Begun(begun)) => Ok(Told::Begun(begun.sealed)),
        Some(RequestWord::Piece(piece)) => Ok(Told::Piece(piece.sealed)),
        Some(RequestWord::Landed(parcel)) => Ok(Told::Landed(parcel.try_into()?)),
        Some(RequestWord::Ended(v1::FlyEnded {})) => Ok(Told::Ended),
        Some(RequestWord::Broken(broken)) => Ok(Told::Broken(broken.sealed)),
        Some(RequestWord::Abandoned(v1::FlyAbandoned {})) => Ok(Told::Abandoned),
        Some(RequestWord::Ask(_)) | None => Err(bad("word", "is none of an answer")),
    }
}

impl From<FlyWord> for v1::FlyReply {
    fn from(word: FlyWord) -> Self {
        let word = match word {
            FlyWord::Held(parcel) => ReplyWord::Held(parcel.into()),
            FlyWord::Lead => ReplyWord::Lead(v1::FlyLead {}),
            FlyWord::Follow => ReplyWord::Follow(v1::FlyFollow {}),
            FlyWord::Alone => ReplyWord::Alone(v1::FlyAlone {}),
            FlyWord::Told(Told::Begun(sealed)) => ReplyWord::Begun(v1::FlyBegun { sealed }),
            FlyWord::Told(Told::Piece(sealed)) => ReplyWord::Piece(v1::FlyPiece { sealed }),
            FlyWord::Told(Told::Landed(parcel)) => ReplyWord::Landed(parcel.into()),
            FlyWord::Told(Told::Ended) => ReplyWord::Ended(v1::FlyEnded {}),
            FlyWord::Told(Told::Broken(sealed)) => ReplyWord::Broken(v1::FlyBroken { sealed }),
            FlyWord::Told(Told::Abandoned) => ReplyWord::Abandoned(v1::FlyAbandoned {}),
            FlyWord::Readers(count) => ReplyWord::Readers(v1::FlyReaders { count }),
        };
        v1::FlyReply { word: Some(word) }
    }
}

impl TryFrom<v1::FlyReply> for FlyWord {
    type Error = Bad;

    fn try_from(reply: v1::FlyReply) -> Result<Self, Bad> {
        Ok(match reply.word.ok_or(bad("word", "is missing"))? {
            ReplyWord::Held(parcel) => FlyWord::Held(parcel.try_into()?),
            ReplyWord::Lead(v1::FlyLead {}) => FlyWord::Lead,
            ReplyWord::Follow(v1::FlyFollow {}) => FlyWord::Follow,
            ReplyWord::Alone(v1::FlyAlone {}) => FlyWord::Alone,
            ReplyWord::Begun(begun) => FlyWord::Told(Told::Begun(begun.sealed)),
            ReplyWord::Piece(piece) => FlyWord::Told(Told::Piece(piece.sealed)),
            ReplyWord::Landed(parcel) => FlyWord::Told(Told::Landed(parcel.try_into()?)),
            ReplyWord::Ended(v1::FlyEnded {}) => FlyWord::Told(Told::Ended),
            ReplyWord::Broken(broken) => FlyWord::Told(Told::Broken(broken.sealed)),
            ReplyWord::Abandoned(v1::FlyAbandoned {}) => FlyWord::Told(Told::Abandoned),
            ReplyWord::Readers(readers) => FlyWord::Readers(readers.count),
        })
    }
}

pub(super) fn put_out(parcels: Vec<Parcel>, used: &[EntryId], repair: bool) -> v1::PutRequest {
    v1::PutRequest {
        parcels: parcels.into_iter().map(Into::into).collect(),
        used: used.iter().map(|entry| out(entry.0)).collect(),
        repair,
    }
}

pub(super) fn used_in(used: &[Bytes]) -> Result<Vec<EntryId>, Bad> {
    if used.len() > MAX_ENTRIES {
        return Err(bad("used", "are too many"));
    }
    let used = used.iter().map(|bytes| id(bytes, "used").map(EntryId));
    used.collect()
}

impl From<Kept> for v1::PutReply {
    fn from(kept: Kept) -> Self {
        v1::PutReply {
            refused: kept.refused,
        }
    }
}

impl From<v1::PutReply> for Kept {
    fn from(reply: v1::PutReply) -> Self {
        Kept {
            refused: reply.refused,
        }
    }
}

pub(super) fn offer_out(entries: &[Offered]) -> v1::OfferRequest {
    let entries = entries.iter().map(|offered| v1::Offered {
        entry: out(offered.entry.0),
        created_ms: offered.created,
    });
    v1::OfferRequest {
        entries: entries.collect(),
    }
}

pub(super) fn offer_in(request: v1::OfferRequest) -> Result<Vec<Offered>, Bad> {
    if request.entries.len() > MAX_ENTRIES {
        return Err(bad("entries", "are too many"));
    }
    let entries = request.entries.into_iter().map(|offered| {
        Ok(Offered {
            entry: EntryId(id(&offered.entry, "entries.entry")?),
            created: offered.created_ms,
        })
    });
    entries.collect()
}

impl From<Wanted> for v1::OfferReply {
    fn from(wanted: Wanted) -> Self {
        v1::OfferReply {
            wanted: wanted.places,
            full: wanted.full,
        }
    }
}

impl From<v1::OfferReply> for Wanted {
    fn from(reply: v1::OfferReply) -> Self {
        Wanted {
            places: reply.wanted,
            full: reply.full,
        }
    }
}

pub(super) fn groups_out(placement: u64, groups: &[Group]) -> v1::CompareRequest {
    let groups = groups.iter().map(|group| v1::Group {
        cell: group.cell.into(),
        hour: group.hour,
        count: group.count,
        digest: group.digest,
    });
    v1::CompareRequest {
        placement,
        groups: groups.collect(),
    }
}

pub(super) fn groups_in(groups: Vec<v1::Group>) -> Result<Vec<Group>, Bad> {
    if groups.len() > MAX_GROUPS {
        return Err(bad("groups", "are too many"));
    }
    let groups = groups.into_iter().map(|group| {
        let cell = u16::try_from(group.cell);
        Ok(Group {
            cell: cell.map_err(|_| bad("groups.cell", "is too large"))?,
            hour: group.hour,
            count: group.count,
            digest: group.digest,
        })
    });
    groups.collect()
}

impl From<Compared> for v1::CompareReply {
    fn from(compared: Compared) -> Self {
        match compared {
            Compared::Other(other) => v1::CompareReply {
                other,
                elsewhere: false,
            },
            Compared::Elsewhere => v1::CompareReply {
                other: Vec::new(),
                elsewhere: true,
            },
        }
    }
}

impl From<v1::CompareReply> for Compared {
    fn from(reply: v1::CompareReply) -> Self {
        match reply.elsewhere {
            true => Compared::Elsewhere,
            false => Compared::Other(reply.other),
        }
    }
}

impl From<Stand> for v1::StandReply {
    fn from(stand: Stand) -> Self {
        v1::StandReply {
            epoch: stand.epoch,
            placement: stand.placement,
            settled: stand.settled,
            forgotten: stand.forgotten,
        }
    }
}

impl From<v1::StandReply> for Stand {
    fn from(reply: v1::StandReply) -> Self {
        Stand {
            epoch: reply.epoch,
            placement: reply.placement,
            settled: reply.settled,
            forgotten: reply.forgotten,
        }
    }
}

impl From<Sampled> for v1::SampleReply {
    fn from(sampled: Sampled) -> Self {
        let dimensions = sampled.vectors.first().map_or(0, Compact::len);
        let mut vectors = Vec::new();
        let alike = sampled.vectors.iter().filter(|v| v.len() == dimensions);
        alike.for_each(|vector| vector.write(&mut vectors));
        v1::SampleReply {
            dimensions: u32::try_from(dimensions).unwrap_or(0),
            vectors: vectors.into(),
        }
    }
}

impl TryFrom<v1::SampleReply> for Sampled {
    type Error = Bad;

    fn try_from(reply: v1::SampleReply) -> Result<Self, Bad> {
        let width = usize::try_from(reply.dimensions).unwrap_or(0) * 2;
        if width == 0 {
            return Ok(Sampled {
                vectors: Vec::new(),
            });
        }
        let vectors = reply.vectors.chunks(width).map(|bytes| {
            let vector = Compact::read(bytes).filter(|vector| vector.len() * 2 == width);
            vector.ok_or(bad("vectors", "are no vectors"))
        });
        Ok(Sampled {
            vectors: vectors.collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests;
