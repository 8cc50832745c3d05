//! Histories that must be refused, and such that look odd and are right.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{Answer, Call, History, Operation, Recorder};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One operation: its call, its answer, from when to when.
fn op(call: Call, answer: Answer, from: u64, to: u64) -> Operation {
    Operation {
        client: from,
        call,
        called: ms(from),
        returned: (answer != Answer::Unknown).then_some(ms(to)),
        answer,
    }
}

fn set(expected: u64, value: u64) -> Call {
    Call::Set {
        expected: Some(expected),
        value,
    }
}

fn done(revision: u64) -> Answer {
    Answer::Set { revision }
}

fn shows(revision: u64, value: u64) -> Answer {
    Answer::Read { revision, value }
}

fn history(operations: impl Into<Vec<Operation>>) -> History {
    History {
        operations: operations.into(),
    }
}

fn local(run: &str, revision: u64, from: u64, to: u64) -> Operation {
    let run = run.to_owned();
    op(Call::ReadLocal { run }, shows(revision, revision), from, to)
}

#[test]
fn a_read_that_misses_an_acknowledged_set_is_refused() {
    let stale = history([
        op(set(0, 7), done(1), 0, 10),
        op(Call::Read, shows(0, 0), 11, 12),
    ]);
    assert!(stale.linearizable().unwrap_err().contains("no order"));
    let overlapping = history([
        op(set(0, 7), done(1), 0, 10),
        op(Call::Read, shows(0, 0), 9, 12),
    ]);
    assert_eq!(overlapping.linearizable(), Ok(()));
}

#[test]
fn two_sets_from_one_revision_are_not_both_done() {
    let both = history([op(set(0, 7), done(1), 0, 10), op(set(0, 8), done(1), 5, 9)]);
    assert!(both.linearizable().is_err());
    let one = Answer::Stale { current: 1 };
    let one = history([op(set(0, 7), done(1), 0, 10), op(set(0, 8), one, 5, 9)]);
    assert_eq!(one.linearizable(), Ok(()));
}

#[test]
fn a_set_without_an_answer_may_happen_late_or_never_but_not_before_its_call() {
    let unknown = |from| op(set(0, 7), Answer::Unknown, from, 0);
    let late = [
        unknown(0),
        op(Call::Read, shows(0, 0), 50, 60),
        op(Call::Read, shows(1, 7), 70, 80),
    ];
    assert_eq!(history(late).linearizable(), Ok(()));
    let never = [unknown(0), op(Call::Read, shows(0, 0), 90, 91)];
    assert_eq!(history(never).linearizable(), Ok(()));
    let before = [unknown(50), op(Call::Read, shows(1, 7), 10, 20)];
    assert!(history(before).linearizable().is_err());
    let undone = [
        unknown(0),
        op(Call::Read, shows(1, 7), 10, 20),
        op(Call::Read, shows(0, 0), 30, 40),
    ];
    assert!(history(undone).linearizable().is_err());
}

#[test]
fn a_refused_set_must_not_be_seen() {
    let seen = history([
        op(set(0, 7), Answer::Refused, 0, 10),
        op(Call::Read, shows(1, 7), 20, 30),
    ]);
    assert!(seen.linearizable().is_err());
}

#[test]
fn one_run_of_a_node_never_shows_less_than_before() {
    let back = [local("n1/1", 5, 0, 10), local("n1/1", 4, 11, 12)];
    assert!(history(back).monotonic().is_err());
    let other_run = [local("n1/1", 5, 0, 10), local("n1/2", 4, 11, 12)];
    assert_eq!(history(other_run).monotonic(), Ok(()));
    let at_once = [local("n1/1", 5, 0, 10), local("n1/1", 4, 5, 12)];
    assert_eq!(history(at_once).monotonic(), Ok(()));
    let two_values = [
        op(Call::Read, shows(3, 7), 0, 1),
        op(Call::Read, shows(3, 8), 2, 3),
    ];
    assert!(history(two_values).monotonic().is_err());
}

/// A register that works, used by many at once, some of whom never hear back.
fn busy(seed: u64, operations: u64, lost: f64) -> History {
    let mut rng = SmallRng::seed_from_u64(seed);
    let recorder = Recorder::default();
    let (mut revision, mut value) = (0, 0);
    let mut open = Vec::new();
    for moment in 1..=operations {
        if open.len() < 12 {
            let call = match rng.random_range(0..3) {
                0 => Call::Read,
                _ => set(revision, moment),
            };
            open.push((recorder.call(moment, call.clone(), ms(moment * 10)), call));
        }
        if rng.random_bool(0.7) {
            let (ticket, call) = open.swap_remove(rng.random_range(0..open.len()));
            let mut answer = match call {
                Call::Set {
                    expected,
                    value: to,
                } if expected == Some(revision) => {
                    (revision, value) = (revision + 1, to);
                    done(revision)
                }
                Call::Set { .. } => Answer::Stale { current: revision },
                Call::Read | Call::ReadLocal { .. } => shows(revision, value),
            };
            if rng.random_bool(lost) {
                answer = Answer::Unknown;
            }
            recorder.answer(ticket, answer, ms(moment * 10 + 5));
        }
    }
    recorder.history()
}

#[test]
fn long_histories_are_judged_and_one_wrong_answer_among_them_is_found() {
    for seed in 0..20 {
        let mut history = busy(seed, 2_000, 0.05);
        assert_eq!(history.linearizable(), Ok(()), "seed {seed}");
        let late = |operation: &&mut Operation| matches!(operation.answer, Answer::Read { revision, .. } if revision > 100);
        let read = history.operations.iter_mut().find(late).unwrap();
        let Answer::Read { revision, value } = read.answer else {
            unreachable!();
        };
        read.answer = shows(revision - 60, value);
        assert!(history.linearizable().is_err(), "seed {seed}");
    }
}

#[test]
fn ten_minutes_with_five_lost_answers_a_second_are_judged_in_seconds() {
    let began = tokio::time::Instant::now();
    let history = busy(7, 70_000, 0.075);
    let last = history.operations.last().unwrap();
    assert!(last.called >= ms(600_000));
    let lost = |operation: &&Operation| operation.answer == Answer::Unknown;
    assert!(history.operations.iter().filter(lost).count() > 3_000);
    assert!(history.operations.len() > 48_000);
    assert_eq!(history.linearizable(), Ok(()));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_lost_set_that_was_seen_to_take_effect_cannot_be_undone() {
    let lost = op(set(0, 7), Answer::Unknown, 0, 0);
    let seen = op(Call::Read, shows(1, 7), 10, 20);
    let done = op(set(1, 8), done(2), 30, 40);
    let story = [lost.clone(), seen.clone(), done];
    assert_eq!(history(story).linearizable(), Ok(()));
    let instead = op(set(0, 9), Answer::Set { revision: 1 }, 30, 40);
    assert!(history([lost, seen, instead]).linearizable().is_err());
}

#[test]
fn of_two_lost_sets_from_one_revision_one_may_have_happened() {
    let lost = |value| op(set(0, value), Answer::Unknown, 0, 0);
    let next = op(set(1, 9), done(2), 10, 20);
    let either = [lost(7), lost(8), next.clone()];
    assert_eq!(history(either).linearizable(), Ok(()));
    let second = op(Call::Read, shows(1, 8), 5, 9);
    let known = [lost(7), lost(8), second, next];
    assert_eq!(history(known).linearizable(), Ok(()));
}
