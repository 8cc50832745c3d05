//! No acknowledged write is lost: each holds its revision for ever, follows the revision it was
//! made from, and what was refused is never seen. (The oracle of openraft's fuzzer: unique serials,
//! no phantoms, predecessor chain, final scan.)

use std::collections::BTreeMap;

use super::Verdict;
use super::history::{Answer, Call, History, Operation};

/// Holds a history against what is kept at last, everything healed: value by revision, as far as
/// that goes back; the newest is in force.
pub fn check(history: &History, kept: &BTreeMap<u64, u64>) -> Verdict {
    let mut wrong = Vec::new();
    let mut held: BTreeMap<u64, u64> = BTreeMap::new();
    let mut checked = 0;
    let kept_too = kept.iter().map(|(&revision, &value)| (revision, value));
    for (revision, value) in history.operations.iter().filter_map(proves).chain(kept_too) {
        checked += 1;
        let first = *held.entry(revision).or_insert(value);
        if first != value {
            wrong.push(format!("revision {revision} is {first} and {value}"));
        }
    }
    let oldest = kept.keys().next().copied().unwrap_or(0);
    for (revision, value) in held.range(oldest..).filter(|(revision, _)| **revision > 0) {
        if !kept.contains_key(revision) {
            let last = kept.keys().next_back().copied().unwrap_or(0);
            wrong.push(format!(
                "revision {revision} ({value}) is gone: the last is {last}"
            ));
        }
    }
    wrong.extend(history.operations.iter().filter_map(misplaced));
    wrong.extend(phantoms(history, &held));
    Verdict::new("no acknowledged write is lost", checked, wrong)
}

/// The revision and value this operation proves to have been in force.
fn proves(operation: &Operation) -> Option<(u64, u64)> {
    match (&operation.call, &operation.answer) {
        (Call::Set { value, .. }, Answer::Set { revision }) => Some((*revision, *value)),
        (_, Answer::Read { revision, value }) => Some((*revision, *value)),
        _ => None,
    }
}

/// A write that did not become the revision after the one it was made from.
fn misplaced(operation: &Operation) -> Option<String> {
    let Call::Set {
        expected: Some(expected),
        value,
    } = operation.call
    else {
        return None;
    };
    if let Answer::Set { revision } = operation.answer
        && revision != expected + 1
    {
        let made = format!("{value} was made from {expected} and became {revision}");
        return Some(made);
    }
    None
}

/// Values in force although nobody wrote them, or whose write was refused.
fn phantoms(history: &History, held: &BTreeMap<u64, u64>) -> Vec<String> {
    let mut fate: BTreeMap<u64, &Answer> = BTreeMap::new();
    for operation in &history.operations {
        if let Call::Set { value, .. } = operation.call {
            fate.insert(value, &operation.answer);
        }
    }
    let mut wrong = Vec::new();
    let mut places: BTreeMap<u64, u64> = BTreeMap::new();
    for (&revision, &value) in held.iter().filter(|(_, value)| **value != 0) {
        match fate.get(&value) {
            Some(Answer::Set { .. } | Answer::Unknown) => {}
            Some(answer) => wrong.push(format!("{value} is in force, its writer heard {answer:?}")),
            None => wrong.push(format!("{value} is in force and nobody wrote it")),
        }
        if let Some(other) = places.insert(value, revision) {
            wrong.push(format!("{value} is revision {other} and {revision}"));
        }
    }
    wrong
}
