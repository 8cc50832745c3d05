//! Bounds that always hold, quotas, and what a scan does not push out.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

fn limits(max_entries: u64, per_tenant: u64, eviction: Eviction) -> Limits {
    Limits {
        max_entries,
        per_tenant,
        eviction,
    }
}

fn key(number: u32) -> EntryId {
    let mut id = [0; 16];
    blake3::Hasher::new()
        .update(&number.to_le_bytes())
        .finalize_xof()
        .fill(&mut id);
    EntryId(id)
}

fn ask(shelf: &mut Shelf, number: u32, tenant: &str, tokens: u64, bytes: usize) -> bool {
    if shelf.get(key(number), 0, FOREVER).is_some() {
        return true;
    }
    let serial = shelf.next_serial();
    let entry = Entry {
        id: key(number),
        serial,
        tenant: TenantId::from(tenant),
        witness: None,
        tags: Vec::new(),
        meaning: None,
        epoch: 0,
        created: 0,
        expires: 1000,
        borrowed: false,
        answer: Arc::new(StoredAnswer {
            text: "x".repeat(bytes),
            usage: Usage::new(tokens, 0),
            model: "m".into(),
            shown_model: "m".to_owned(),
            created: 0,
        }),
    };
    shelf.insert(Arc::new(entry));
    false
}

fn held(shelf: &Shelf, numbers: std::ops::Range<u32>) -> usize {
    numbers
        .filter(|n| shelf.slots.contains_key(&key(*n)))
        .count()
}

fn after_a_scan(eviction: Eviction) -> usize {
    let mut shelf = Shelf::default();
    shelf.configure(limits(200, 0, eviction));
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..2000 {
        ask(&mut shelf, rng.random_range(0..100), "a", 100, 500);
    }
    for number in 1000..4000 {
        ask(&mut shelf, number, "a", rng.random_range(50..150), 500);
    }
    held(&shelf, 0..100)
}

#[test]
fn a_scan_of_one_off_questions_does_not_flush_what_is_asked_for_under_cost() {
    assert_eq!(after_a_scan(Eviction::Lru), 0);
    let kept = after_a_scan(Eviction::Cost);
    assert!(kept >= 98, "{kept} of 100 kept");
}

#[test]
fn what_saves_more_tokens_in_fewer_bytes_stays_under_cost() {
    let mut shelf = Shelf::default();
    shelf.configure(limits(100, 0, Eviction::Cost));
    for number in 0..100 {
        ask(&mut shelf, number, "a", 10, 20_000);
    }
    for number in 100..200 {
        ask(&mut shelf, number, "a", 2000, 500);
    }
    assert!(held(&shelf, 100..200) > 95);
}

#[test]
fn a_newcomer_that_is_asked_for_again_earns_its_place() {
    let mut shelf = Shelf::default();
    shelf.configure(limits(100, 0, Eviction::Cost));
    for round in 0..3 {
        for number in 0..100 {
            ask(&mut shelf, number, "a", 100, 500);
        }
        assert!(round < 3);
    }
    for _ in 0..30 {
        ask(&mut shelf, 1000, "a", 100, 500);
        ask(&mut shelf, 1001, "a", 100, 500);
    }
    assert_eq!(held(&shelf, 1000..1002), 2);
}

#[test]
fn one_tenant_cannot_push_all_others_out() {
    for eviction in [Eviction::Lru, Eviction::Cost] {
        let mut shelf = Shelf::default();
        shelf.configure(limits(100, 40, eviction));
        for number in 0..10 {
            ask(&mut shelf, number, "small", 100, 500);
        }
        for number in 1000..5000 {
            ask(&mut shelf, number, "greedy", 100, 500);
        }
        assert_eq!(held(&shelf, 0..10), 10, "{eviction:?}");
        assert!(shelf.order.of_tenant(&"greedy".into()) <= 40);
    }
}

#[test]
fn a_smaller_quota_takes_effect_at_once() {
    let mut shelf = Shelf::default();
    shelf.configure(limits(100, 0, Eviction::Lru));
    for number in 0..50 {
        ask(&mut shelf, number, "a", 100, 500);
        ask(&mut shelf, number + 50, "b", 100, 500);
    }
    assert_eq!(shelf.configure(limits(100, 20, Eviction::Lru)).len(), 60);
    assert_eq!((held(&shelf, 30..50), held(&shelf, 80..100)), (20, 20));
}

#[test]
fn changing_the_policy_live_keeps_what_fits() {
    let mut shelf = Shelf::default();
    for eviction in [Eviction::Cost, Eviction::Lru, Eviction::Cost] {
        assert!(shelf.configure(limits(50, 0, eviction)).is_empty());
        for number in 0..50 {
            ask(&mut shelf, number, "a", 100, 500);
        }
        assert_eq!(shelf.len(), 50);
    }
}

proptest! {
    #[test]
    fn the_limits_hold_whatever_is_asked(
        steps in prop::collection::vec((0u32..60, 0u8..4, 1u64..1000, 0usize..9000), 1..300),
        changes in prop::collection::vec((1u64..40, 0u64..12, any::<bool>()), 1..6),
    ) {
        let mut shelf = Shelf::default();
        let per_change = steps.len().div_ceil(changes.len());
        for (part, (max, quota, cost)) in steps.chunks(per_change).zip(changes) {
            let eviction = if cost { Eviction::Cost } else { Eviction::Lru };
            shelf.configure(limits(max, quota, eviction));
            for (number, tenant, tokens, bytes) in part {
                ask(&mut shelf, *number * 4 + u32::from(*tenant), &format!("t{tenant}"), *tokens, *bytes);
                prop_assert!(shelf.len() as u64 <= max);
                prop_assert!(quota == 0 || shelf.order.over(quota).is_empty());
                prop_assert!(shelf.bytes <= MAX_BYTES);
                prop_assert_eq!(shelf.len(), shelf.order.len());
                prop_assert_eq!(shelf.len(), shelf.by_serial.len());
            }
        }
    }
}
