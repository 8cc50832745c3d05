//! Everything held here with where it belongs, and what two nodes compare of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::MemberId;
use parking_lot::Mutex;

use super::copies;
use super::view::Placed;
use super::words::Group;
use crate::cache::Inner;
use crate::cache::compact::Compact;
use crate::cache::entry::Entry;
use crate::types::{Moment, unix_millis};

/// How long a list of everything held is good enough for comparing.
const LISTED_FOR: Duration = Duration::from_secs(1);
const HOUR_MILLIS: u64 = 3_600_000;

/// One entry held here, and where it belongs.
pub(super) struct Held {
    pub(super) entry: Arc<Entry>,
    pub(super) vector: Option<Compact>,
    pub(super) placed: Placed,
}

pub(super) type List = Arc<Vec<Held>>;

/// What was worked out lately.
#[derive(Default)]
pub(super) struct Lists {
    /// Where entries belong, by serial, in one placement.
    known: Mutex<(u64, HashMap<u64, Placed>)>,
    listed: Mutex<Option<(Moment, u64, List)>>,
}

impl Lists {
    /// A list that is too old to be used keeps no entry alive.
    pub(super) fn forget_old(&self) {
        let is_old = |at: Moment| Moment::now().since(at) >= LISTED_FOR;
        // one who works a list out holds the lock, and makes it new
        if let Some(mut listed) = self.listed.try_lock() {
            listed.take_if(|(at, _, _)| is_old(*at));
        }
    }
}

impl Held {
    pub(super) fn group(&self) -> (u16, u32) {
        let hour = u32::try_from(self.entry.created / HOUR_MILLIS).unwrap_or(u32::MAX);
        (self.placed.cell, hour)
    }
}

/// Digests of entries by cell and hour.
pub(super) fn groups<'a>(held: impl Iterator<Item = &'a Held>) -> BTreeMap<(u16, u32), Group> {
    let mut groups = BTreeMap::new();
    for one in held {
        let (cell, hour) = one.group();
        let group = groups.entry((cell, hour)).or_insert(Group {
            cell,
            hour,
            count: 0,
            digest: 0,
        });
        group.count += 1;
        group.digest ^= digest(&one.entry);
    }
    groups
}

fn digest(entry: &Entry) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&entry.id.0)
        .update(&entry.created.to_le_bytes());
    let hash = hasher.finalize();
    let (first, _) = hash
        .as_bytes()
        .split_first_chunk::<8>()
        .unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*first)
}

/// What this node and another both own, in groups.
pub(crate) async fn groups_with(
    inner: &Arc<Inner>,
    member: MemberId,
) -> BTreeMap<(u16, u32), Group> {
    let Some(peers) = inner.peers() else {
        return BTreeMap::new();
    };
    let me = peers.me();
    let held = list(inner, false).await;
    let both = held
        .iter()
        .filter(|one| one.placed.owners.contains(&me) && one.placed.owners.contains(&member));
    groups(both)
}

/// Everything held, with where it belongs by the target.
pub(super) async fn list(inner: &Arc<Inner>, fresh: bool) -> List {
    let worker = Arc::clone(inner);
    let listing = tokio::task::spawn_blocking(move || list_now(&worker, fresh));
    listing.await.unwrap_or_default()
}

fn list_now(inner: &Inner, fresh: bool) -> List {
    let Some(peers) = inner.peers() else {
        return List::default();
    };
    let lists = &peers.keeper.lists;
    let (target, copies) = (Arc::clone(&peers.views().target), copies(inner));
    let mark = target.fingerprint().wrapping_add(copies as u64);
    let mut listed = lists.listed.lock();
    let recent = listed
        .as_ref()
        .filter(|(at, of, _)| !fresh && *of == mark && Moment::now().since(*at) < LISTED_FOR);
    if let Some((_, _, list)) = recent {
        return Arc::clone(list);
    }
    let now = unix_millis();
    let all = inner.held();
    let mut known = lists.known.lock();
    let before = match known.0 == mark {
        true => std::mem::take(&mut known.1),
        false => HashMap::new(),
    };
    let mut after = HashMap::with_capacity(all.len());
    let live = all
        .into_iter()
        .filter(|(entry, _)| now < entry.expires && !entry.borrowed);
    let list = live.map(|(entry, vector)| {
        // an entry gets its vector a moment after it comes
        let kept = before.get(&entry.serial);
        let kept = kept.filter(|placed| (placed.cell == u16::MAX) == vector.is_none());
        let placed = kept.cloned().unwrap_or_else(|| {
            let wide = vector.as_ref().map(Compact::widen);
            target.placed(&entry, wide.as_deref(), copies)
        });
        after.insert(entry.serial, placed.clone());
        Held {
            entry,
            vector,
            placed,
        }
    });
    let list: List = Arc::new(list.collect());
    *known = (mark, after);
    *listed = Some((Moment::now(), mark, Arc::clone(&list)));
    list
}
