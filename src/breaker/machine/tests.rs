//! Promises of the breaker, refusals first.

use super::*;
use crate::breaker::{Reason, Refused};
use crate::provider::Class;

const GATE: Outcome = Outcome::Gate { retry_after: None };

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn machine() -> Machine {
    Machine::new(Settings::new(3, seconds(60), 2))
}

fn ticket(machine: &mut Machine, now: Moment) -> Ticket {
    match machine.admit(now).0 {
        Admission::Pass(ticket) | Admission::Probe(ticket) => ticket,
        Admission::Refuse(refused) => panic!("{refused:?}"),
    }
}

fn refusal(machine: &mut Machine, now: Moment) -> Refused {
    match machine.admit(now).0 {
        Admission::Refuse(refused) => refused,
        admitted @ (Admission::Pass(_) | Admission::Probe(_)) => panic!("{admitted:?}"),
    }
}

/// Makes one attempt that ends at once.
fn attempt(machine: &mut Machine, outcome: Outcome, now: Moment) -> Option<Transition> {
    let ticket = ticket(machine, now);
    machine.record(outcome, ticket, now, 0.0)
}

/// Opened at zero by three failures: open until one minute.
fn opened() -> Machine {
    let mut machine = machine();
    let transitions: Vec<_> = (0..3)
        .filter_map(|_| attempt(&mut machine, Outcome::Hard, at(0)))
        .collect();
    let open = Transition {
        from: State::Closed,
        to: State::Open,
        cause: Cause::Streak,
        epoch: 1,
    };
    assert_eq!(transitions, [open]);
    machine
}

#[test]
fn open_refuses_until_the_recovery_timeout_and_says_how_long() {
    let mut machine = opened();
    let left = refusal(&mut machine, at(20_000));
    assert_eq!(
        left,
        Refused {
            retry_after: seconds(40),
            cause: Reason::Open
        }
    );
    assert_eq!(refusal(&mut machine, at(59_999)).cause, Reason::Open);
    assert_eq!(machine.snapshot(at(0)).open_until, Some(at(60_000)));
    assert_eq!(machine.state(at(60_000)), State::HalfOpen);
}

#[test]
fn half_open_admits_one_probe() {
    let mut machine = opened();
    let (admission, transition) = machine.admit(at(60_000));
    assert!(matches!(admission, Admission::Probe(_)));
    let recovery = Transition {
        from: State::Open,
        to: State::HalfOpen,
        cause: Cause::Recovery,
        epoch: 2,
    };
    assert_eq!(transition, Some(recovery));
    let second = refusal(&mut machine, at(60_000));
    assert_eq!(
        second,
        Refused {
            retry_after: seconds(1),
            cause: Reason::Probing
        }
    );
}

#[test]
fn one_failed_probe_opens_again_for_the_same_time() {
    let mut machine = opened();
    attempt(&mut machine, Outcome::Ok, at(60_000));
    let reopened = attempt(&mut machine, Outcome::Hard, at(61_000)).unwrap();
    assert_eq!(
        (reopened.to, reopened.cause),
        (State::Open, Cause::ProbeFailed)
    );
    assert_eq!(machine.snapshot(at(61_000)).open_until, Some(at(121_000)));
    assert_eq!(machine.snapshot(at(61_000)).failure_count, 4);
}

#[test]
fn it_closes_after_enough_good_probes_in_a_row() {
    let mut machine = opened();
    assert_eq!(attempt(&mut machine, Outcome::Ok, at(60_000)), None);
    let closed = attempt(&mut machine, Outcome::Ok, at(60_000)).unwrap();
    let expected = Transition {
        from: State::HalfOpen,
        to: State::Closed,
        cause: Cause::ProbesGood,
        epoch: 3,
    };
    assert_eq!(closed, expected);
    assert_eq!(machine.snapshot(at(60_000)).failure_count, 0);
}

#[test]
fn a_success_in_between_starts_the_count_again() {
    let mut machine = machine();
    for outcome in [
        Outcome::Hard,
        Outcome::Hard,
        Outcome::Ok,
        Outcome::Hard,
        Outcome::Hard,
    ] {
        assert_eq!(attempt(&mut machine, outcome, at(0)), None);
    }
    assert_eq!(machine.snapshot(at(0)).failure_count, 2);
}

#[test]
fn half_of_ten_calls_failing_opens_without_a_streak() {
    let mut machine = machine();
    let outcomes = [Outcome::Ok, Outcome::Hard].repeat(5);
    let causes: Vec<_> = (0..)
        .zip(outcomes)
        .filter_map(|(call, outcome)| attempt(&mut machine, outcome, at(call * 900)))
        .map(|transition| transition.cause)
        .collect();
    assert_eq!(causes, [Cause::Rate]);
}

#[test]
fn failures_spread_over_more_than_ten_seconds_are_no_rate() {
    let mut machine = machine();
    for call in 0..40 {
        let outcome = if call % 2 == 0 {
            Outcome::Ok
        } else {
            Outcome::Hard
        };
        assert_eq!(attempt(&mut machine, outcome, at(call * 1_200)), None);
    }
}

#[test]
fn a_high_threshold_is_not_undercut_by_the_rate() {
    let mut machine = Machine::new(Settings::new(20, seconds(60), 1));
    for _ in 0..19 {
        assert_eq!(attempt(&mut machine, Outcome::Hard, at(0)), None);
    }
    assert!(attempt(&mut machine, Outcome::Hard, at(0)).is_some());
}

#[test]
fn neutral_outcomes_neither_count_nor_forgive() {
    let mut machine = machine();
    for neutral in [Outcome::Caller, Outcome::Cancelled, Outcome::Credential] {
        attempt(&mut machine, neutral, at(0));
        attempt(&mut machine, Outcome::Hard, at(0));
    }
    assert_eq!(machine.state(at(0)), State::Open);
}

#[test]
fn a_gate_refuses_without_being_open() {
    let mut machine = machine();
    let asked = Outcome::Gate {
        retry_after: Some(seconds(20)),
    };
    assert_eq!(attempt(&mut machine, asked, at(0)), None);
    let refused = refusal(&mut machine, at(5_000));
    assert_eq!(
        refused,
        Refused {
            retry_after: seconds(15),
            cause: Reason::Gated
        }
    );
    assert_eq!(machine.state(at(5_000)), State::Closed);
    assert_eq!(machine.snapshot(at(5_000)).gated_until, Some(at(20_000)));
    assert!(matches!(machine.admit(at(20_000)).0, Admission::Pass(_)));
}

#[test]
fn a_gate_without_a_time_lasts_a_second_and_none_lasts_more_than_five_minutes() {
    let mut machine = machine();
    attempt(&mut machine, GATE, at(0));
    assert_eq!(refusal(&mut machine, at(0)).retry_after, seconds(1));
    attempt(
        &mut machine,
        Outcome::Gate {
            retry_after: Some(Duration::MAX),
        },
        at(1_000),
    );
    assert_eq!(refusal(&mut machine, at(1_000)).retry_after, seconds(300));
}

#[test]
fn a_shorter_gate_does_not_shorten_a_longer_one() {
    let mut machine = machine();
    let (first, second) = (ticket(&mut machine, at(0)), ticket(&mut machine, at(0)));
    machine.record(
        Outcome::Gate {
            retry_after: Some(seconds(20)),
        },
        first,
        at(0),
        0.0,
    );
    machine.record(GATE, second, at(0), 0.0);
    assert_eq!(refusal(&mut machine, at(0)).retry_after, seconds(20));
}

#[test]
fn retry_after_is_a_floor_for_the_open_time() {
    let mut machine = machine();
    let tickets: Vec<_> = (0..5).map(|_| ticket(&mut machine, at(0))).collect();
    let asked = |wait| Outcome::Gate {
        retry_after: Some(seconds(wait)),
    };
    machine.record(asked(100), tickets[0], at(0), 0.0);
    for ticket in &tickets[1..4] {
        machine.record(Outcome::Hard, *ticket, at(0), 0.0);
    }
    assert_eq!(machine.snapshot(at(0)).open_until, Some(at(100_000)));
    machine.record(asked(200), tickets[4], at(0), 0.0);
    assert_eq!(machine.snapshot(at(0)).open_until, Some(at(200_000)));
    assert_eq!(refusal(&mut machine, at(199_999)).cause, Reason::Open);
}

#[test]
fn a_probe_that_is_gated_cancelled_or_the_callers_fault_judges_nothing() {
    for neutral in [
        GATE,
        Outcome::Cancelled,
        Outcome::Caller,
        Outcome::Credential,
    ] {
        let mut machine = opened();
        attempt(&mut machine, Outcome::Ok, at(60_000));
        assert_eq!(attempt(&mut machine, neutral, at(60_000)), None);
        assert_eq!(machine.state(at(60_000)), State::HalfOpen);
        let closed = attempt(&mut machine, Outcome::Ok, at(62_000)).unwrap();
        assert_eq!(closed.to, State::Closed, "{neutral:?}");
    }
}

#[test]
fn a_probe_that_never_reports_loses_its_place_when_its_lease_ends() {
    let mut machine = opened();
    let lost = ticket(&mut machine, at(60_000));
    assert_eq!(refusal(&mut machine, at(659_999)).cause, Reason::Probing);
    let next = ticket(&mut machine, at(660_000));
    assert_ne!(lost.probe, next.probe);
    assert_eq!(machine.record(Outcome::Hard, lost, at(660_001), 0.0), None);
    assert_eq!(machine.state(at(660_001)), State::HalfOpen);
    assert_eq!(refusal(&mut machine, at(660_001)).cause, Reason::Probing);
}

#[test]
fn a_late_report_of_an_older_epoch_judges_nothing() {
    let mut machine = machine();
    let old: Vec<_> = (0..6).map(|_| ticket(&mut machine, at(0))).collect();
    for ticket in &old[..3] {
        machine.record(Outcome::Hard, *ticket, at(0), 0.0);
    }
    let before = machine.snapshot(at(0));
    assert_eq!(machine.record(Outcome::Ok, old[3], at(10), 0.0), None);
    assert_eq!(machine.record(Outcome::Hard, old[4], at(10), 0.0), None);
    assert_eq!(machine.snapshot(at(10)), before);
    machine.tick(at(60_000)).unwrap();
    assert_eq!(machine.record(Outcome::Hard, old[5], at(60_000), 0.0), None);
    assert_eq!(machine.state(at(60_000)), State::HalfOpen);
}

#[test]
fn three_refused_credentials_in_a_row_quarantine_without_opening() {
    let mut machine = machine();
    attempt(&mut machine, Outcome::Credential, at(0));
    attempt(&mut machine, Outcome::Credential, at(0));
    attempt(&mut machine, Outcome::Ok, at(0));
    for _ in 0..3 {
        assert!(!machine.snapshot(at(0)).quarantined);
        assert_eq!(attempt(&mut machine, Outcome::Credential, at(0)), None);
    }
    let refused = refusal(&mut machine, at(60_000));
    assert_eq!(
        refused,
        Refused {
            retry_after: seconds(240),
            cause: Reason::Quarantined
        }
    );
    assert_eq!(machine.state(at(60_000)), State::Closed);
}

#[test]
fn a_quarantined_credential_is_tried_once_in_five_minutes_and_freed_by_a_success() {
    let mut machine = machine();
    let before = ticket(&mut machine, at(0));
    for _ in 0..3 {
        attempt(&mut machine, Outcome::Credential, at(1));
    }
    machine.record(Outcome::Ok, before, at(2), 0.0);
    assert!(
        machine.snapshot(at(2)).quarantined,
        "an older answer proves nothing"
    );
    let probe = ticket(&mut machine, at(300_001));
    assert!(probe.probe.is_some());
    assert_eq!(
        refusal(&mut machine, at(300_001)).cause,
        Reason::Quarantined
    );
    machine.record(Outcome::Credential, probe, at(300_002), 0.0);
    assert_eq!(
        refusal(&mut machine, at(600_000)).cause,
        Reason::Quarantined
    );
    attempt(&mut machine, Outcome::Ok, at(600_001));
    assert!(!machine.snapshot(at(600_001)).quarantined);
    assert!(matches!(machine.admit(at(600_001)).0, Admission::Pass(_)));
}

#[test]
fn health_brings_the_probe_forward_but_closes_nothing() {
    let mut machine = opened();
    assert_eq!(machine.health(false, at(1_000)), None);
    let probing = machine.health(true, at(1_000)).unwrap();
    assert_eq!(
        (probing.to, probing.cause),
        (State::HalfOpen, Cause::Health)
    );
    assert_eq!(machine.health(true, at(1_000)), None);
    assert_eq!(attempt(&mut machine, Outcome::Ok, at(1_000)), None);
}

#[test]
fn health_that_was_wrong_is_not_believed_again_until_recovery() {
    let mut machine = opened();
    machine.health(true, at(1_000)).unwrap();
    attempt(&mut machine, Outcome::Hard, at(1_000)).unwrap();
    assert_eq!(machine.health(true, at(2_000)), None);
    let recovery = machine.health(true, at(61_000)).unwrap();
    assert_eq!(recovery.cause, Cause::Recovery);
    attempt(&mut machine, Outcome::Hard, at(61_000)).unwrap();
    assert!(machine.health(true, at(62_000)).is_some());
}

#[test]
fn a_failed_health_check_opens_nothing() {
    let mut machine = machine();
    for _ in 0..100 {
        assert_eq!(machine.health(false, at(0)), None);
    }
    assert_eq!(machine.state(at(0)), State::Closed);
}

#[test]
fn forced_open_refuses_everything_until_auto_which_probes_first() {
    let mut machine = machine();
    let forced = machine.force(Mode::ForceOpen, at(0)).unwrap();
    assert_eq!(
        (forced.from, forced.to, forced.epoch),
        (State::Closed, State::Open, 1)
    );
    assert_eq!(machine.force(Mode::ForceOpen, at(0)), None);
    assert_eq!(refusal(&mut machine, at(1 << 40)).cause, Reason::ForcedOpen);
    assert_eq!(machine.health(true, at(0)), None);
    let auto = machine.force(Mode::Auto, at(0)).unwrap();
    assert_eq!(
        (auto.from, auto.to, auto.epoch),
        (State::Open, State::HalfOpen, 2)
    );
    assert!(matches!(machine.admit(at(0)).0, Admission::Probe(_)));
}

#[test]
fn forced_closed_passes_whatever_fails_but_respects_a_gate() {
    let mut machine = opened();
    let forced = machine.force(Mode::ForceClosed, at(0)).unwrap();
    assert_eq!((forced.from, forced.to), (State::Open, State::Closed));
    for _ in 0..100 {
        assert_eq!(attempt(&mut machine, Outcome::Hard, at(0)), None);
    }
    attempt(&mut machine, GATE, at(0));
    assert_eq!(refusal(&mut machine, at(0)).cause, Reason::Gated);
    let auto = machine.force(Mode::Auto, at(1_000)).unwrap();
    assert_eq!((auto.from, auto.to), (State::Closed, State::Closed));
    assert_eq!(machine.snapshot(at(1_000)).failure_count, 0);
}

#[test]
fn a_probe_that_outlives_an_override_still_keeps_its_place() {
    let mut machine = opened();
    let old = ticket(&mut machine, at(60_000));
    machine.force(Mode::ForceOpen, at(60_001)).unwrap();
    machine.force(Mode::Auto, at(60_002)).unwrap();
    assert_eq!(refusal(&mut machine, at(60_003)).cause, Reason::Probing);
    assert_eq!(machine.record(Outcome::Hard, old, at(60_004), 0.0), None);
    assert!(matches!(machine.admit(at(60_005)).0, Admission::Probe(_)));
}

#[test]
fn jitter_only_lengthens_the_open_time_and_by_a_tenth_at_most() {
    for (jitter, until) in [
        (0.0, 60_000),
        (0.5, 63_000),
        (-1.0, 60_000),
        (9.0, 66_000),
        (f64::NAN, 60_000),
    ] {
        let mut machine = Machine::new(Settings::new(1, seconds(60), 1));
        let ticket = ticket(&mut machine, at(0));
        machine
            .record(Outcome::Hard, ticket, at(0), jitter)
            .unwrap();
        assert_eq!(
            machine.snapshot(at(0)).open_until,
            Some(at(until)),
            "{jitter}"
        );
    }
}

#[test]
fn a_snapshot_read_later_answers_for_that_moment() {
    let snapshot = opened().snapshot(at(0));
    assert_eq!(snapshot.state, State::Open);
    assert_eq!(snapshot.state_at(at(60_000)), State::HalfOpen);
    assert_eq!(snapshot.verdict(at(60_000)), Verdict::Probe);
}

#[test]
fn only_hard_classes_count_as_failures() {
    let gate = Class::Gate {
        retry_after: Some(seconds(7)),
    };
    assert_eq!(Outcome::from(Class::Hard), Outcome::Hard);
    assert_eq!(
        Outcome::from(gate),
        Outcome::Gate {
            retry_after: Some(seconds(7))
        }
    );
    assert_eq!(Outcome::from(Class::Credential), Outcome::Credential);
    assert_eq!(Outcome::from(Class::Caller), Outcome::Caller);
}
