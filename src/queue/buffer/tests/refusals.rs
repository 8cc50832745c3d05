//! Who may not wait, and who gives way.

use super::*;

#[test]
fn a_depth_of_zero_lets_nothing_wait() {
    let mut buffer = Buffer::new(patient(0));
    let refused = buffer.push(item(1, "a", Priority::Critical), at(0), UNKNOWN);
    assert_eq!(
        refused,
        Err(Refused::Full {
            retry_after: SECOND
        })
    );
    assert_eq!(buffer.depth(), 0);
    assert_eq!(buffer.pop(at(0)), Popped::default());
}

#[test]
fn a_lone_user_fills_a_small_queue_exactly() {
    for depth in [1, 3, 5] {
        let mut buffer = Buffer::new(patient(depth));
        for id in 0..u64::from(depth) {
            assert_eq!(
                buffer.push(item(id, "a", Priority::Low), at(0), UNKNOWN),
                Ok(vec![])
            );
        }
        let refused = buffer
            .push(item(99, "a", Priority::Low), at(0), UNKNOWN)
            .unwrap_err();
        assert_eq!(
            refused,
            Refused::Full {
                retry_after: SECOND
            }
        );
        assert!(!refused.tenant_at_fault());
        assert_eq!(buffer.depth(), depth);
    }
}

#[test]
fn an_item_waits_only_once() {
    let mut buffer = Buffer::new(patient(5));
    buffer
        .push(item(1, "a", Priority::Low), at(0), UNKNOWN)
        .unwrap();
    let again = buffer.push(item(1, "a", Priority::Critical), at(0), UNKNOWN);
    assert_eq!(again, Err(Refused::Duplicate));
    assert_eq!(buffer.depth_by_priority(), [0, 0, 0, 1]);
}

#[test]
fn a_passed_deadline_is_refused_without_advice() {
    let mut buffer = Buffer::new(patient(5));
    let late = Item {
        deadline: at(10),
        ..item(1, "a", Priority::Normal)
    };
    let refused = buffer.push(late, at(10), UNKNOWN).unwrap_err();
    assert_eq!(refused, Refused::DeadlinePassed);
    assert_eq!(refused.retry_after(), None);
}

#[test]
fn a_body_larger_than_the_queue_is_refused_for_good() {
    let mut buffer = Buffer::new(Limits {
        max_bytes: 100,
        ..patient(5)
    });
    let huge = Item {
        bytes: u64::MAX,
        ..item(1, "a", Priority::Critical)
    };
    assert_eq!(buffer.push(huge, at(0), UNKNOWN), Err(Refused::TooBig));
}

#[test]
fn bodies_beyond_the_bytes_are_refused_until_some_are_freed() {
    let mut buffer = Buffer::new(Limits {
        max_bytes: 100,
        ..patient(50)
    });
    let half = |id| Item {
        bytes: 50,
        ..item(id, "a", Priority::Normal)
    };
    buffer.push(half(1), at(0), UNKNOWN).unwrap();
    buffer.push(half(2), at(0), UNKNOWN).unwrap();
    let refused = buffer.push(half(3), at(0), UNKNOWN);
    assert_eq!(
        refused,
        Err(Refused::Bytes {
            retry_after: SECOND
        })
    );
    buffer.cancel(ItemId(1)).unwrap();
    assert_eq!(buffer.bytes(), 50);
    assert_eq!(buffer.push(half(3), at(0), UNKNOWN), Ok(vec![]));
}

#[test]
fn a_tenant_keeps_to_its_quarter_once_another_waits() {
    let mut buffer = Buffer::new(patient(8));
    for id in 0..3 {
        buffer
            .push(item(id, "greedy", Priority::Normal), at(0), UNKNOWN)
            .unwrap();
    }
    buffer
        .push(item(10, "other", Priority::Normal), at(0), UNKNOWN)
        .unwrap();
    let refused = buffer
        .push(item(11, "greedy", Priority::Normal), at(0), UNKNOWN)
        .unwrap_err();
    assert_eq!(
        refused,
        Refused::TenantShare {
            retry_after: SECOND
        }
    );
    assert!(refused.tenant_at_fault());
    assert_eq!(
        buffer.push(item(12, "other", Priority::Normal), at(0), UNKNOWN),
        Ok(vec![])
    );
}

#[test]
fn a_level_keeps_to_its_half_once_another_waits() {
    let mut buffer = Buffer::new(patient(4));
    buffer
        .push(item(1, "a", Priority::Low), at(0), UNKNOWN)
        .unwrap();
    buffer
        .push(item(2, "a", Priority::Critical), at(0), UNKNOWN)
        .unwrap();
    buffer
        .push(item(3, "a", Priority::Critical), at(0), UNKNOWN)
        .unwrap();
    let refused = buffer.push(item(4, "a", Priority::Critical), at(0), UNKNOWN);
    assert_eq!(
        refused,
        Err(Refused::LevelShare {
            retry_after: SECOND
        })
    );
    assert_eq!(
        buffer.push(item(5, "a", Priority::Low), at(0), UNKNOWN),
        Ok(vec![])
    );
}

#[test]
fn an_equal_does_not_push_an_equal_out() {
    let mut buffer = Buffer::new(patient(2));
    buffer
        .push(item(1, "a", Priority::High), at(0), UNKNOWN)
        .unwrap();
    buffer
        .push(item(2, "a", Priority::High), at(0), UNKNOWN)
        .unwrap();
    for priority in [Priority::High, Priority::Normal, Priority::Low] {
        let refused = buffer.push(item(3, "b", priority), at(0), UNKNOWN);
        assert_eq!(
            refused,
            Err(Refused::Full {
                retry_after: SECOND
            })
        );
    }
}

#[test]
fn a_full_queue_evicts_the_newest_of_the_largest_tenant_in_the_lowest_level() {
    let mut buffer = Buffer::new(patient(100));
    for (id, tenant, priority) in [
        (1, "small", Priority::Low),
        (2, "large", Priority::Low),
        (3, "large", Priority::Low),
        (4, "large", Priority::Normal),
    ] {
        buffer
            .push(item(id, tenant, priority), at(0), UNKNOWN)
            .unwrap();
    }
    buffer.reconfigure(patient(4));
    let evicted = buffer
        .push(item(9, "urgent", Priority::Critical), at(0), UNKNOWN)
        .unwrap();
    let ids: Vec<_> = evicted.iter().map(|evicted| evicted.item.id.0).collect();
    assert_eq!(ids, [3]);
    assert_eq!(buffer.depth(), 4);
}

#[test]
fn a_newcomer_that_is_refused_evicts_nobody() {
    let mut buffer = measured(Limits {
        max_depth: 5,
        ..Limits::default()
    });
    for id in 0..5 {
        let cost = 64 + 1_000 * u64::from(id < 1);
        let low = Item {
            cost,
            ..item(id, "a", Priority::Low)
        };
        buffer.push(low, at(20_000), UNKNOWN).unwrap();
    }
    let hasty = Item {
        deadline: at(20_001),
        cost: 8_000,
        ..item(9, "a", Priority::Critical)
    };
    let refused = buffer.push(hasty, at(20_000), UNKNOWN).unwrap_err();
    assert!(matches!(
        refused,
        Refused::WaitTooLong { .. } | Refused::DeadlineTooClose { .. }
    ));
    assert_eq!(buffer.depth(), 5);
}

#[test]
fn a_predicted_wait_beyond_the_levels_patience_is_refused_with_the_wait_as_advice() {
    let mut buffer = measured(impatient());
    for id in 0..10 {
        buffer
            .push(item(id, "a", Priority::Normal), at(20_000), UNKNOWN)
            .unwrap();
    }
    let high = item(50, "a", Priority::High);
    assert_eq!(buffer.push(high, at(20_000), UNKNOWN), Ok(vec![]));
    for id in 10..30 {
        buffer
            .push(item(id, "a", Priority::Normal), at(20_000), UNKNOWN)
            .unwrap();
    }
    let refused = buffer
        .push(item(99, "a", Priority::Normal), at(20_000), UNKNOWN)
        .unwrap_err();
    let Refused::WaitTooLong {
        retry_after,
        over_share,
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert!(
        (retry_after.as_secs_f64() - 31.0).abs() < 0.5,
        "{retry_after:?}"
    );
    assert!(!over_share, "the only tenant cannot be over its share");
}

#[test]
fn a_predicted_wait_is_the_tenants_fault_when_it_holds_more_than_its_part() {
    let mut buffer = measured(Limits {
        max_depth: 1_000,
        ..impatient()
    });
    for id in 0..25 {
        buffer
            .push(item(id, "greedy", Priority::Normal), at(20_000), UNKNOWN)
            .unwrap();
    }
    for id in 50..56 {
        buffer
            .push(item(id, "other", Priority::Normal), at(20_000), UNKNOWN)
            .unwrap();
    }
    let refused = buffer.push(item(99, "greedy", Priority::Normal), at(20_000), UNKNOWN);
    assert!(
        matches!(
            refused,
            Err(Refused::WaitTooLong {
                over_share: true,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(
        buffer.push(item(98, "other", Priority::Normal), at(20_000), UNKNOWN),
        Ok(vec![])
    );
}

#[test]
fn a_deadline_that_leaves_no_time_for_the_answer_is_refused() {
    let mut buffer = measured(impatient());
    let soon = |id| Item {
        deadline: at(25_000),
        ..item(id, "a", Priority::Normal)
    };
    buffer.push(soon(1), at(20_000), UNKNOWN).unwrap();
    buffer.push(soon(2), at(20_000), UNKNOWN).unwrap();
    let slow = ServiceEstimate {
        p50: Some(4 * SECOND),
    };
    let refused = buffer.push(soon(3), at(20_000), slow).unwrap_err();
    let Refused::DeadlineTooClose { retry_after, .. } = refused else {
        panic!("{refused:?}")
    };
    assert!(
        (retry_after.as_secs_f64() - 2.0).abs() < 0.1,
        "{retry_after:?}"
    );
    let quick = ServiceEstimate { p50: Some(SECOND) };
    assert_eq!(buffer.push(soon(3), at(20_000), quick), Ok(vec![]));
}

#[test]
fn a_close_deadline_that_goes_first_is_not_refused_for_those_behind_it() {
    let mut buffer = measured(impatient());
    for id in 0..20 {
        buffer
            .push(item(id, "a", Priority::Normal), at(20_000), UNKNOWN)
            .unwrap();
    }
    let soon = Item {
        deadline: at(22_000),
        ..item(50, "a", Priority::Normal)
    };
    assert_eq!(buffer.push(soon, at(20_000), UNKNOWN), Ok(vec![]));
    assert_eq!(buffer.pop(at(20_000)).item.unwrap().id, ItemId(50));
}

#[test]
fn a_buffer_that_never_dispatched_refuses_nobody_on_a_guess() {
    let mut buffer = Buffer::new(Limits {
        max_depth: 1_000,
        ..impatient()
    });
    for id in 0..1_000 {
        let costly = Item {
            cost: MAX_COST,
            ..item(id, "a", Priority::Critical)
        };
        assert_eq!(buffer.push(costly, at(0), UNKNOWN), Ok(vec![]));
    }
}

#[test]
fn who_need_not_wait_is_let_through_however_slow_answers_seem() {
    let mut buffer = measured(impatient());
    let hasty = Item {
        deadline: at(21_000),
        ..item(1, "a", Priority::Critical)
    };
    let slow = ServiceEstimate { p50: Some(MINUTE) };
    assert_eq!(buffer.push(hasty, at(20_000), slow), Ok(vec![]));
}

#[test]
fn a_demoted_tenant_pushes_nobody_out_by_its_label() {
    let mut buffer = Buffer::new(patient(2));
    for (id, tenant) in [(1, "b"), (2, "c")] {
        buffer
            .push(item(id, tenant, Priority::High), at(0), UNKNOWN)
            .unwrap();
    }
    for _ in 0..100 {
        buffer.record_dispatch(&"greedy".into(), 1_000, at(0));
    }
    let refused = buffer.push(item(9, "greedy", Priority::Critical), at(0), UNKNOWN);
    assert_eq!(
        refused,
        Err(Refused::Full {
            retry_after: SECOND
        })
    );
    let evicted = buffer
        .push(item(10, "d", Priority::Critical), at(0), UNKNOWN)
        .unwrap();
    assert_eq!(evicted.len(), 1);
}
