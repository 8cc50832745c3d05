//! What clients did and saw, and what follows from it without a checker.

use std::time::Duration;

use crate::check::breaker::Look;
use crate::check::history::{Answer, Call, History, Operation};
use crate::spans::Spans;

/// What all clients did and saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every operation on the configuration.
    pub history: History,
    /// Inference requests that were answered as they should.
    pub good: u64,
    /// Those that failed on a node that was whole all the while; the first few in full.
    pub failed: Vec<String>,
    /// How many those were.
    pub failures: u64,
    /// Those that failed on a node that was down, or stood still, at some time meanwhile.
    pub excused: u64,
    /// What nodes that were whole held of the frail model's breaker, in order on each node.
    pub looks: Vec<Look>,
}

impl Seen {
    /// From each of these moments until the end of the first write that was called later and
    /// acknowledged.
    pub fn writes_again(&self, moments: &[Duration]) -> Spans {
        let operations = self.history.operations.iter();
        let acknowledged: Vec<(Duration, Duration)> = operations
            .filter(|operation| matches!(operation.answer, Answer::Set { .. }))
            .filter_map(|operation| Some((operation.called, operation.returned?)))
            .collect();
        let next = |&moment: &Duration| {
            let later = acknowledged.iter().filter(|(called, _)| *called >= moment);
            later.map(|(_, returned)| *returned - moment).min()
        };
        moments.iter().filter_map(next).collect()
    }

    /// How the changes and reads of the configuration ended, in one line.
    pub fn changes(&self) -> String {
        format!(
            "changes: {} acknowledged, {} lost the race, {} refused, {} unknown; reads: {}",
            self.writes(|answer| matches!(answer, Answer::Set { .. })),
            self.writes(|answer| matches!(answer, Answer::Stale { .. })),
            self.writes(|answer| *answer == Answer::Refused),
            self.writes(|answer| *answer == Answer::Unknown),
            self.count(|operation| matches!(operation.answer, Answer::Read { .. })),
        )
    }

    fn count(&self, wanted: impl Fn(&Operation) -> bool) -> usize {
        let operations = self.history.operations.iter();
        operations.filter(|operation| wanted(operation)).count()
    }

    fn writes(&self, wanted: impl Fn(&Answer) -> bool) -> usize {
        self.count(|operation| {
            matches!(operation.call, Call::Set { .. }) && wanted(&operation.answer)
        })
    }
}
