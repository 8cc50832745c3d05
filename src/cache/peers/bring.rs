//! One sweep: every node is offered what it should have of what is held here.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::MemberId;

use super::Peers;
use super::held::{Held, groups, list};
use super::view::View;
use super::words::{Compared, Group, Offered, Parcel};
use crate::cache::Inner;
use crate::cache::stats::Counters;

/// Bytes brought elsewhere per second, about.
const BYTES_PER_SECOND: usize = 16 << 20;
/// Entries offered at once. Few, so that nodes that bring the same ones seldom both find them lacking.
const OFFER: usize = 256;
/// Groups compared at once.
const GROUPS: usize = 65_536;
/// Most entries and bytes of one call.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 1 << 20;

/// What a sweep came to.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// Every node was dealt with, or is done without.
    pub(super) complete: bool,
    /// Entries held here for others, all of whom are known to have them.
    pub(super) confirmed: Vec<u64>,
}

/// Offers every node what it should have. A node that cannot be dealt with is done without once
/// nobody is patient any more.
pub(super) async fn sweep(inner: &Arc<Inner>, target: &Arc<View>, patient: bool) -> Swept {
    let Some(peers) = inner.peers() else {
        return Swept::default();
    };
    let held = list(inner, true).await;
    let members: BTreeSet<MemberId> = target.members();
    let begins = begins(&members, peers.me());
    let mut unsure = HashSet::new();
    let mut complete = true;
    for member in members.into_iter().filter(|member| *member != peers.me()) {
        let bringing = Bringing {
            inner,
            peers,
            member,
            target: target.fingerprint(),
            begins,
        };
        complete &= bringing.all(&held, &mut unsure).await || !patient;
    }
    let me = peers.me();
    let strays = held.iter().filter(|one| {
        let owners = &one.placed.owners;
        !owners.is_empty() && !owners.contains(&me)
    });
    let confirmed = strays.map(|one| one.entry.serial);
    Swept {
        complete,
        confirmed: confirmed
            .filter(|serial| !unsure.contains(serial))
            .collect(),
    }
}

/// Where a node begins on its way round all ids. Every copy of an entry is offered to a node that
/// lacks it; nodes that begin in different places come to most of them at different times, and the
/// second finds it there.
fn begins(members: &BTreeSet<MemberId>, me: MemberId) -> u8 {
    let before = members.range(..me).count();
    let place = before * 256 / members.len().max(1);
    u8::try_from(place).unwrap_or(0)
}

/// In the order of their ids, from those that begin with this byte on and round to it.
fn around(mut offered: Vec<&Held>, begins: u8) -> Vec<&Held> {
    offered.sort_unstable_by_key(|one| one.entry.id);
    let first = offered.partition_point(|one| one.entry.id.0[0] < begins);
    offered.rotate_left(first);
    offered
}

struct Bringing<'a> {
    inner: &'a Arc<Inner>,
    peers: &'a Peers,
    member: MemberId,
    target: u64,
    /// First byte of the ids to begin with.
    begins: u8,
}

impl Bringing<'_> {
    /// Brings a node what it lacks. Entries it may still lack afterwards are noted.
    async fn all(&self, held: &[Held], unsure: &mut HashSet<u64>) -> bool {
        let me = self.peers.me();
        let its = held
            .iter()
            .filter(|one| one.placed.owners.contains(&self.member));
        let (shared, mut offered): (Vec<&Held>, Vec<&Held>) =
            its.partition(|one| one.placed.owners.contains(&me));
        let mut complete = true;
        let groups = groups(shared.iter().copied());
        let list: Vec<Group> = groups.into_values().collect();
        let mut other: HashSet<(u16, u32)> = HashSet::new();
        for some in list.chunks(GROUPS) {
            let compared = self
                .peers
                .link
                .compare(self.member, self.target, some.to_vec());
            match compared.await {
                Ok(Compared::Other(places)) => {
                    let places = places
                        .into_iter()
                        .filter_map(|at| some.get(usize::try_from(at).ok()?));
                    other.extend(places.map(|group| (group.cell, group.hour)));
                }
                Ok(Compared::Elsewhere) => {
                    complete = false;
                    break;
                }
                Err(_) => {
                    unsure.extend(offered.iter().map(|one| one.entry.serial));
                    return false;
                }
            }
        }
        offered.extend(
            shared
                .into_iter()
                .filter(|one| other.contains(&one.group())),
        );
        let offered = around(offered, self.begins);
        for (number, chunk) in offered.chunks(OFFER).enumerate() {
            if self.bring(chunk, unsure).await.is_none() {
                // one that does not answer is not waited for again and again
                let left = offered.iter().skip(number * OFFER);
                unsure.extend(left.map(|one| one.entry.serial));
                return false;
            }
        }
        complete
    }

    /// Brings what is wanted of some entries. `None` when the node does not answer.
    async fn bring(&self, chunk: &[&Held], unsure: &mut HashSet<u64>) -> Option<()> {
        let entries: Vec<Offered> = chunk
            .iter()
            .map(|one| Offered {
                entry: one.entry.id,
                created: one.entry.created,
            })
            .collect();
        let wanted = self.peers.link.offer(self.member, entries).await.ok()?;
        if wanted.full {
            // which of them it has is not said
            unsure.extend(chunk.iter().map(|one| one.entry.serial));
        }
        let places = wanted.places.into_iter();
        let wanted = places.filter_map(|place| chunk.get(usize::try_from(place).ok()?));
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for one in wanted {
            let parcel = self.peers.pack(self.inner, &one.entry, one.vector.as_ref());
            let Some(parcel) = parcel else {
                unsure.insert(one.entry.serial);
                continue;
            };
            bytes += parcel.sealed.len();
            batch.push((one.entry.serial, parcel));
            if batch.len() >= BATCH || bytes >= BATCH_BYTES {
                let full = std::mem::take(&mut batch);
                self.send(full, std::mem::take(&mut bytes), unsure).await?;
            }
        }
        if !batch.is_empty() {
            self.send(batch, bytes, unsure).await?;
        }
        Some(())
    }

    async fn send(
        &self,
        batch: Vec<(u64, Parcel)>,
        bytes: usize,
        unsure: &mut HashSet<u64>,
    ) -> Option<()> {
        let (serials, parcels): (Vec<u64>, Vec<Parcel>) = batch.into_iter().unzip();
        let put = self.peers.link.put(self.member, parcels, Vec::new(), true);
        let refused = put.await.ok()?.refused;
        let moved = serials.len().saturating_sub(refused.len());
        let refused = refused.into_iter();
        unsure.extend(refused.filter_map(|place| serials.get(usize::try_from(place).ok()?)));
        let counters = &self.peers.counters;
        Counters::add_many(&counters.moved, moved);
        Counters::add_many(&counters.moved_bytes, bytes);
        let micros = bytes.saturating_mul(1_000_000) / BYTES_PER_SECOND;
        let pause = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        tokio::time::sleep(pause).await;
        Some(())
    }
}

/// Lets go of entries that others keep.
pub(super) async fn drop_strays(inner: &Arc<Inner>, strays: Vec<u64>) {
    if strays.is_empty() {
        return;
    }
    tracing::debug!(
        entries = strays.len(),
        "entries that others keep are let go"
    );
    let worker = Arc::clone(inner);
    let dropped = tokio::task::spawn_blocking(move || {
        for some in strays.chunks(256) {
            let removed = {
                let mut shelf = worker.shelf.lock();
                let removed = some.iter().filter_map(|serial| shelf.drop_serial(*serial));
                removed.collect()
            };
            worker.take_out(removed);
        }
    });
    if dropped.await.is_err() {
        tracing::debug!("entries that others keep stay, shutting down");
    }
}
