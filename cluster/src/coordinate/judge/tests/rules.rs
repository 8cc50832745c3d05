//! When a breaker opens, and when it does not.

use super::*;

fn causes(court: &mut Court) -> Vec<Cause> {
    let steps = court.judge().into_iter();
    let cause = |change: BreakerChange| {
        let BreakerStep::Open { cause, .. } = change.to else {
            panic!("{change:?}");
        };
        cause
    };
    steps.map(cause).collect()
}

#[test]
fn four_failures_in_a_row_are_not_five() {
    let mut court = court(&["gpu"]);
    court.hear(1, &[("gpu", streak(4))]);
    assert_eq!(causes(&mut court), []);
    court.hear(1, &[("gpu", streak(5))]);
    assert_eq!(causes(&mut court), [Cause::Streak]);
}

#[test]
fn failures_in_a_row_are_summed_over_nodes() {
    let mut court = court(&["gpu"]);
    court.hear(1, &[("gpu", streak(3))]);
    assert_eq!(causes(&mut court), []);
    court.hear(2, &[("gpu", streak(2))]);
    assert_eq!(causes(&mut court), [Cause::Streak]);
}

#[test]
fn failures_before_a_good_answer_anywhere_do_not_count() {
    let mut court = court(&["gpu"]);
    court.hear(1, &[("gpu", streak(5))]);
    let good = Evidence {
        last_ok_age_ms: Some(15),
        ..calls(1, 0)
    };
    court.hear(2, &[("gpu", good)]);
    assert_eq!(causes(&mut court), []);
}

#[test]
fn one_node_is_not_enough_where_another_has_traffic() {
    let mut court = court(&["gpu"]);
    let earlier = Evidence {
        last_ok_age_ms: Some(5_000),
        ..calls(2, 0)
    };
    court.hear(2, &[("gpu", earlier.clone())]);
    court.hear(1, &[("gpu", streak(9))]);
    assert_eq!(causes(&mut court), []);
    let both = Evidence {
        failure_ages_ms: vec![0],
        ..earlier
    };
    court.hear(2, &[("gpu", both)]);
    assert_eq!(causes(&mut court), [Cause::Streak]);
}

#[test]
fn one_node_that_fails_waits_for_those_that_were_not_heard_of_since() {
    let mut idle = court(&["gpu"]);
    idle.hear(2, &[]);
    idle.wait(100);
    idle.hear(1, &[("gpu", streak(5))]);
    assert_eq!(causes(&mut idle), []);
    idle.wait(100);
    let mut busy = idle.clone();
    idle.hear(2, &[]);
    assert_eq!(causes(&mut idle), [Cause::Streak]);
    busy.hear(2, &[("gpu", calls(20, 0))]);
    assert_eq!(causes(&mut busy), [], "its path is at fault");
}

#[test]
fn a_threshold_beyond_the_failures_that_are_told_is_reached_by_counts() {
    let mut court = court(&["gpu"]);
    let numbers = BreakerPolicy {
        failure_threshold: 40,
        ..NUMBERS
    };
    court.policy.breakers.insert(gpu(), numbers);
    let told = |hard| Evidence {
        failure_ages_ms: vec![0; 16],
        ..calls(0, hard)
    };
    court.hear(1, &[("gpu", told(39))]);
    assert_eq!(causes(&mut court), []);
    court.hear(1, &[("gpu", told(40))]);
    assert_eq!(causes(&mut court), [Cause::Streak]);
}

#[test]
fn half_of_twenty_calls_opens_as_two_nodes_see_it() {
    let mut court = court(&["gpu"]);
    court.hear(1, &[("gpu", calls(5, 5))]);
    court.hear(2, &[("gpu", calls(5, 4))]);
    assert_eq!(causes(&mut court), []);
    court.hear(2, &[("gpu", calls(5, 5))]);
    assert_eq!(causes(&mut court), [Cause::Rate]);
}

#[test]
fn a_high_threshold_is_not_undercut_by_the_rate() {
    let mut court = court(&["gpu"]);
    let numbers = BreakerPolicy {
        failure_threshold: 30,
        ..NUMBERS
    };
    court.policy.breakers.insert(gpu(), numbers);
    court.hear(1, &[("gpu", calls(15, 15))]);
    court.hear(2, &[("gpu", calls(14, 15))]);
    assert_eq!(causes(&mut court), []);
    court.hear(2, &[("gpu", calls(15, 15))]);
    assert_eq!(causes(&mut court), [Cause::Rate]);
}

#[test]
fn the_only_node_with_a_say_suffices_for_the_rate() {
    let mut court = court(&["gpu"]);
    court.hear(1, &[("gpu", calls(10, 10))]);
    court.hear(2, &[("gpu", calls(4, 0))]);
    assert_eq!(causes(&mut court), []);
    court.hear(1, &[("gpu", calls(10, 14))]);
    assert_eq!(causes(&mut court), [Cause::Rate]);
}

#[test]
fn four_in_five_of_twenty_slow_answers_open() {
    let slow = |slow| {
        let mut evidence = Evidence::default();
        evidence.buckets[0] = Calls {
            ok: 20,
            hard: 0,
            slow,
        };
        evidence
    };
    let mut court = court(&["gpu"]);
    court.hear(1, &[("gpu", slow(15))]);
    assert_eq!(causes(&mut court), []);
    court.hear(1, &[("gpu", slow(16))]);
    assert_eq!(causes(&mut court), [Cause::Slow]);
}

#[test]
fn a_path_fault_opens_nothing_and_is_told() {
    let mut court = court(&["gpu"]);
    court.hear(1, &[("gpu", streak(30))]);
    court.hear(2, &[("gpu", calls(5, 0))]);
    assert_eq!(causes(&mut court), []);
    let figures = court.judge.figures(court.now);
    assert_eq!(figures.path_suspects, [(MemberId(1), gpu())]);
    // it reaches the upstream again
    court.hear(1, &[("gpu", calls(30, 1))]);
    court.judge();
    assert_eq!(court.judge.figures(court.now).path_suspects, []);
}

#[test]
fn evidence_of_another_epoch_is_not_counted() {
    let mut court = court(&["gpu"]);
    let record = BreakerRecord {
        epoch: 4,
        ..BreakerRecord::default()
    };
    court.records.insert(gpu(), record);
    court.judge();
    court.wait(2_000);
    court.hear(1, &[("gpu", streak(9))]);
    assert_eq!(causes(&mut court), []);
    let late = Evidence {
        epoch: 4,
        ..streak(9)
    };
    court.hear(1, &[("gpu", late)]);
    assert_eq!(causes(&mut court), [Cause::Streak]);
}

#[test]
fn calls_leave_the_window_as_they_age() {
    let mut court = court(&["gpu"]);
    court.hear(1, &[("gpu", calls(0, 12))]);
    court.wait(10_000);
    court.hear(2, &[("gpu", calls(0, 12))]);
    assert_eq!(causes(&mut court), []);
}

#[test]
fn an_operators_word_is_not_overruled() {
    for mode in [Mode::ForceOpen, Mode::ForceClosed] {
        let mut court = court(&["gpu"]);
        let record = BreakerRecord {
            epoch: 1,
            mode,
            opens: 3,
            ..BreakerRecord::default()
        };
        court.records.insert(gpu(), record);
        court.judge();
        court.wait(100_000);
        let failing = Evidence {
            epoch: 1,
            healthy: true,
            ..streak(9)
        };
        court.hear(1, &[("gpu", failing)]);
        assert_eq!(causes(&mut court), []);
    }
}

#[test]
fn an_upstream_no_config_knows_does_not_open() {
    let mut court = court(&[]);
    court.hear(1, &[("gpu", streak(9))]);
    assert_eq!(causes(&mut court), []);
}

#[test]
fn a_new_leader_hears_the_others_before_it_opens() {
    let mut court = court(&["gpu"]);
    court.judge.begin(court.now);
    court.hear(1, &[("gpu", streak(9))]);
    assert_eq!(causes(&mut court), []);
    court.wait(500);
    assert_eq!(causes(&mut court), [Cause::Streak]);
}
