//! What holds back an opening that the rules ask for.

use super::*;

fn opened(changes: &[BreakerChange]) -> Vec<&str> {
    changes
        .iter()
        .map(|change| change.target.as_str())
        .collect()
}

#[test]
fn the_rate_never_takes_the_last_healthy_one_of_a_group() {
    let mut court = court(&["a", "b"]);
    court.policy.groups = vec![vec![target("a"), target("b")]];
    court.hear(1, &[("a", calls(10, 10)), ("b", calls(10, 10))]);
    // both at once: the first goes, the second stays
    let first = court.judge();
    assert_eq!(opened(&first), ["a"]);
    court.apply(&first[0]);
    court.wait(1_000);
    assert_eq!(court.judge(), []);
    // it is really dead
    court.hear(1, &[("b", streak(5))]);
    assert_eq!(opened(&court.judge()), ["b"]);
}

#[test]
fn one_held_back_opens_once_another_is_healthy_again() {
    let mut court = court(&["a", "b"]);
    court.policy.groups = vec![vec![target("a"), target("b")]];
    let dead = BreakerRecord {
        epoch: 1,
        phase: Phase::Open,
        cooldown_ms: 60_000,
        ..BreakerRecord::default()
    };
    court.records.insert(target("b"), dead);
    court.hear(1, &[("a", calls(10, 10))]);
    assert_eq!(court.judge(), []);
    court.records.insert(
        target("b"),
        BreakerRecord {
            epoch: 3,
            ..BreakerRecord::default()
        },
    );
    assert_eq!(opened(&court.judge()), ["a"]);
}

#[test]
fn nothing_is_proposed_twice_while_it_is_under_way() {
    let mut court = court(&["gpu"]);
    court.hear(1, &[("gpu", streak(5))]);
    assert_eq!(opened(&court.judge()), ["gpu"]);
    court.wait(4_000);
    court.hear(1, &[("gpu", streak(6))]);
    assert_eq!(court.judge(), []);
    // lost: it is tried again
    court.judge.settle([&gpu()]);
    court.hear(1, &[("gpu", streak(7))]);
    assert_eq!(opened(&court.judge()), ["gpu"]);
}

#[test]
fn one_breaker_moves_once_a_second() {
    let mut court = court(&["gpu"]);
    let numbers = BreakerPolicy {
        recovery_ms: 1,
        ..NUMBERS
    };
    court.policy.breakers.insert(gpu(), numbers);
    court.open_gpu();
    court.wait(999);
    assert_eq!(court.round(), []);
    court.wait(1);
    assert_eq!(court.round().len(), 1);
}

#[test]
fn a_storm_moves_fifty_then_twenty_a_second() {
    let names: Vec<_> = (0..120).map(|n| format!("m{n:03}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut court = court(&names);
    let evidence: Vec<_> = names.iter().map(|name| (*name, streak(5))).collect();
    court.hear(1, &evidence);
    assert_eq!(court.round().len(), 50);
    assert_eq!(court.round().len(), 0);
    let mut rounds = Vec::new();
    for _ in 0..3 {
        court.wait(1_000);
        rounds.push(court.round().len());
    }
    assert_eq!(rounds, [20, 20, 20]);
}

/// An upstream that is to be left alone for long, beside others of which so many are healthy.
fn resting_beside(healthy: usize) -> Court {
    let others = ["a", "b", "c"];
    let mut court = court(&["gpu", "a", "b", "c"]);
    court.policy.groups = vec![["gpu", "a", "b", "c"].map(target).to_vec()];
    let open = |cooldown_ms| BreakerRecord {
        epoch: 1,
        opens: 5,
        phase: Phase::Open,
        cooldown_ms,
        ..BreakerRecord::default()
    };
    court.records.insert(gpu(), open(160_000));
    for name in &others[healthy..] {
        court.records.insert(target(name), open(300_000));
    }
    court.judge();
    court
}

/// Whether it is tried when a node has told of it once more.
fn is_tried(court: &mut Court, after: u64) -> bool {
    court.wait(after);
    court.hear(1, &[("gpu", Evidence::default())]);
    opened(&court.judge()).contains(&"gpu")
}

#[test]
fn one_that_is_needed_is_tried_after_the_configured_time_however_often_it_has_opened() {
    for healthy in [0, 1] {
        let mut court = resting_beside(healthy);
        court.wait(3_900);
        court.hear(1, &[("gpu", Evidence::default())]);
        assert_eq!(opened(&court.judge()), [] as [&str; 0], "{healthy}");
        // the configured five seconds, give or take a fifth
        assert!(is_tried(&mut court, 2_200), "{healthy}");
    }
}

#[test]
fn one_that_others_stand_in_for_is_left_alone_for_as_long_as_was_agreed() {
    let mut court = resting_beside(2);
    for _ in 0..159 {
        assert!(!is_tried(&mut court, 1_000));
    }
    assert!(is_tried(&mut court, 1_000));
}

#[test]
fn what_the_upstream_asked_for_stands_though_it_is_needed() {
    let mut court = resting_beside(0);
    let asked = |left| Evidence {
        epoch: 1,
        retry_after_ms: Some(left),
        ..Evidence::default()
    };
    court.hear(1, &[("gpu", asked(40_000))]);
    for left in (1..40).rev() {
        court.wait(1_000);
        court.hear(1, &[("gpu", asked(left * 1_000))]);
        assert!(!opened(&court.judge()).contains(&"gpu"), "{left} s");
    }
    court.wait(1_000);
    court.hear(1, &[("gpu", asked(0))]);
    assert!(opened(&court.judge()).contains(&"gpu"));
}

#[test]
fn the_route_with_the_fewest_others_decides() {
    let mut court = resting_beside(2);
    court.policy.groups.push(vec![gpu()]);
    assert!(is_tried(&mut court, 6_100));
}

#[test]
fn a_first_opening_rests_for_as_long_as_was_agreed() {
    let mut court = resting_beside(0);
    let mut first = court.records[&gpu()].clone();
    (first.opens, first.cooldown_ms) = (1, 6_000);
    court.records.insert(gpu(), first);
    assert!(!is_tried(&mut court, 5_999));
    assert!(is_tried(&mut court, 1));
}

#[test]
fn a_new_leader_hears_what_upstreams_have_asked_for_before_it_tries_one() {
    let mut court = resting_beside(0);
    court.wait(60_000);
    court.judge.begin(court.now);
    assert!(!is_tried(&mut court, 2_999));
    assert!(is_tried(&mut court, 1));
}

#[test]
fn openings_of_more_than_ten_minutes_ago_make_no_rest_longer() {
    let mut court = court(&["gpu"]);
    let closed = BreakerRecord {
        epoch: 1200,
        opens: 600,
        ..BreakerRecord::default()
    };
    court.records.insert(gpu(), closed);
    court.judge();
    court.wait(10_000);
    let evidence = Evidence {
        epoch: 1200,
        ..streak(5)
    };
    court.hear(1, &[("gpu", evidence)]);
    let steps = court.round();
    let [BreakerStep::Open { cooldown_ms, .. }] = steps[..] else {
        panic!("{steps:?}");
    };
    assert!((4_000..=6_000).contains(&cooldown_ms), "{cooldown_ms}");
}
