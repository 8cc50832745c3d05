//! No acknowledged write is lost: each holds its revision for ever, follows the revision it was
//! made from, and what was refused is never seen. (Oracle of openraft's fuzzer: unique serials, no
//! phantoms, predecessor chain, final scan.)

use std::collections::BTreeMap;

use super::{Operation, Outcome, Verdict, What};

/// Holds `operations` against the revision that is in force `at_last` with its serial, everything
/// healed.
pub fn check(operations: &[Operation], at_last: (u64, &str)) -> Verdict {
    let mut wrong = Vec::new();
    let mut held: BTreeMap<u64, &str> = BTreeMap::new();
    let mut checked = 0;
    let last = (at_last.0, at_last.1);
    for (revision, serial) in operations
        .iter()
        .filter_map(Operation::proves)
        .chain([last])
    {
        checked += 1;
        let first = *held.entry(revision).or_insert(serial);
        if first != serial {
            wrong.push(format!("revision {revision} is {first} and {serial}"));
        }
        if revision > at_last.0 {
            wrong.push(format!(
                "revision {revision} ({serial}) is gone: the last is {}",
                at_last.0
            ));
        }
    }
    for (serial, expected, revision) in operations.iter().filter_map(Operation::acknowledged) {
        if revision != expected + 1 {
            wrong.push(format!(
                "{serial} was made from {expected} and became {revision}"
            ));
        }
    }
    wrong.extend(phantoms(operations, &held));
    Verdict::new("no acknowledged write is lost", checked, wrong)
}

/// Serials that are in force although nobody wrote them, or whose write was refused.
fn phantoms(operations: &[Operation], held: &BTreeMap<u64, &str>) -> Vec<String> {
    let mut fate: BTreeMap<&str, &Outcome> = BTreeMap::new();
    for operation in operations {
        if let What::Write { serial, .. } = &operation.what {
            fate.insert(serial, &operation.outcome);
        }
    }
    let mut wrong = Vec::new();
    let mut places: BTreeMap<&str, u64> = BTreeMap::new();
    for (revision, serial) in held.iter().filter(|(_, serial)| !serial.is_empty()) {
        match fate.get(serial) {
            Some(Outcome::Written(_) | Outcome::Unknown) => {}
            Some(outcome) => wrong.push(format!(
                "{serial} is in force, its writer heard {outcome:?}"
            )),
            None => wrong.push(format!("{serial} is in force and nobody wrote it")),
        }
        if let Some(other) = places.insert(serial, *revision) {
            wrong.push(format!("{serial} is revision {other} and {revision}"));
        }
    }
    wrong
}
