use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::breaker::{Look, epochs, most_at_once};
use super::history::{Answer, Call, History, Operation};
use super::{durable, equal};

fn write(value: u64, expected: u64, answer: Answer) -> Operation {
    let expected = Some(expected);
    Operation {
        client: value,
        call: Call::Set { expected, value },
        called: Duration::from_millis(value),
        returned: Some(Duration::from_millis(value + 1)),
        answer,
    }
}

fn read(revision: u64, value: u64) -> Operation {
    Operation {
        call: Call::Read,
        ..write(90, 0, Answer::Read { revision, value })
    }
}

fn holds(operations: &[Operation], last: (u64, u64)) -> bool {
    let operations = operations.to_vec();
    durable::check(&History { operations }, &BTreeMap::from([last])).holds()
}

#[test]
fn a_write_that_is_gone_at_the_end_is_found() {
    let kept = [write(7, 1, Answer::Set { revision: 2 })];
    assert!(!holds(&kept, (1, 6)));
    assert!(!holds(&kept, (2, 6)));
    assert!(holds(&kept, (2, 7)));
}

#[test]
fn two_writes_acknowledged_under_one_revision_are_found() {
    let set = Answer::Set { revision: 2 };
    let both = [write(7, 1, set.clone()), write(8, 1, set)];
    assert!(!holds(&both, (2, 7)));
}

#[test]
fn a_refused_write_that_took_effect_is_found_and_an_unknown_one_may() {
    let stale = Answer::Stale { current: 3 };
    assert!(!holds(&[write(7, 1, stale), read(2, 7)], (2, 7)));
    assert!(!holds(&[write(7, 1, Answer::Refused), read(2, 7)], (2, 7)));
    assert!(holds(&[write(7, 1, Answer::Unknown), read(2, 7)], (2, 7)));
}

#[test]
fn what_is_kept_has_every_acknowledged_write_as_far_as_it_goes_back() {
    let operations = vec![
        write(7, 1, Answer::Set { revision: 2 }),
        write(8, 2, Answer::Unknown),
        write(9, 3, Answer::Set { revision: 4 }),
    ];
    let history = History { operations };
    let holds = |kept: &[(u64, u64)]| {
        let kept = kept.iter().copied().collect();
        durable::check(&history, &kept).holds()
    };
    assert!(holds(&[(2, 7), (3, 8), (4, 9)]));
    assert!(holds(&[(3, 8), (4, 9)]), "2 fell out of what is kept");
    assert!(!holds(&[]));
    assert!(!holds(&[(2, 7), (3, 9)]), "9 is another revision");
    assert!(!holds(&[(2, 8), (3, 7), (4, 9)]));
    assert!(!holds(&[(2, 7), (3, 6), (4, 9)]), "nobody wrote 6");
    assert!(!holds(&[(2, 7), (3, 8)]), "4 is gone");
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
