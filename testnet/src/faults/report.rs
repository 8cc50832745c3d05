//! What was seen, as a table and as totals.

use std::fmt;
use std::time::Duration;

use llm_router::provider::demo::trouble::{ALL, Trouble};

use crate::backends::Backend;
use crate::doors::{Door, Outcome};
use crate::table::Table;

/// One trouble, through one door, over one dialect.
#[derive(Debug)]
pub struct Cell {
    pub(super) door: Door,
    pub(super) backend: Backend,
    pub(super) trouble: Trouble,
    /// `whole` or `streamed`, with or without a fallback.
    pub(super) way: String,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    /// What was not as it should be.
    pub(super) problem: Option<String>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Report {
    cells: Vec<Cell>,
}

impl Report {
    pub(super) fn add(&mut self, cells: Vec<Cell>) {
        self.cells.extend(cells);
    }

    /// Everything was as it should be.
    pub fn holds(&self) -> bool {
        self.problems().next().is_none()
    }

    /// What was not, a line each.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        self.cells.iter().filter_map(|cell| {
            let problem = cell.problem.as_ref()?;
            let (door, backend) = (cell.door.name(), cell.backend.name());
            let trouble = cell.trouble.name();
            Some(format!(
                "{trouble}: {door} over {backend}, {}: {problem}",
                cell.way
            ))
        })
    }

    /// `answered/refused` of the cells, with a mark where one is wrong.
    fn summed(&self, trouble: Trouble, backend: Backend) -> String {
        let own = |cell: &&Cell| cell.trouble == trouble && cell.backend == backend;
        let cells: Vec<&Cell> = self.cells.iter().filter(own).collect();
        if cells.is_empty() {
            return "-".to_owned();
        }
        let count = |outcome: Outcome| cells.iter().filter(|cell| cell.outcome == outcome).count();
        let wrong = cells.iter().filter(|cell| cell.problem.is_some()).count();
        let marked = if wrong > 0 {
            format!(" ✗{wrong}")
        } else {
            String::new()
        };
        format!(
            "{}/{}{marked}",
            count(Outcome::Answered),
            count(Outcome::Refused)
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = |backend: &Backend| self.cells.iter().any(|cell| cell.backend == *backend);
        let backends: Vec<Backend> = Backend::ALL.into_iter().filter(used).collect();
        let head: Vec<&str> = std::iter::once("answered/refused")
            .chain(backends.iter().map(|backend| backend.name()))
            .chain(["slowest"])
            .collect();
        let mut table = Table::new(&head);
        for trouble in ALL {
            let own = self.cells.iter().filter(|cell| cell.trouble == trouble);
            let Some(slowest) = own.map(|cell| cell.took).max() else {
                continue;
            };
            let mut row = vec![trouble.name()];
            row.extend(
                backends
                    .iter()
                    .map(|backend| self.summed(trouble, *backend)),
            );
            row.push(format!("{:.2} s", slowest.as_secs_f64()));
            table.row(row);
        }
        writeln!(f, "{table}")?;
        let problems: Vec<String> = self.problems().collect();
        let (all, bad) = (self.cells.len(), problems.len());
        writeln!(f, "{} of {all} hold", all - bad)?;
        problems
            .iter()
            .try_for_each(|problem| writeln!(f, "✗ {problem}"))
    }
}
