//! Figures beside their goals, a column for each number of nodes.

use std::collections::BTreeMap;

use llm_router_testnet::table::Table;

/// The figures of one chapter.
#[derive(Debug, Default)]
pub(super) struct Board {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    goal: &'static str,
    cells: BTreeMap<usize, String>,
    missed: bool,
}

impl Board {
    /// A figure that only explains the others.
    pub(super) fn tell(&mut self, nodes: usize, name: &'static str, figure: impl ToString) {
        self.put(nodes, (name, "-"), figure.to_string(), true);
    }

    /// A figure that is to keep a goal.
    pub(super) fn hold(
        &mut self,
        nodes: usize,
        (name, goal): (&'static str, &'static str),
        figure: impl ToString,
        met: bool,
    ) {
        self.put(nodes, (name, goal), figure.to_string(), met);
    }

    fn put(
        &mut self,
        nodes: usize,
        (name, goal): (&'static str, &'static str),
        figure: String,
        met: bool,
    ) {
        let place = self.rows.iter().position(|row| row.name == name);
        let place = place.unwrap_or_else(|| {
            self.rows.push(Row {
                name,
                goal,
                cells: BTreeMap::new(),
                missed: false,
            });
            self.rows.len() - 1
        });
        let row = &mut self.rows[place];
        row.missed |= !met;
        // the single node is nobody's goal, only what the others are compared with
        if goal != "-" && nodes > 1 {
            row.goal = goal;
        }
        row.cells.insert(nodes, figure);
    }

    /// The table of all.
    pub(super) fn table(&self) -> Table {
        let mut columns: Vec<usize> = Vec::new();
        for row in &self.rows {
            columns.extend(row.cells.keys());
        }
        columns.sort_unstable();
        columns.dedup();
        let mut head = vec!["".to_owned(), "goal".to_owned()];
        head.extend(columns.iter().map(|nodes| match nodes {
            1 => "1 node".to_owned(),
            many => format!("{many} nodes"),
        }));
        head.push("verdict".to_owned());
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let mut table = Table::new(&head);
        for row in &self.rows {
            let mut cells = vec![row.name.to_owned(), row.goal.to_owned()];
            let figure = |nodes| row.cells.get(nodes).cloned().unwrap_or_default();
            cells.extend(columns.iter().map(figure));
            cells.push(match (row.goal, row.missed) {
                ("-", _) => String::new(),
                (_, false) => "met".to_owned(),
                (_, true) => "MISSED".to_owned(),
            });
            table.row(cells);
        }
        table
    }
}
