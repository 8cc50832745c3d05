//! The order of candidates from many nodes.

use proptest::prelude::*;

use super::*;
use crate::cache::key::EntryId;

fn candidate(id: u8, created: u64, similarity: f32) -> Candidate {
    let entry = Entry {
        created,
        ..Entry::plain(id, "acme")
    };
    Candidate {
        entry: Arc::new(entry),
        meaning: Meaning {
            partition: PartitionId([1; 16]),
            text: "what is it?".into(),
            features: Arc::new(Features::of("what is it?")),
        },
        similarity,
        from: None,
    }
}

proptest! {
    #[test]
    fn each_entry_comes_once_in_its_latest_version_and_the_nearest_come_first(
        found in prop::collection::vec((0u8..12, 0u64..4, -1.0f32..1.0), 0..40),
    ) {
        let candidates = found.iter().map(|(id, created, near)| candidate(*id, *created, *near));
        let ordered = in_order(candidates.collect());
        prop_assert!(ordered.is_sorted_by(|a, b| a.similarity >= b.similarity));
        let mut ids: Vec<EntryId> = ordered.iter().map(|one| one.entry.id).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), ordered.len());
        let mut different: Vec<u8> = found.iter().map(|(id, ..)| *id).collect();
        different.sort_unstable();
        different.dedup();
        prop_assert_eq!(ordered.len(), different.len().min(CANDIDATES));
        for one in &ordered {
            let versions = found.iter().filter(|(id, ..)| EntryId([*id; 16]) == one.entry.id);
            let latest = versions.map(|(_, created, _)| *created).max();
            prop_assert_eq!(Some(one.entry.created), latest);
        }
    }
}
