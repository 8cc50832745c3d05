//! Placement under any members and any question.

use llm_router_cluster::placement::Bucket;
use proptest::prelude::*;

use super::*;
use crate::cache::entry::Meaning;
use crate::cache::guard::Features;
use crate::cache::key::{EntryId, PartitionId};

const DIMENSIONS: usize = 16;

fn entry(id: [u8; 16], partition: Option<[u8; 16]>) -> Entry {
    Entry {
        id: EntryId(id),
        meaning: partition.map(|partition| Meaning {
            partition: PartitionId(partition),
            text: "what is it?".into(),
            features: Arc::new(Features::of("what is it?")),
        }),
        ..Entry::plain(1, "acme")
    }
}

fn members() -> impl Strategy<Value = BTreeMap<MemberId, u32>> {
    let member = (1u64..40).prop_map(MemberId);
    proptest::collection::btree_map(member, 1u32..4, 1..9)
}

fn vector() -> impl Strategy<Value = Vec<f32>> {
    let some = proptest::collection::vec(-1.0f32..1.0, DIMENSIONS);
    some.prop_filter_map("no direction", |vector| {
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        (norm > 0.1).then(|| vector.iter().map(|x| x / norm).collect())
    })
}

fn view(members: &BTreeMap<MemberId, u32>) -> Arc<View> {
    let cells = Arc::new(Cells::starting("pure", DIMENSIONS));
    Arc::new(View::new(cells, members))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn while_entries_move_both_placements_have_them(
        (before, after) in (members(), members()),
        vector in vector(),
        (id, partition, copies) in (any::<[u8; 16]>(), any::<Option<[u8; 16]>>(), 1usize..5),
    ) {
        let entry = entry(id, partition);
        let views = Views { reading: view(&before), target: view(&after) };
        let owners = views.owners(&entry, Some(&vector), copies);
        let unique: std::collections::BTreeSet<_> = owners.iter().collect();
        prop_assert_eq!(unique.len(), owners.len(), "each once");
        prop_assert!(owners.len() <= 2 * (copies + 1));
        for (view, members) in [(&views.reading, &before), (&views.target, &after)] {
            let placed = view.placed(&entry, Some(&vector), copies).owners;
            prop_assert!(placed.iter().all(|owner| members.contains_key(owner)));
            prop_assert!(placed.iter().all(|owner| owners.contains(owner)));
            prop_assert!(placed.len() >= copies.min(members.len()));
            let by_key = view.key_owner(entry.id).unwrap();
            prop_assert!(placed.contains(&by_key), "who is asked for the key has it");
        }
    }

    #[test]
    fn the_node_asked_first_keeps_a_copy_and_none_is_asked_twice(
        members in members(),
        vector in vector(),
        (partition, probes) in (any::<[u8; 16]>(), 1usize..5),
    ) {
        let view = view(&members);
        let (first, others) = view.asked(&vector, PartitionId(partition), probes);
        let copies = view.walk(&view.near(&vector), Bucket::of(&partition), 2);
        prop_assert!(!first.is_empty() && first.len() <= probes);
        prop_assert!(copies.contains(&first[0]));
        prop_assert!(others.iter().all(|other| !first.contains(other)));
        prop_assert!(first.len() + others.len() <= probes + 1);
        // whoever has the other copy can be asked in the place of the first
        let all: Vec<_> = first.iter().chain(&others).collect();
        prop_assert!(copies.iter().all(|copy| all.contains(&copy)));
    }

    #[test]
    fn an_entry_becomes_hot_at_its_third_hit_and_is_counted_anew(
        hits in proptest::collection::vec((0u8..4, 0u64..15), 1..80),
    ) {
        let mut hot = Hot::default();
        let mut counts = [0u32; 4];
        let mut since = [0u64; 4];
        let mut now = 0;
        for (id, pause) in hits {
            now += pause;
            let at = usize::from(id);
            if counts[at] == 0 || now - since[at] > 60 {
                (counts[at], since[at]) = (0, now);
            }
            counts[at] += 1;
            let expected = counts[at] == 3;
            if expected {
                counts[at] = 0;
            }
            let at = Moment::ZERO + Duration::from_secs(now);
            prop_assert_eq!(hot.hit(EntryId([id; 16]), at), expected);
        }
    }
}
