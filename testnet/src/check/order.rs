//! Linearizability of a register whose every value has a number: an operation that begins after
//! another has ended sees its number or a later one, a write always a later one.
//!
//! With numbers that are unique and grow by one (see [`super::durable`]), this is all there is to
//! it, and takes one pass; the search of `linear` needs no numbers and is held against the same
//! history.

use std::time::Duration;

use super::{Operation, Outcome, Verdict, What};

/// Holds writes and latest reads against real time.
pub fn check(operations: &[Operation]) -> Verdict {
    let mut points: Vec<(&Operation, u64, bool)> = operations
        .iter()
        .filter_map(|operation| match (&operation.what, &operation.outcome) {
            (What::Write { .. }, Outcome::Written(revision)) => Some((operation, *revision, true)),
            (What::ReadLatest, Outcome::Seen(revision, _)) => Some((operation, *revision, false)),
            _ => None,
        })
        .collect();
    let mut ends: Vec<(Duration, u64)> = points
        .iter()
        .map(|(operation, revision, _)| (operation.ended, *revision))
        .collect();
    ends.sort_unstable();
    points.sort_by_key(|(operation, ..)| operation.called);
    let (mut wrong, mut next, mut floor) = (Vec::new(), 0, 0);
    for (operation, revision, writes) in &points {
        while ends
            .get(next)
            .is_some_and(|(ended, _)| *ended < operation.called)
        {
            floor = floor.max(ends[next].1);
            next += 1;
        }
        if *revision < floor || (*writes && *revision == floor) {
            wrong.push(format!(
                "n{} gave revision {revision} to a call at {:?}, {floor} was known before",
                operation.node, operation.called
            ));
        }
    }
    Verdict::new("reads and writes are linearizable", points.len(), wrong)
}
