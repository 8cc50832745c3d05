//! Who owns each cell, and which nodes a vector leads to.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use super::cells::{Cells, Near};
use super::score::{join, mix, score};
use crate::identity::MemberId;

/// How many buckets partitions fall into: each has its own owner per cell, so that many partitions
/// can use more nodes than there are cells.
pub const BUCKETS: u8 = 16;
/// How much more than its part of the expected copies a member may be given per bucket: this much,
/// or [`COARSE`] times the root of members per cell where that is more. A bound that is tight beside
/// the size of a cell makes cells change owners in chains when a member comes or goes.
const SLACK: f64 = 0.2;
/// See [`SLACK`].
const COARSE: f64 = 1.2;
/// Probing stops before a node whose nearest cell is this much farther (in cosine) than the nearest.
pub const MARGIN: f32 = 0.07;
/// Tells keys of the exact tier from slots.
const KEYS: u64 = 0x6b65_7973;

/// The low four bits of a partition's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u8);

impl Bucket {
    /// The bucket of the partition with this id.
    #[must_use]
    pub const fn of(partition: &[u8; 16]) -> Self {
        Bucket(partition[0] % BUCKETS)
    }

    /// Every bucket, in order.
    pub fn all() -> impl Iterator<Item = Bucket> {
        (0..BUCKETS).map(Bucket)
    }

    /// Its number, below [`BUCKETS`].
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// The owner of every cell in every bucket, for one set of cells and one set of members: the same
/// table wherever both are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    members: Vec<(MemberId, u32)>,
    /// Members by index; one row of cells per bucket; empty when there is no member.
    owners: Vec<u16>,
    cells: usize,
    fingerprint: u64,
}

impl Ownership {
    /// Gives every slot, a cell in a bucket, to one of `members`, each in proportion to its weight;
    /// a member of weight 0 gets none. Takes the first 65,535 members.
    ///
    /// Weighted rendezvous hashing with bounded load (Mirrokni, Thorup and Zadimoghaddam 2018): in
    /// each bucket the cells choose in order of falling share, each the member that scores highest
    /// of those with room for its share. Room is a little more than a member's part by weight. A cell
    /// that fits nowhere goes to whom it fills least.
    #[must_use]
    pub fn new(cells: &Cells, members: &BTreeMap<MemberId, u32>) -> Self {
        let members: Vec<(MemberId, u32)> = members
            .iter()
            .filter(|(_, weight)| **weight > 0)
            .map(|(member, weight)| (*member, *weight))
            .take(usize::from(u16::MAX))
            .collect();
        let mut order: Vec<usize> = (0..cells.count()).collect();
        let shares = cells.shares();
        order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]).then(a.cmp(b)));
        let mut owners = Vec::new();
        if !members.is_empty() {
            for bucket in Bucket::all() {
                owners.extend(share_out(&members, shares, &order, bucket));
            }
        }
        Ownership {
            fingerprint: fingerprint(cells, &members),
            cells: cells.count(),
            members,
            owners,
        }
    }

    /// Who owns a cell for the partitions of a bucket; `None` for a cell that is not there, or when
    /// there are no members.
    #[must_use]
    pub fn owner(&self, cell: u16, bucket: Bucket) -> Option<MemberId> {
        let cell = usize::from(cell);
        if cell >= self.cells {
            return None;
        }
        let index = self.owners.get(usize::from(bucket.0) * self.cells + cell)?;
        self.members
            .get(usize::from(*index))
            .map(|(member, _)| *member)
    }

    /// Owners of the cells in `near` in that order, each once, at most `most`: who keeps the copies
    /// of an entry, and whom a lookup may ask.
    #[must_use]
    pub fn walk(&self, near: &[Near], bucket: Bucket, most: usize) -> Vec<MemberId> {
        self.distinct(near, bucket, most)
            .map(|(member, _)| member)
            .collect()
    }

    /// Whom a lookup asks, at most `probes`: the owner of the nearest cell, and those of whose cells
    /// one is nearly as near, within [`MARGIN`].
    #[must_use]
    pub fn probe(&self, near: &[Near], bucket: Bucket, probes: usize) -> Vec<MemberId> {
        let nearest = near.first().map_or(0.0, |first| first.similarity);
        self.distinct(near, bucket, probes)
            .take_while(|(_, similarity)| nearest - similarity < MARGIN)
            .map(|(member, _)| member)
            .collect()
    }

    /// Members in the order in which they should keep an entry known by this key alone: by weighted
    /// rendezvous score, the first being the owner.
    pub fn of_key(&self, key: &[u8; 16]) -> impl Iterator<Item = MemberId> + use<> {
        let place = join(join(KEYS, half(key, 0)), half(key, 8));
        let scored = self.members.iter().map(|(member, weight)| Scored {
            score: score(member.0, place, *weight),
            member: *member,
        });
        let mut heap: BinaryHeap<Scored> = scored.collect();
        std::iter::from_fn(move || heap.pop().map(|scored| scored.member))
    }

    /// Members that own anything, with their weights, by id.
    #[must_use]
    pub fn members(&self) -> &[(MemberId, u32)] {
        &self.members
    }

    /// A number that differs where the members, their weights, the space or the epoch of its cells
    /// do: two nodes with equal ones place alike.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Owners in order of their nearest cell, each with that cell's similarity.
    fn distinct(
        &self,
        near: &[Near],
        bucket: Bucket,
        most: usize,
    ) -> impl Iterator<Item = (MemberId, f32)> {
        let mut seen: Vec<MemberId> = Vec::with_capacity(most.min(self.members.len()));
        let most = most.min(self.members.len());
        let mut cells = near.iter();
        std::iter::from_fn(move || {
            if seen.len() >= most {
                return None;
            }
            cells.by_ref().find_map(|one| {
                let member = self.owner(one.cell, bucket)?;
                if seen.contains(&member) {
                    return None;
                }
                seen.push(member);
                Some((member, one.similarity))
            })
        })
    }
}

/// Highest score first; equal scores, which only equal members could have, by id.
struct Scored {
    score: f64,
    member: MemberId,
}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = self.score.total_cmp(&other.score);
        by_score.then(other.member.cmp(&self.member))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scored {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scored {}

/// One bucket: the index of each cell's owner among `members`, which are not none.
fn share_out(
    members: &[(MemberId, u32)],
    shares: &[f32],
    order: &[usize],
    bucket: Bucket,
) -> Vec<u16> {
    let total: f64 = members.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let most = 1.0 + slack(members.len(), shares.len());
    let mut load = vec![0.0_f64; members.len()];
    let mut owners = vec![0_u16; shares.len()];
    for &cell in order {
        let share = f64::from(shares[cell]);
        let place = join(u64::from(bucket.0), cell as u64);
        // Best with room, or else least filled; in both the higher score wins.
        let mut best: Option<(bool, f64, f64, usize)> = None;
        for (index, (member, weight)) in members.iter().enumerate() {
            let part = f64::from(*weight) / total;
            let filled = (load[index] + share) / part;
            let room = filled <= most;
            let emptiness = if room { 0.0 } else { -filled };
            let candidate = (room, emptiness, score(member.0, place, *weight), index);
            if best.is_none_or(|best| beats(candidate, best)) {
                best = Some(candidate);
            }
        }
        let index = best.map_or(0, |(.., index)| index);
        load[index] += share;
        owners[cell] = u16::try_from(index).unwrap_or(u16::MAX);
    }
    owners
}

#[expect(clippy::cast_precision_loss, reason = "both are below 65,536")]
fn slack(members: usize, cells: usize) -> f64 {
    SLACK.max(COARSE * (members as f64 / cells as f64).sqrt())
}

fn beats(a: (bool, f64, f64, usize), b: (bool, f64, f64, usize)) -> bool {
    let by_room = a.0.cmp(&b.0);
    let then = by_room.then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2));
    then == Ordering::Greater
}

fn half(key: &[u8; 16], from: usize) -> u64 {
    key[from..from + 8]
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn fingerprint(cells: &Cells, members: &[(MemberId, u32)]) -> u64 {
    let space = cells
        .space()
        .bytes()
        .fold(0, |sum, byte| join(sum, byte.into()));
    let begun = join(join(space, cells.epoch()), cells.count() as u64);
    members.iter().fold(mix(begun), |sum, (member, weight)| {
        join(join(sum, member.0), u64::from(*weight))
    })
}
