//! What a run says in the end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::seen::Seen;
use super::{Options, Tally};
use crate::check::{self, Verdict};
use crate::nemesis::Fault;
use crate::table::Table;

/// What happened, and whether it was right.
#[derive(Clone, Debug)]
pub struct Report {
    /// How the run was made.
    pub options: Options,
    /// Faults by kind.
    pub tallies: BTreeMap<Fault, Tally>,
    /// What the clients saw.
    pub seen: Seen,
    /// From the last repair until all nodes were in step.
    pub healing: Duration,
    /// What the checkers say.
    pub verdicts: Vec<Verdict>,
}

impl Report {
    /// Nothing is wrong.
    pub fn holds(&self) -> bool {
        self.seen.failures == 0 && self.verdicts.iter().all(Verdict::holds)
    }

    fn faults(&self) -> Table {
        let head = [
            "fault",
            "done",
            "void",
            "rebuilt",
            "next write p50 ms",
            "p99",
            "max",
        ];
        let mut table = Table::new(&head);
        let mut all = Tally::default();
        for (fault, tally) in &self.tallies {
            all.done += tally.done;
            all.void += tally.void;
            all.rebuilt += tally.rebuilt;
            all.began.extend(&tally.began);
            table.row(self.row(fault.as_str(), tally));
        }
        table.row(self.row("all", &all));
        table
    }

    fn row(&self, name: &str, tally: &Tally) -> Vec<String> {
        let spans = self.seen.writes_again(&tally.began);
        vec![
            name.to_owned(),
            tally.done.to_string(),
            tally.void.to_string(),
            tally.rebuilt.to_string(),
            spans.ms(50),
            spans.ms(99),
            spans.ms(100),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            nodes,
            lasting,
            seed,
        } = self.options;
        writeln!(f, "{nodes} nodes, {lasting:?} of faults, seed {seed}\n")?;
        writeln!(f, "{}", self.faults())?;
        writeln!(f, "{}", self.seen.changes())?;
        writeln!(
            f,
            "requests: {} good, {} failed on nodes that were whole, {} on nodes that were down",
            self.seen.good, self.seen.failures, self.seen.excused
        )?;
        writeln!(
            f,
            "in step {} ms after the last repair\n",
            self.healing.as_millis()
        )?;
        writeln!(f, "{}", check::table(&self.verdicts))?;
        let told = self.verdicts.iter().flat_map(|verdict| &verdict.violations);
        for violation in told.chain(&self.seen.failed) {
            writeln!(f, "  {violation}")?;
        }
        if !self.holds() {
            writeln!(f, "run it again: {}", self.options.command())?;
        }
        Ok(())
    }
}
