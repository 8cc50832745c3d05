mod eviction;

use proptest::prelude::*;

use super::super::answer::{Purge, StoredAnswer};
use super::super::entry::Meaning;
use super::super::guard::Features;
use super::*;
use crate::types::{TenantId, Usage};

const FOREVER: u64 = u64::MAX;

fn entry(shelf: &mut Shelf, id: u8, tenant: &str, expires: u64) -> Arc<Entry> {
    Arc::new(Entry {
        id: EntryId([id; 16]),
        serial: shelf.next_serial(),
        tenant: TenantId::from(tenant),
        witness: None,
        tags: vec![("team".to_owned(), tenant.to_owned())],
        meaning: Some(Meaning {
            partition: PartitionId([id % 3; 16]),
            text: "t".into(),
            features: Arc::new(Features::of("t")),
        }),
        epoch: 0,
        created: 0,
        expires,
        borrowed: false,
        answer: Arc::new(StoredAnswer {
            text: "a".to_owned(),
            usage: Usage::default(),
            model: "m".into(),
            shown_model: "m".to_owned(),
            created: 0,
        }),
    })
}

fn at_most(max_entries: u64) -> Limits {
    Limits {
        max_entries,
        per_tenant: 0,
        eviction: Eviction::Lru,
    }
}

fn put(shelf: &mut Shelf, id: u8, max: u64) -> Option<Vec<Removed>> {
    shelf.configure(at_most(max));
    let entry = entry(shelf, id, "a", 1000);
    let (serial, removed) = (entry.serial, shelf.insert(entry));
    shelf.attach(serial, &Compact::of(&[1.0, 0.0]));
    removed
}

#[test]
fn an_entry_is_absent_once_its_own_or_the_askers_lifetime_is_over() {
    let mut shelf = Shelf::default();
    put(&mut shelf, 1, 10);
    assert!(shelf.get(EntryId([1; 16]), 1000, FOREVER).is_none());
    assert!(shelf.get(EntryId([1; 16]), 500, 500).is_none());
    assert!(shelf.get(EntryId([1; 16]), 500, 501).is_some());
}

#[test]
fn the_least_recently_used_goes_first() {
    let mut shelf = Shelf::default();
    put(&mut shelf, 1, 2);
    put(&mut shelf, 2, 2);
    assert!(shelf.get(EntryId([1; 16]), 0, FOREVER).is_some());
    assert_eq!(put(&mut shelf, 3, 2).unwrap().len(), 1);
    assert!(shelf.get(EntryId([2; 16]), 0, FOREVER).is_none());
    assert!(shelf.get(EntryId([1; 16]), 0, FOREVER).is_some());
}

fn purge(shelf: &mut Shelf, purge: &Purge) -> usize {
    shelf.epochs.grow(purge);
    shelf.forget((0, 0), usize::MAX).0.len()
}

#[test]
fn an_answer_asked_for_before_a_purge_cannot_enter_after_it() {
    let mut shelf = Shelf::default();
    purge(&mut shelf, &Purge::Tenant("a".into()));
    let (late, other) = (
        entry(&mut shelf, 1, "a", 1000),
        entry(&mut shelf, 2, "b", 1000),
    );
    assert!(shelf.insert(Arc::clone(&late)).is_none());
    assert!(shelf.insert(other).is_some());
    let late = Entry {
        epoch: 1,
        ..Entry::clone(&late)
    };
    assert!(shelf.insert(Arc::new(late)).is_some());
}

#[test]
fn what_was_called_off_is_absent_before_it_is_taken_out() {
    let mut shelf = Shelf::default();
    let one = entry(&mut shelf, 1, "a", 1000);
    let serial = one.serial;
    shelf.insert(one);
    shelf.epochs.grow(&Purge::All);
    assert!(shelf.get(EntryId([1; 16]), 0, FOREVER).is_none());
    assert!(shelf.by_serial(serial).is_none());
    assert_eq!(shelf.len(), 1);
    assert_eq!(shelf.forget((0, 0), 10).0.len(), 1);
}

#[test]
fn each_purge_takes_what_it_means_and_nothing_else() {
    for (purge, left) in [
        (Purge::All, 0),
        (Purge::Tenant("a".into()), 1),
        (Purge::Tag("team".to_owned(), "b".to_owned()), 2),
        (Purge::Tag("team".to_owned(), "c".to_owned()), 3),
        (Purge::Entry(EntryId([1; 16])), 2),
    ] {
        let mut shelf = Shelf::default();
        for (id, tenant) in [(1, "a"), (2, "a"), (3, "b")] {
            let entry = entry(&mut shelf, id, tenant, 1000);
            shelf.insert(entry);
        }
        assert_eq!(self::purge(&mut shelf, &purge) + left, 3, "{purge:?}");
        assert_eq!(shelf.len(), left, "{purge:?}");
    }
}

#[test]
fn a_sweep_takes_the_expired_alone() {
    let mut shelf = Shelf::default();
    for (id, expires) in [(1, 10), (2, 20), (3, 30)] {
        let entry = entry(&mut shelf, id, "a", expires);
        shelf.insert(entry);
    }
    assert_eq!(shelf.sweep(20, 100).len(), 2);
    assert_eq!(shelf.len(), 1);
}

#[test]
fn a_partition_lives_as_long_as_its_last_entry() {
    let mut shelf = Shelf::default();
    put(&mut shelf, 1, 10);
    put(&mut shelf, 4, 10);
    assert_eq!(shelf.partitions(), 1);
    purge(&mut shelf, &Purge::Entry(EntryId([1; 16])));
    assert_eq!(shelf.partitions(), 1);
    purge(&mut shelf, &Purge::Entry(EntryId([4; 16])));
    assert_eq!(shelf.partitions(), 0);
}

proptest! {
    #[test]
    fn whatever_happens_the_books_agree(steps in prop::collection::vec((0u8..6, 0u8..12), 0..120)) {
        let mut shelf = Shelf::default();
        for (what, id) in steps {
            match what {
                0..=2 => _ = put(&mut shelf, id, 7),
                3 => _ = shelf.get(EntryId([id; 16]), 0, FOREVER),
                4 => _ = shelf.drop_serial(u64::from(id)),
                _ => _ = shelf.configure(at_most(u64::from(id).max(1))),
            }
            prop_assert!(shelf.len() <= 7);
            prop_assert_eq!(shelf.len(), shelf.by_serial.len());
            prop_assert_eq!(shelf.len(), shelf.order.len());
            prop_assert_eq!(shelf.len(), shelf.by_expiry.len());
            let live: usize = shelf.segments.values().map(|segment| segment.live).sum();
            prop_assert_eq!(live, shelf.len());
            prop_assert!(shelf.segments.values().all(|segment| segment.live > 0));
            let bytes: usize = shelf.slots.values().map(|slot| slot.entry.bytes()).sum();
            prop_assert_eq!(bytes, shelf.bytes);
        }
    }
}
