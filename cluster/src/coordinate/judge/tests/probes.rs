//! Who probes, until when, and what comes of it.

use super::*;

fn holder(steps: &[BreakerStep]) -> Option<u64> {
    match steps {
        [] => None,
        [BreakerStep::HalfOpen { holder, .. }] => Some(holder.0),
        other => panic!("{other:?}"),
    }
}

fn heartbeats(court: &mut Court, members: &[u64]) {
    for member in members {
        court.hear(*member, &[]);
    }
}

fn probe(court: &Court, good: u32, failed: bool) -> Evidence {
    Evidence {
        epoch: court.epoch(),
        probe: Some(Probe { good, failed }),
        ..Evidence::default()
    }
}

/// Half-open, and who holds the lease.
fn half_open(members: &[u64]) -> (Court, u64) {
    let mut court = court(&["gpu"]);
    court.open_gpu();
    court.wait(6_000);
    heartbeats(&mut court, members);
    let steps = court.round();
    let holder = holder(&steps).expect("a holder");
    court.wait(100);
    (court, holder)
}

#[test]
fn nobody_probes_before_the_cool_down_is_over() {
    let mut court = court(&["gpu"]);
    court.open_gpu();
    let cooldown = court.records[&gpu()].cooldown_ms;
    assert!((4_000..=6_000).contains(&cooldown));
    court.wait(cooldown - 1);
    heartbeats(&mut court, &[1, 2, 3]);
    assert_eq!(court.round(), []);
    court.wait(1);
    assert_eq!(
        court.round(),
        [BreakerStep::HalfOpen {
            holder: MemberId(2),
            lease_ms: 16_000,
            need_ok: 3
        }]
    );
}

#[test]
fn a_node_that_drains_or_is_silent_gets_no_lease() {
    let mut court = court(&["gpu"]);
    court.open_gpu();
    heartbeats(&mut court, &[2]);
    court.wait(6_000);
    let draining = Report {
        draining: true,
        ..Report::default()
    };
    court.hear_report(3, draining, &[]);
    assert_eq!(court.round(), []);
    heartbeats(&mut court, &[4]);
    assert_eq!(holder(&court.round()), Some(4));
}

#[test]
fn three_good_probes_of_the_holder_close_it_at_once() {
    let (mut court, holder) = half_open(&[1, 2]);
    let other = 3 - holder;
    let foreign = probe(&court, 9, false);
    court.hear(other, &[("gpu", foreign)]);
    assert_eq!(court.round(), []);
    let early = probe(&court, 2, false);
    court.hear(holder, &[("gpu", early)]);
    assert_eq!(court.round(), []);
    let enough = probe(&court, 3, false);
    court.hear(holder, &[("gpu", enough)]);
    assert_eq!(court.round(), [BreakerStep::Close]);
}

#[test]
fn probes_of_an_earlier_lease_close_nothing() {
    let (mut court, holder) = half_open(&[1, 2]);
    let stale = Evidence {
        epoch: court.epoch() - 1,
        ..probe(&court, 3, false)
    };
    court.hear(holder, &[("gpu", stale)]);
    assert_eq!(court.round(), []);
}

#[test]
fn a_failed_probe_opens_it_again_for_twice_as_long() {
    let (mut court, holder) = half_open(&[1]);
    let failed = probe(&court, 0, true);
    court.wait(1_000);
    court.hear(holder, &[("gpu", failed)]);
    let steps = court.round();
    let [BreakerStep::Reopen { cause, cooldown_ms }] = steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(cause, Cause::ProbeFailed);
    assert!((8_000..=12_000).contains(&cooldown_ms), "{cooldown_ms}");
}

#[test]
fn the_lease_goes_on_half_a_second_after_its_end() {
    let (mut court, first) = half_open(&[1, 2]);
    court.wait(16_399);
    heartbeats(&mut court, &[1, 2]);
    assert_eq!(court.round(), []);
    court.wait(1);
    let next = holder(&court.round());
    assert_eq!(next, Some(3 - first));
}

#[test]
fn the_lease_goes_on_at_once_when_its_holder_declines_and_nothing_runs_there() {
    let (mut court, first) = half_open(&[1, 2]);
    let told = |court: &Court, declines, in_flight| Evidence {
        epoch: court.epoch(),
        declines,
        in_flight,
        ..Evidence::default()
    };
    court.wait(1_000);
    heartbeats(&mut court, &[3 - first]);
    for (declines, in_flight) in [(false, 0), (true, 1)] {
        let word = told(&court, declines, in_flight);
        court.hear(first, &[("gpu", word)]);
        assert_eq!(court.round(), [], "{declines} {in_flight}");
    }
    let word = told(&court, true, 0);
    let draining = Report {
        draining: true,
        ..Report::default()
    };
    court.hear_report(first, draining, &[("gpu", word)]);
    assert_eq!(holder(&court.round()), Some(3 - first));
}

#[test]
fn a_holder_that_is_silent_keeps_its_lease_to_the_end() {
    let (mut court, first) = half_open(&[1, 2]);
    court.wait(16_399);
    heartbeats(&mut court, &[3 - first]);
    assert_eq!(court.round(), [], "cut off, it may probe");
    court.wait(1);
    assert_eq!(holder(&court.round()), Some(3 - first));
}

#[test]
fn an_answer_that_flows_keeps_the_lease_for_one_more() {
    let (mut court, first) = half_open(&[1, 2]);
    let runs = |court: &Court, in_flight| Evidence {
        epoch: court.epoch(),
        in_flight,
        ..Evidence::default()
    };
    court.wait(32_399);
    for (member, in_flight) in [(first, 1), (3 - first, 0)] {
        let word = runs(&court, in_flight);
        court.hear(member, &[("gpu", word)]);
    }
    assert_eq!(court.round(), []);
    court.wait(1);
    assert_eq!(holder(&court.round()), Some(3 - first));
}

#[test]
fn what_one_holder_proved_the_next_need_not() {
    let (mut court, first) = half_open(&[1]);
    for left in [3, 2, 1, 1] {
        let record = court.records[&gpu()].clone();
        assert_eq!(record.need_ok, left);
        if left == 1 {
            break;
        }
        let one = probe(&court, 1, false);
        court.wait(record.lease_ms + 500);
        court.hear(first, &[("gpu", one)]);
        assert_eq!(holder(&court.round()), Some(first));
        court.wait(1_000);
    }
    let last = probe(&court, 1, false);
    court.hear(first, &[("gpu", last)]);
    assert_eq!(court.round(), [BreakerStep::Close]);
}

#[test]
fn a_lease_has_time_for_all_probes_unless_that_is_too_long() {
    for (first_token, expected) in [(2_000, 16_000), (30_000, 70_000), (120_000, 130_000)] {
        let mut court = court(&["gpu"]);
        let numbers = court.policy.breakers.get_mut(&gpu()).expect("a policy");
        numbers.first_token_ms = first_token;
        court.open_gpu();
        court.wait(6_000);
        heartbeats(&mut court, &[1]);
        let steps = court.round();
        assert!(
            matches!(steps[..], [BreakerStep::HalfOpen { lease_ms, .. }] if lease_ms == expected),
            "{steps:?}"
        );
    }
}

#[test]
fn only_a_node_that_tells_of_the_upstream_probes_it() {
    let mut court = court(&["gpu"]);
    court.open_gpu();
    court.wait(6_000);
    heartbeats(&mut court, &[1, 2, 3]);
    let serves = Evidence {
        epoch: court.epoch(),
        ..Evidence::default()
    };
    court.hear(3, &[("gpu", serves)]);
    assert_eq!(holder(&court.round()), Some(3));
}

#[test]
fn a_new_leader_gives_the_holder_time_to_be_heard() {
    let (mut court, first) = half_open(&[1, 2]);
    court.wait(16_400);
    court.judge.begin(court.now);
    heartbeats(&mut court, &[3 - first]);
    assert_eq!(court.round(), []);
    court.wait(3_000);
    heartbeats(&mut court, &[3 - first]);
    assert_eq!(holder(&court.round()), Some(3 - first));
}

#[test]
fn everybody_has_a_go_before_anybody_has_two() {
    let mut court = court(&["gpu"]);
    court.open_gpu();
    let mut holders = Vec::new();
    for _ in 0..8 {
        court.wait(400_000);
        heartbeats(&mut court, &[1, 2, 3, 4]);
        let steps = court.round();
        let by = holder(&steps).expect("a holder");
        holders.push(by);
        court.wait(1_000);
        let failed = probe(&court, 0, true);
        court.hear(by, &[("gpu", failed)]);
        assert_eq!(court.round().len(), 1);
    }
    let (mut first, mut second) = (holders[..4].to_vec(), holders[4..].to_vec());
    first.sort_unstable();
    second.sort_unstable();
    assert_eq!((first, second), (vec![1, 2, 3, 4], vec![1, 2, 3, 4]));
}

#[test]
fn a_health_check_brings_the_probe_forward_unless_it_misled() {
    let mut court = court(&["gpu"]);
    court.open_gpu();
    court.wait(1_500);
    let up = |court: &Court| Evidence {
        epoch: court.epoch(),
        healthy: true,
        ..Evidence::default()
    };
    let word = up(&court);
    court.hear(1, &[("gpu", word)]);
    assert_eq!(holder(&court.round()), Some(1));
    court.wait(1_000);
    let failed = probe(&court, 0, true);
    court.hear(1, &[("gpu", failed)]);
    assert_eq!(court.round().len(), 1);
    court.wait(1_500);
    let word = up(&court);
    court.hear(1, &[("gpu", word)]);
    assert_eq!(court.round(), []);
}
