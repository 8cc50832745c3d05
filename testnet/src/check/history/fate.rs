//! What became of sets whose answer never came, as far as the other answers prove it. A search that
//! has to try each of them at every place takes for ever; few are left in doubt.
//!
//! A set made from revision 4 becomes revision 5 or nothing. Where 5 is known to hold another
//! value, it became nothing and is left out. Where 5 is known to hold its value, it happened, at
//! the latest when the first answer came that tells of 5 or more: revisions only grow.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Answer, Call, Operation};
use crate::check::linear::Span;

type Spans = Vec<Span<(Call, Answer)>>;

/// The sets and linearizable reads that count, in the same order.
pub(super) fn spans(operations: &[Operation]) -> Spans {
    let counting: Vec<&Operation> = operations.iter().filter(|one| counts(one)).collect();
    let known = Known::of(&counting);
    let spans = counting.into_iter();
    spans
        .filter_map(|operation| known.settled(operation))
        .collect()
}

fn counts(operation: &Operation) -> bool {
    operation.answer != Answer::Refused
        && match operation.call {
            Call::Set { .. } => true,
            Call::Read => operation.answer != Answer::Unknown,
            Call::ReadLocal { .. } => false,
        }
}

struct Known {
    /// Values by revision.
    held: BTreeMap<u64, u64>,
    /// The first answer that tells of this revision or a later one.
    told: BTreeMap<u64, Duration>,
}

impl Known {
    fn of(operations: &[&Operation]) -> Self {
        let (mut held, mut told) = (BTreeMap::new(), BTreeMap::new());
        for operation in operations {
            let Some(returned) = operation.returned else {
                continue;
            };
            let (revision, value) = match (&operation.call, &operation.answer) {
                (Call::Set { value, .. }, Answer::Set { revision }) => (*revision, Some(*value)),
                (_, Answer::Read { revision, value }) => (*revision, Some(*value)),
                (_, Answer::Stale { current }) => (*current, None),
                _ => continue,
            };
            if let Some(value) = value {
                held.entry(revision).or_insert(value);
            }
            let first = told.entry(revision).or_insert(returned);
            *first = returned.min(*first);
        }
        let mut first = Duration::MAX;
        for returned in told.values_mut().rev() {
            first = first.min(*returned);
            *returned = first;
        }
        Known { held, told }
    }

    /// The operation with what is known of it; `None` where it never happened.
    fn settled(&self, operation: &Operation) -> Option<Span<(Call, Answer)>> {
        let mut span = Span {
            called: operation.called,
            returned: operation.returned,
            operation: (operation.call.clone(), operation.answer.clone()),
        };
        if let Call::Set {
            expected: Some(expected),
            value,
        } = operation.call
            && operation.answer == Answer::Unknown
            && let Some(held) = self.held.get(&(expected + 1))
        {
            let revision = expected + 1;
            (*held == value).then_some(())?;
            span.operation.1 = Answer::Set { revision };
            span.returned = self.told.get(&revision).copied();
        }
        Some(span)
    }
}
