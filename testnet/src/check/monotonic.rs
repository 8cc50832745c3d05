//! A node never goes back: what it has shown once, it or something later it shows for as long as
//! it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Operation, Outcome, Verdict, What};

/// When a read was called, when it ended, what it showed.
type Read = (Duration, Duration, u64);

/// Holds the reads of each run of each node against one another.
pub fn check(operations: &[Operation]) -> Verdict {
    let mut runs: BTreeMap<(usize, usize), Vec<Read>> = BTreeMap::new();
    for operation in operations {
        if let (What::ReadHere | What::ReadLatest, Outcome::Seen(revision, _)) =
            (&operation.what, &operation.outcome)
        {
            runs.entry((operation.node, operation.boot))
                .or_default()
                .push((operation.called, operation.ended, *revision));
        }
    }
    let (mut checked, mut wrong) = (0, Vec::new());
    for ((node, _), mut reads) in runs {
        checked += reads.len();
        reads.sort_unstable();
        let mut ends: Vec<(Duration, u64)> = reads.iter().map(|&(_, e, r)| (e, r)).collect();
        ends.sort_unstable();
        let (mut next, mut floor) = (0, 0);
        for (called, _, revision) in reads {
            while ends.get(next).is_some_and(|(ended, _)| *ended < called) {
                floor = floor.max(ends[next].1);
                next += 1;
            }
            if revision < floor {
                wrong.push(format!("n{node} showed {revision} after {floor}"));
            }
        }
    }
    Verdict::new("a node never goes back", checked, wrong)
}
