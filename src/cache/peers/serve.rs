//! Answers to other nodes. Whoever asks is a member, by its certificate; what it says of tenants and
//! partitions is held against every entry, and every entry against what was called off.

use std::sync::Arc;

use llm_router_cluster::MemberId;

use super::words::{Ask, Compared, Group, Kept, Offered, Parcel, Sampled, Seen, Wanted};
use super::{Peers, held};
use crate::cache::Inner;
use crate::cache::compact::Compact;
use crate::cache::entry::Entry;
use crate::cache::insert::Pending;
use crate::cache::key::{EntryId, PartitionId};
use crate::cache::semantic::{CANDIDATES, near_here};
use crate::cache::stats::Counters;
use crate::types::unix_millis;

pub(crate) use super::standing::stand;

/// Most bytes of one answer to a look-up; what does not fit any more is further away.
const SEEN_BYTES: usize = 4 << 20;
/// Most vectors of one sample.
const SAMPLE: usize = 4096;

/// What is held here near a question.
pub(crate) async fn look(inner: &Arc<Inner>, ask: &Ask) -> Seen {
    let Some(peers) = inner.peers() else {
        return Seen::default();
    };
    if inner.epochs.epoch() < ask.epoch {
        return Seen {
            behind: true,
            ..Seen::default()
        };
    }
    if ask.space != inner.space() {
        return Seen::default();
    }
    let vector = ask.vector.widen();
    let mut room = SEEN_BYTES;
    let own = near(
        inner,
        peers,
        (ask, ask.partition, false),
        &vector,
        &mut room,
    )
    .await;
    let everyone = match ask.everyone {
        Some(partition) => near(inner, peers, (ask, partition, true), &vector, &mut room).await,
        None => Vec::new(),
    };
    Seen {
        own,
        everyone,
        behind: false,
    }
}

async fn near(
    inner: &Arc<Inner>,
    peers: &Peers,
    (ask, partition, everyone): (&Ask, PartitionId, bool),
    vector: &Arc<[f32]>,
    room: &mut usize,
) -> Vec<(f32, Parcel)> {
    let found = near_here(inner, partition, vector).await;
    let now = unix_millis();
    let mut seen = Vec::new();
    for (similarity, entry) in found {
        let usable = similarity >= ask.least && entry.is_fresh(now, ask.ttl_millis);
        if !usable {
            continue;
        }
        // an index or a partition that is wrong must not be believed
        let theirs = match everyone {
            true => entry.witness.is_some(),
            false => entry.witness.is_none() && entry.tenant == ask.tenant,
        };
        if !theirs {
            Counters::add(&peers.counters.foreign);
            tracing::warn!(entry = %entry.id, "an entry is in a partition that is not its tenant's");
            continue;
        }
        let Some(parcel) = peers.pack(inner, &entry, None) else {
            continue;
        };
        let Some(left) = room.checked_sub(parcel.sealed.len()) else {
            break;
        };
        *room = left;
        seen.push((similarity, parcel));
    }
    debug_assert!(seen.len() <= CANDIDATES);
    seen
}

/// Keeps entries. Moved ones are refused where there is no room, or two full nodes would push
/// entries to and fro.
pub(crate) async fn put(
    inner: &Arc<Inner>,
    parcels: Vec<Parcel>,
    used: Vec<EntryId>,
    repair: bool,
) -> Kept {
    if !used.is_empty() {
        let mut shelf = inner.shelf.lock();
        used.into_iter().for_each(|id| shelf.touch(id));
    }
    if parcels.is_empty() {
        return Kept::default();
    }
    let all = || Kept {
        refused: (0..).take(parcels.len()).collect(),
    };
    let stopping = inner.peers().is_none_or(|peers| peers.is_stopping());
    let permit = Arc::clone(&inner.background).try_acquire_owned();
    let Some(permit) = permit.ok().filter(|_| !stopping) else {
        return all();
    };
    let (worker, refused) = (Arc::clone(inner), all());
    let keeping = inner.tasks.spawn_blocking(move || {
        let places = (0..).zip(&parcels);
        let refused = places.filter(|(_, parcel)| !keep(&worker, parcel, repair));
        let refused = refused.map(|(place, _)| place).collect();
        drop(permit);
        Kept { refused }
    });
    keeping.await.unwrap_or(refused)
}

/// Keeps one entry; true when it is here now. Blocks.
pub(crate) fn keep(inner: &Inner, parcel: &Parcel, repair: bool) -> bool {
    let Some(peers) = inner.peers() else {
        return false;
    };
    let Some(record) = peers.seals.unpack(parcel) else {
        Counters::add(&peers.counters.foreign);
        tracing::warn!(entry = %parcel.entry, "an entry that was sent here does not open");
        return false;
    };
    let vector = record.vector.filter(|(space, _)| space == inner.space());
    let vector = vector.map(|(_, vector)| vector);
    let mut entry = record.entry;
    if entry.expires <= unix_millis() {
        return false;
    }
    let pending = {
        let mut shelf = inner.shelf.lock();
        let held = shelf
            .held(entry.id)
            .map(|(held, indexed)| (Arc::clone(held), indexed));
        match held {
            Some((held, _)) if held.created > entry.created => return true,
            Some((held, indexed)) if held.created == entry.created && !held.borrowed => {
                if indexed || vector.is_none() {
                    return true;
                }
                Pending {
                    entry: held,
                    vector,
                    removed: Vec::new(),
                }
            }
            Some(_) | None => {
                if repair && !shelf.has_room_for(&entry) {
                    return false;
                }
                entry.serial = shelf.next_serial();
                let entry = Arc::new(entry);
                let Some(removed) = shelf.insert(Arc::clone(&entry)) else {
                    return false;
                };
                Pending {
                    entry,
                    vector,
                    removed,
                }
            }
        }
    };
    Counters::add(&peers.counters.received);
    inner.settle_now(pending);
    true
}

/// The places of those that are not held here, or held in an older version, and for which there is
/// room.
pub(crate) fn offer(inner: &Inner, entries: &[Offered]) -> Wanted {
    let shelf = inner.shelf.lock();
    let full = shelf.is_full();
    let lacks = |offered: &Offered| match shelf.held(offered.entry) {
        Some((held, _)) => held.borrowed || held.created < offered.created,
        None => !full,
    };
    let places = (0..).zip(entries).filter(|(_, offered)| lacks(offered));
    Wanted {
        places: places.map(|(place, _)| place).collect(),
        full,
    }
}

/// The places of the groups that are other ones here.
pub(crate) async fn compare(
    inner: &Arc<Inner>,
    from: MemberId,
    placement: u64,
    groups: Vec<Group>,
) -> Compared {
    let Some(peers) = inner.peers() else {
        return Compared::Elsewhere;
    };
    if peers.views().target.fingerprint() != placement {
        return Compared::Elsewhere;
    }
    let mine = held::groups_with(inner, from).await;
    let places = groups.iter().enumerate();
    let other = places.filter(|(_, group)| mine.get(&(group.cell, group.hour)) != Some(group));
    Compared::Other(
        other
            .filter_map(|(place, _)| u32::try_from(place).ok())
            .collect(),
    )
}

/// Some of the vectors held here, evenly over all.
pub(crate) fn sample(inner: &Inner, space: &str, most: usize) -> Sampled {
    if space != inner.space() {
        return Sampled::default();
    }
    let all: Vec<(Arc<Entry>, Compact)> = {
        let held = inner.held().into_iter();
        held.filter_map(|(entry, vector)| Some((entry, vector?)))
            .collect()
    };
    let step = all.len().div_ceil(most.clamp(1, SAMPLE)).max(1);
    Sampled {
        vectors: all
            .into_iter()
            .step_by(step)
            .map(|(_, vector)| vector)
            .collect(),
    }
}
