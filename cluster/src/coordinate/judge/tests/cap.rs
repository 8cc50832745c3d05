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
