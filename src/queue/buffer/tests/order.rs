//! Whose turn it is.

use super::*;

#[test]
fn critical_overtakes_a_backlog_of_low() {
    let mut buffer = Buffer::new(patient(100));
    for id in 0..20 {
        buffer
            .push(item(id, "a", Priority::Low), at(0), UNKNOWN)
            .unwrap();
    }
    for _ in 0..3 {
        buffer.pop(at(0)).item.unwrap();
    }
    for id in 100..108 {
        buffer
            .push(item(id, "a", Priority::Critical), at(0), UNKNOWN)
            .unwrap();
    }
    let order = pop_all(&mut buffer, at(0));
    assert_eq!(order[..8], [100, 101, 102, 103, 104, 105, 106, 107]);
}

#[test]
fn a_burst_is_served_most_urgent_first() {
    let mut buffer = Buffer::new(patient(100));
    let burst = [
        Priority::Low,
        Priority::Normal,
        Priority::High,
        Priority::Critical,
    ];
    for (id, priority) in (0..).zip(burst) {
        buffer
            .push(item(id, "a", priority), at(0), UNKNOWN)
            .unwrap();
    }
    assert_eq!(pop_all(&mut buffer, at(0)), [3, 2, 1, 0]);
}

#[test]
fn low_still_progresses_under_a_flood_of_critical() {
    let mut buffer = Buffer::new(patient(1_000));
    for id in 0..20 {
        buffer
            .push(item(id, "a", Priority::Low), at(0), UNKNOWN)
            .unwrap();
    }
    let mut low = 0;
    for id in 100..190 {
        buffer
            .push(item(id, "a", Priority::Critical), at(0), UNKNOWN)
            .unwrap();
        let served = buffer.pop(at(0)).item.unwrap();
        low += u32::from(served.priority == Priority::Low);
    }
    assert_eq!(low, 10);
}

#[test]
fn the_earliest_deadline_goes_first_and_ties_go_by_arrival() {
    let mut buffer = Buffer::new(patient(100));
    for (id, deadline, arrival) in [(1, 9_000, 5), (2, 8_000, 9), (3, 9_000, 4), (4, 9_000, 5)] {
        let (deadline, arrival) = (at(deadline), at(arrival));
        let item = Item {
            deadline,
            arrival,
            ..item(id, "a", Priority::Normal)
        };
        buffer.push(item, at(10), UNKNOWN).unwrap();
    }
    assert_eq!(pop_all(&mut buffer, at(10)), [2, 3, 1, 4]);
}

#[test]
fn tenants_take_turns_however_long_their_backlogs() {
    let mut buffer = Buffer::new(patient(1_000));
    for id in 0..50 {
        buffer
            .push(item(id, "flood", Priority::Normal), at(0), UNKNOWN)
            .unwrap();
    }
    buffer
        .push(item(100, "light", Priority::Normal), at(0), UNKNOWN)
        .unwrap();
    buffer
        .push(item(101, "light", Priority::Normal), at(0), UNKNOWN)
        .unwrap();
    let order = pop_all(&mut buffer, at(0));
    let last = order.iter().position(|id| *id == 101).unwrap();
    assert!(last < 4, "{order:?}");
}

#[test]
fn waiting_long_enough_lifts_an_item_level_by_level() {
    // Low climbs after 10 s, 15 s and 18 s; at each step it overtakes a flood of the level below.
    for (millis, rivals, first) in [
        (9_999, Priority::Normal, 1),
        (10_000, Priority::Normal, 0),
        (14_999, Priority::High, 1),
        (15_000, Priority::High, 0),
        (17_999, Priority::Critical, 1),
        (18_000, Priority::Critical, 0),
    ] {
        let mut buffer = Buffer::new(patient(100));
        buffer
            .push(item(0, "a", Priority::Low), at(0), UNKNOWN)
            .unwrap();
        let rival = Item {
            arrival: at(millis),
            ..item(1, "a", rivals)
        };
        buffer.push(rival, at(millis), UNKNOWN).unwrap();
        let served = buffer.pop(at(millis)).item.unwrap();
        assert_eq!(served.id.0, first, "after {millis} ms against {rivals}");
    }
}

#[test]
fn a_flood_does_not_climb_by_being_a_flood() {
    let mut buffer = Buffer::new(patient(1_000));
    for id in 0..200 {
        buffer
            .push(item(id, "flood", Priority::Low), at(0), UNKNOWN)
            .unwrap();
    }
    // Something of it is served every second, so nothing of it is starved.
    for second in 1..=60 {
        buffer.pop(at(second * 1_000)).item.unwrap();
    }
    let now = at(60_500);
    buffer
        .push(item(900, "light", Priority::Normal), now, UNKNOWN)
        .unwrap();
    assert_eq!(buffer.pop(now).item.unwrap().id, ItemId(900));
}

#[test]
fn a_tenant_that_calls_everything_critical_sinks_until_the_boost() {
    let others = ["b", "c", "d", "e", "f", "g"];
    let mut buffer = Buffer::new(patient(10_000));
    for id in 0..100 {
        buffer
            .push(item(id, "greedy", Priority::Critical), at(0), UNKNOWN)
            .unwrap();
    }
    for (id, tenant) in (1_000..1_060).zip(others.into_iter().cycle()) {
        buffer
            .push(item(id, tenant, Priority::Low), at(0), UNKNOWN)
            .unwrap();
    }
    let mut greedy_of = |count: u32, now| {
        let greedy = TenantId::from("greedy");
        let served = (0..count).filter_map(|_| buffer.pop(now).item);
        served.filter(|item| item.tenant == greedy).count()
    };
    assert_eq!(greedy_of(9, at(0)), 8, "at first its label counts");
    assert!(greedy_of(4, at(0)) >= 3, "until there is evidence");
    assert!(greedy_of(30, at(0)) <= 22, "then it is served lower");
    assert_eq!(greedy_of(1, at(5_000)), 1, "the boost forgives");
}
