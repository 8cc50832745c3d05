//! Which of a node's reports is the latest: each counts once, whatever the way does to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::identity::{BootId, MemberId};
use crate::pulse::Report;

/// Former runs that are remembered, so that a report of one that was long under way is known as
/// old. A node that restarts more often than this within one leadership is beyond help.
const MAX_FORMER: usize = 8;

/// What a report is, next to the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It was overtaken, or is a repeat.
    Old,
    /// It is of the same run and later.
    Newer,
    /// The node runs anew: nothing of the former run holds any more.
    Restarted,
}

/// The latest report of one node, by its number.
#[derive(Clone, Debug)]
pub(super) struct Latest {
    boot: BootId,
    sequence: u64,
    former: VecDeque<BootId>,
}

impl Latest {
    pub(super) const fn new(report: &Report) -> Self {
        Latest {
            boot: report.boot,
            sequence: report.sequence,
            former: VecDeque::new(),
        }
    }

    /// Takes it over unless it is old.
    pub(super) fn take(&mut self, report: &Report) -> News {
        if report.boot == self.boot {
            if report.sequence <= self.sequence {
                return News::Old;
            }
            self.sequence = report.sequence;
            return News::Newer;
        }
        if self.former.contains(&report.boot) {
            return News::Old;
        }
        if self.former.len() == MAX_FORMER {
            self.former.pop_front();
        }
        self.former.push_back(self.boot);
        self.boot = report.boot;
        self.sequence = report.sequence;
        News::Restarted
    }

    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// What a node told last, and when it came, by the leader's own clock.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) latest: Latest,
    pub(super) heard: Duration,
    pub(super) report: Arc<Report>,
}

/// Takes a node's report; `false` for one that is not newer than its latest.
pub(super) fn hear(
    nodes: &mut BTreeMap<MemberId, Node>,
    from: MemberId,
    report: &Arc<Report>,
    now: Duration,
) -> bool {
    if let Some(node) = nodes.get_mut(&from) {
        if node.latest.take(report) == News::Old {
            return false;
        }
        node.heard = now;
        node.report = Arc::clone(report);
    } else {
        let node = Node {
            latest: Latest::new(report),
            heard: now,
            report: Arc::clone(report),
        };
        nodes.insert(from, node);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{Latest, News};
    use crate::identity::BootId;
    use crate::pulse::Report;

    fn report(boot: u64, sequence: u64) -> Report {
        Report {
            boot: BootId(boot),
            sequence,
            ..Report::default()
        }
    }

    #[test]
    fn a_report_of_a_former_run_changes_nothing() {
        let mut latest = Latest::new(&report(1, 9));
        assert_eq!(latest.take(&report(1, 9)), News::Old);
        assert_eq!(latest.take(&report(2, 1)), News::Restarted);
        assert_eq!(latest.take(&report(1, 10)), News::Old);
        assert_eq!(latest.take(&report(2, 2)), News::Newer);
        assert_eq!(latest.sequence(), 2);
    }
}
