//! Who keeps what: the placement of entries for one set of members and cells. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use llm_router_cluster::MemberId;
use llm_router_cluster::placement::{Bucket, Cells, Near, Ownership};

use crate::cache::entry::Entry;
use crate::cache::key::{EntryId, PartitionId};

/// One placement.
#[derive(Debug)]
pub(crate) struct View {
    cells: Arc<Cells>,
    ownership: Ownership,
}

impl View {
    /// The placement of these members' entries over these cells.
    pub(crate) fn new(cells: Arc<Cells>, members: &BTreeMap<MemberId, u32>) -> Self {
        View {
            ownership: Ownership::new(&cells, members),
            cells,
        }
    }

    /// Tells placements apart.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.ownership.fingerprint()
    }

    /// Those who keep anything.
    pub(crate) fn members(&self) -> BTreeSet<MemberId> {
        let members = self.ownership.members().iter();
        members.map(|(member, _)| *member).collect()
    }

    /// Nobody else keeps anything.
    pub(crate) fn is_only(&self, me: MemberId) -> bool {
        self.ownership
            .members()
            .iter()
            .all(|(member, _)| *member == me)
    }

    /// Its cells.
    pub(crate) fn cells(&self) -> &Arc<Cells> {
        &self.cells
    }

    /// The owner of an exact key.
    pub(crate) fn key_owner(&self, id: EntryId) -> Option<MemberId> {
        self.ownership.of_key(&id.0).next()
    }

    /// It and those who own the key after it, `most` in all.
    pub(crate) fn key_owners(&self, id: EntryId, most: usize) -> Vec<MemberId> {
        self.ownership.of_key(&id.0).take(most).collect()
    }

    /// The cells a vector is nearest to; none for one of other dimensions than the cells'.
    pub(crate) fn near(&self, vector: &[f32]) -> Vec<Near> {
        if vector.len() != self.cells.dimensions() {
            return Vec::new();
        }
        self.cells.nearest(vector)
    }

    /// The nodes of the nearest cells.
    pub(crate) fn walk(&self, near: &[Near], bucket: Bucket, most: usize) -> Vec<MemberId> {
        self.ownership.walk(near, bucket, most)
    }

    /// The same members over other cells.
    pub(crate) fn with(&self, cells: Arc<Cells>) -> Self {
        let members = self.ownership.members().iter().copied().collect();
        View::new(cells, &members)
    }

    /// Whom a question is put to: those it should be, and after them who else may have a copy.
    pub(crate) fn asked(
        &self,
        vector: &[f32],
        partition: PartitionId,
        probes: usize,
    ) -> (Vec<MemberId>, Vec<MemberId>) {
        let near = self.near(vector);
        let bucket = Bucket::of(&partition.0);
        let first = self.ownership.probe(&near, bucket, probes);
        let mut others = self.ownership.walk(&near, bucket, probes + 1);
        others.retain(|member| !first.contains(member));
        (first, others)
    }

    /// Everyone who keeps an entry, and the cell it is counted in. The owner of its key keeps one
    /// copy; the nodes of its nearest cells keep `copies`. An entry without a vector has no cells,
    /// so as many nodes keep it by its key.
    pub(crate) fn placed(&self, entry: &Entry, vector: Option<&[f32]>, copies: usize) -> Placed {
        let near = vector.map(|vector| self.near(vector)).unwrap_or_default();
        let meaning = entry.meaning.as_ref().filter(|_| !near.is_empty());
        let by_key = if meaning.is_some() { 1 } else { copies };
        let mut owners: Vec<MemberId> = self.ownership.of_key(&entry.id.0).take(by_key).collect();
        if let Some(meaning) = meaning {
            let bucket = Bucket::of(&meaning.partition.0);
            let by_meaning = self.ownership.walk(&near, bucket, copies);
            by_meaning.into_iter().for_each(|member| {
                if !owners.contains(&member) {
                    owners.push(member);
                }
            });
        }
        Placed {
            cell: near.first().map_or(u16::MAX, |near| near.cell),
            owners,
        }
    }
}

/// Where an entry belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// The cell nearest to it; the largest number where it has none.
    pub(crate) cell: u16,
    pub(crate) owners: Vec<MemberId>,
}

/// The placements in use. Reading and writing differ while entries are on the move.
#[derive(Clone, Debug)]
pub(crate) struct Views {
    /// Where entries are looked for.
    pub(crate) reading: Arc<View>,
    /// Where they are brought to.
    pub(crate) target: Arc<View>,
}

impl Views {
    /// Entries are on the move.
    pub(crate) fn is_moving(&self) -> bool {
        self.reading.fingerprint() != self.target.fingerprint()
    }

    /// Everyone who keeps an entry now or will.
    pub(crate) fn owners(
        &self,
        entry: &Entry,
        vector: Option<&[f32]>,
        copies: usize,
    ) -> Vec<MemberId> {
        let mut owners = self.target.placed(entry, vector, copies).owners;
        if self.is_moving() {
            for member in self.reading.placed(entry, vector, copies).owners {
                if !owners.contains(&member) {
                    owners.push(member);
                }
            }
        }
        owners
    }
}
