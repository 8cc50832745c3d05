//! Figures beside what they are to be.

use std::time::Duration;

use llm_router_testnet::spans::Spans;
use llm_router_testnet::table::Table;

/// A table of times, a goal for each.
pub(super) fn times() -> Table {
    Table::new(&[
        "",
        "count",
        "p50 ms",
        "p99 ms",
        "longest ms",
        "goal",
        "verdict",
    ])
}

/// Times that are not to exceed these, by percentile; at 100 none may. Without times nothing is
/// met.
pub(super) fn within(name: &str, spans: &Spans, goals: &[(usize, Duration)]) -> Vec<String> {
    let mut row = spans.row(name);
    let said = goals.iter().map(|(percent, most)| {
        let place = match percent {
            100 => "all".to_owned(),
            percent => format!("p{percent}"),
        };
        format!("{place} <= {}", most.as_millis())
    });
    row.push(said.collect::<Vec<_>>().join(", "));
    let met = |(percent, most): &(usize, Duration)| spans.at(*percent).is_some_and(|t| t <= *most);
    row.push(verdict(goals.iter().all(met)));
    row
}

/// A table of counts, a goal for each.
pub(super) fn counts() -> Table {
    Table::new(&["", "count", "goal", "verdict"])
}

/// A count with an upper limit.
pub(super) fn at_most(name: &str, count: usize, most: usize) -> Vec<String> {
    let goal = match most {
        0 => "0".to_owned(),
        most => format!("<= {most}"),
    };
    row(name, count, goal, verdict(count <= most))
}

/// A count with a lower limit.
pub(super) fn at_least(name: &str, count: usize, least: usize) -> Vec<String> {
    row(name, count, format!(">= {least}"), verdict(count >= least))
}

/// A count that only explains the others.
pub(super) fn told(name: &str, count: usize) -> Vec<String> {
    row(name, count, "-".to_owned(), String::new())
}

fn row(name: &str, count: usize, goal: String, verdict: String) -> Vec<String> {
    vec![name.to_owned(), count.to_string(), goal, verdict]
}

/// In one word.
pub(super) fn verdict(met: bool) -> String {
    let word = if met { "met" } else { "MISSED" };
    word.to_owned()
}
