use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::breaker::{Look, epochs, most_at_once};
use super::{Operation, Outcome, What, durable, equal, monotonic, order};

fn operation(times: (u64, u64), what: What, outcome: Outcome) -> Operation {
    Operation {
        client: 0,
        node: 1,
        boot: 0,
        called: Duration::from_millis(times.0),
        ended: Duration::from_millis(times.1),
        what,
        outcome,
    }
}

fn write(times: (u64, u64), expected: u64, outcome: Outcome) -> Operation {
    let serial = format!("w-{}", times.0);
    operation(times, What::Write { expected, serial }, outcome)
}

fn latest(times: (u64, u64), revision: u64, serial: &str) -> Operation {
    let outcome = Outcome::Seen(revision, serial.to_owned());
    operation(times, What::ReadLatest, outcome)
}

fn here(times: (u64, u64), revision: u64) -> Operation {
    let outcome = Outcome::Seen(revision, String::new());
    operation(times, What::ReadHere, outcome)
}

#[test]
fn a_write_that_is_gone_at_the_end_is_found() {
    let lost = [write((0, 1), 1, Outcome::Written(2))];
    assert!(!durable::check(&lost, (1, "w-x")).holds());
    assert!(!durable::check(&lost, (2, "another")).holds());
    assert!(durable::check(&lost, (2, "w-0")).holds());
}

#[test]
fn two_writes_acknowledged_under_one_revision_are_found() {
    let both = [
        write((0, 5), 1, Outcome::Written(2)),
        write((1, 6), 1, Outcome::Written(2)),
    ];
    assert!(!durable::check(&both, (2, "w-0")).holds());
}

#[test]
fn a_refused_write_that_took_effect_is_found_and_an_unknown_one_may() {
    let refused = [write((0, 1), 1, Outcome::Stale), latest((2, 3), 2, "w-0")];
    assert!(!durable::check(&refused, (2, "w-0")).holds());
    let unknown = [write((0, 1), 1, Outcome::Unknown), latest((2, 3), 2, "w-0")];
    assert!(durable::check(&unknown, (2, "w-0")).holds());
}

#[test]
fn a_stale_read_after_an_acknowledged_write_is_found() {
    let written = write((0, 10), 1, Outcome::Written(2));
    let stale = [written.clone(), latest((11, 12), 1, "")];
    assert!(!order::check(&stale).holds());
    let beside = [written, latest((5, 12), 1, "")];
    assert!(order::check(&beside).holds());
}

#[test]
fn a_node_that_goes_back_is_found_and_a_restarted_one_is_not_blamed() {
    let back = [here((0, 1), 5), here((2, 3), 4)];
    assert!(!monotonic::check(&back).holds());
    let mut restarted = back;
    restarted[1].boot = 1;
    assert!(monotonic::check(&restarted).holds());
}

#[test]
fn different_states_are_found_with_their_place() {
    let same = BTreeMap::from([(1, json!({"a": [1, 2]})), (2, json!({"a": [1, 2]}))]);
    assert!(equal::check(&same).holds());
    let other = BTreeMap::from([(1, json!({"a": [1, 2]})), (2, json!({"a": [1, 3]}))]);
    let verdict = equal::check(&other);
    assert!(
        verdict.violations[0].contains("/a/1: 2 and 3"),
        "{verdict:?}"
    );
}

#[test]
fn an_epoch_with_two_meanings_and_an_epoch_that_goes_back_are_found() {
    let look = |node, epoch, state: &str| Look {
        node,
        boot: 0,
        model: "gpt".to_owned(),
        epoch,
        state: state.to_owned(),
    };
    assert!(epochs(&[look(1, 1, "open"), look(2, 1, "open")]).holds());
    assert!(!epochs(&[look(1, 1, "open"), look(2, 1, "closed")]).holds());
    assert!(!epochs(&[look(1, 2, "closed"), look(1, 1, "open")]).holds());
}

#[test]
fn overlapping_stays_are_counted_and_touching_ones_are_not() {
    let stay = |from, to| (Duration::from_millis(from), Duration::from_millis(to));
    assert_eq!(most_at_once(&[stay(0, 5), stay(5, 9)]), 1);
    assert_eq!(most_at_once(&[stay(0, 5), stay(4, 9), stay(4, 5)]), 3);
}
