//! How items leave other than by their turn, and what that frees.

use super::*;

#[test]
fn an_expired_item_is_handed_back_and_never_dispatched() {
    let mut buffer = Buffer::new(patient(5));
    let late = Item {
        deadline: at(100),
        ..item(1, "a", Priority::Critical)
    };
    buffer.push(late.clone(), at(0), UNKNOWN).unwrap();
    buffer
        .push(item(2, "a", Priority::Low), at(0), UNKNOWN)
        .unwrap();
    assert_eq!(buffer.next_deadline(), Some(at(100)));
    assert_eq!(buffer.expire(at(99)), []);
    let popped = buffer.pop(at(100));
    assert_eq!(
        popped.expired,
        [Expired {
            item: late,
            lapse: Lapse::Deadline
        }]
    );
    assert_eq!(popped.item.unwrap().id, ItemId(2));
    assert_eq!(buffer.next_deadline(), None);
}

#[test]
fn the_longest_wait_of_a_level_ends_before_a_distant_deadline() {
    let mut buffer = Buffer::new(impatient());
    buffer
        .push(item(1, "a", Priority::Critical), at(500), UNKNOWN)
        .unwrap();
    assert_eq!(buffer.next_deadline(), Some(at(2_500)));
    let expired = buffer.expire(at(2_500));
    assert_eq!(
        expired.first().map(|expired| expired.lapse),
        Some(Lapse::MaxWait)
    );
    assert_eq!(buffer.depth(), 0);
}

#[test]
fn a_disconnected_client_frees_its_slot_at_once() {
    let mut buffer = Buffer::new(patient(1));
    buffer
        .push(item(1, "a", Priority::Normal), at(0), UNKNOWN)
        .unwrap();
    assert!(
        buffer
            .push(item(2, "a", Priority::Normal), at(0), UNKNOWN)
            .is_err()
    );
    assert_eq!(
        buffer.cancel(ItemId(1)).map(|item| item.id),
        Some(ItemId(1))
    );
    assert_eq!(buffer.cancel(ItemId(1)), None);
    assert_eq!(
        (buffer.depth(), buffer.bytes(), buffer.next_deadline()),
        (0, 0, None)
    );
    assert_eq!(
        buffer.push(item(2, "a", Priority::Normal), at(0), UNKNOWN),
        Ok(vec![])
    );
    assert_eq!(pop_all(&mut buffer, at(0)), [2]);
}

#[test]
fn a_smaller_depth_keeps_who_was_let_in() {
    let mut buffer = Buffer::new(patient(5));
    for id in 0..5 {
        buffer
            .push(item(id, "a", Priority::Normal), at(0), UNKNOWN)
            .unwrap();
    }
    buffer.reconfigure(patient(2));
    assert_eq!(buffer.depth(), 5);
    assert!(
        buffer
            .push(item(9, "a", Priority::Normal), at(0), UNKNOWN)
            .is_err()
    );
    assert_eq!(pop_all(&mut buffer, at(0)), [0, 1, 2, 3, 4]);
}

#[test]
fn draining_hands_everything_back_in_order_of_admission() {
    let mut buffer = Buffer::new(patient(8));
    for (id, priority) in [
        (7, Priority::Low),
        (3, Priority::Critical),
        (5, Priority::Low),
    ] {
        buffer
            .push(item(id, "a", priority), at(0), UNKNOWN)
            .unwrap();
    }
    let ids: Vec<_> = buffer
        .drain_all()
        .into_iter()
        .map(|item| item.id.0)
        .collect();
    assert_eq!(ids, [7, 3, 5]);
    assert_eq!(
        (buffer.depth(), buffer.bytes(), buffer.next_deadline()),
        (0, 0, None)
    );
    assert_eq!(buffer.pop(at(0)).item, None);
    assert_eq!(
        buffer.push(item(7, "a", Priority::Low), at(0), UNKNOWN),
        Ok(vec![])
    );
}

#[test]
fn costs_are_clamped_on_the_way_in() {
    let mut buffer = Buffer::new(patient(2));
    for (id, cost) in [(1, 0), (2, u64::MAX)] {
        buffer
            .push(
                Item {
                    cost,
                    ..item(id, "a", Priority::Normal)
                },
                at(0),
                UNKNOWN,
            )
            .unwrap();
    }
    let costs: Vec<_> = buffer
        .drain_all()
        .into_iter()
        .map(|item| item.cost)
        .collect();
    assert_eq!(costs, [MIN_COST, MAX_COST]);
}
