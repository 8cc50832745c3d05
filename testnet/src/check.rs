//! What a run has to keep to, whoever recorded it: the simulation or the harness of processes. One
//! file for each invariant. Pure: times come in, verdicts go out.

pub mod breaker;
pub mod durable;
pub mod equal;
pub mod history;
pub mod linear;

use crate::table::Table;

/// What one invariant says of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The promise, in words.
    pub promise: &'static str,
    /// How many observations it was held against.
    pub checked: usize,
    /// Where it was broken; the first few.
    pub violations: Vec<String>,
}

/// Violations told in full; more say no more.
const TOLD: usize = 10;

impl Verdict {
    /// A verdict; only the first few violations are kept.
    pub fn new(promise: &'static str, checked: usize, mut violations: Vec<String>) -> Self {
        let more = violations.len().saturating_sub(TOLD);
        violations.truncate(TOLD);
        if more > 0 {
            violations.push(format!("and {more} more"));
        }
        Verdict {
            promise,
            checked,
            violations,
        }
    }

    /// The verdict of a check that stops at the first violation.
    pub fn of(promise: &'static str, checked: usize, found: Result<(), String>) -> Self {
        Verdict::new(promise, checked, found.err().into_iter().collect())
    }

    /// The verdict over how something went that is right when it goes well.
    pub fn went<T>(promise: &'static str, checked: usize, told: &anyhow::Result<T>) -> Self {
        let told = told.as_ref().map(drop);
        Verdict::of(promise, checked, told.map_err(|error| format!("{error:#}")))
    }

    /// Nothing is wrong.
    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }
}

/// A line for each promise.
pub fn table(verdicts: &[Verdict]) -> Table {
    let mut table = Table::new(&["promise", "checked", "broken"]);
    for verdict in verdicts {
        table.row(vec![
            verdict.promise.to_owned(),
            verdict.checked.to_string(),
            verdict.violations.len().to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests;
