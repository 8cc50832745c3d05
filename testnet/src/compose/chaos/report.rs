//! What a run says in the end.

use std::collections::BTreeMap;
use std::fmt;

use super::askers::{self, Count};
use super::{Fault, Tally};
use crate::chaos::seen::Seen;
use crate::check::{self, Verdict};
use crate::spans::Spans;
use crate::table::Table;

/// What happened, and whether it was right.
#[derive(Debug)]
pub struct Report {
    /// What runs the same again.
    pub(super) command: String,
    /// How the run was made, in words.
    pub(super) head: String,
    /// Faults by kind.
    pub(super) tallies: BTreeMap<Fault, Tally>,
    /// What those saw who changed and read the configuration.
    pub(super) changes: Seen,
    /// What those saw who asked for answers.
    pub(super) asked: askers::Seen,
    /// What the checkers say.
    pub(super) verdicts: Vec<Verdict>,
    /// Faults that were asked for by name.
    pub(super) wanted: Vec<Fault>,
}

impl Report {
    /// Nothing is wrong.
    pub fn holds(&self) -> bool {
        let all = self.together();
        all.failed == 0
            && all.good > 0
            && self.never_done().is_empty()
            && self.asked.hung == 0
            && self.verdicts.iter().all(Verdict::holds)
    }

    /// What was asked for by name and did not happen; without names, something has to have happened.
    fn never_done(&self) -> Vec<&'static str> {
        let done = |fault: &Fault| self.tallies.get(fault).is_some_and(|tally| tally.done > 0);
        if self.wanted.is_empty() {
            let any = self.tallies.keys().any(done);
            return if any { Vec::new() } else { vec!["any fault"] };
        }
        let missing = self.wanted.iter().filter(|fault| !done(fault));
        missing.map(|fault| fault.as_str()).collect()
    }

    fn together(&self) -> Count {
        let mut all = Count::default();
        for count in self.asked.counts.values() {
            all.good += count.good;
            all.failed += count.failed;
            all.excused += count.excused;
            all.refused += count.refused;
            all.recovered += count.recovered;
        }
        all
    }

    fn faults(&self) -> Table {
        let mut table = Table::new(&[
            "fault",
            "done",
            "void",
            "next write p50 ms",
            "p99",
            "in step p50 ms",
            "p99",
            "well p50 ms",
            "p99",
            "answered",
            "recovered",
            "excused",
            "refused",
            "failed",
        ]);
        let mut all = Tally::default();
        let quiet = self.asked.counts.get(askers::QUIET);
        let quiet = quiet.cloned().unwrap_or_default();
        for (fault, tally) in &self.tallies {
            all.done += tally.done;
            all.void.extend(tally.void.iter().cloned());
            all.began.extend(&tally.began);
            all.in_step.extend(&tally.in_step);
            all.well.extend(&tally.well);
            let count = self.asked.counts.get(fault.as_str());
            let count = count.cloned().unwrap_or_default();
            table.row(self.row(fault.as_str(), tally, &count));
        }
        table.row(self.row("(quiet)", &Tally::default(), &quiet));
        table.row(self.row("all", &all, &self.together()));
        table
    }

    fn row(&self, name: &str, tally: &Tally, count: &Count) -> Vec<String> {
        let again = self.changes.writes_again(&tally.began);
        let in_step: Spans = tally.in_step.iter().copied().collect();
        let well: Spans = tally.well.iter().copied().collect();
        let mut row = vec![
            name.to_owned(),
            tally.done.to_string(),
            tally.void.len().to_string(),
        ];
        for spans in [again, in_step, well] {
            row.extend([spans.ms(50), spans.ms(99)]);
        }
        let counts = [
            count.good,
            count.recovered,
            count.excused,
            count.refused,
            count.failed,
        ];
        row.extend(counts.map(|count| count.to_string()));
        row
    }

    fn doors(&self) -> Table {
        let mut table = Table::new(&["door", "answered", "p50 ms", "p99", "max"]);
        for (door, times) in &self.asked.doors {
            let times: Spans = times.iter().copied().collect();
            table.row(times.row(door));
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n\n{}", self.head, self.faults())?;
        writeln!(f, "{}", self.doors())?;
        writeln!(f, "{}", self.changes.changes())?;
        writeln!(f, "requests without an end: {}\n", self.asked.hung)?;
        writeln!(f, "{}", check::table(&self.verdicts))?;
        let mut voids: Vec<&String> = self
            .tallies
            .values()
            .flat_map(|tally| &tally.void)
            .collect();
        voids.sort_unstable();
        voids.dedup();
        for why in voids {
            writeln!(f, "  not done: {why}")?;
        }
        for fault in self.never_done() {
            writeln!(f, "  never done: {fault}")?;
        }
        let told = self.verdicts.iter().flat_map(|verdict| &verdict.violations);
        for wrong in told.chain(&self.asked.told) {
            writeln!(f, "  {wrong}")?;
        }
        if !self.holds() {
            writeln!(f, "run it again: {}", self.command)?;
        }
        Ok(())
    }
}
