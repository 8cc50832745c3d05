//! `load`: an open loop over the containers, with what they used for it.

use super::engine::Engine;
use super::figures::{self, Figures};
use super::plan::Plan;
use crate::doors::At;
use crate::openloop::{self, Options, Report};
use crate::report::tell;
use crate::table::{self, Table};

/// Loads the testnet's nodes, or those at `given`. Whether every request was answered.
pub(super) async fn load(project: &str, given: Vec<At>, options: &Options) -> anyhow::Result<bool> {
    tell(&table::machine())?;
    let report = match given.is_empty() {
        false => openloop::run(&given, options).await?,
        true => {
            let engine = Engine::find().await?;
            let plan = Plan::read(project)?;
            let before = figures::all(&engine, &plan).await;
            let report = openloop::run(&plan.doors()?, options).await?;
            let after = figures::all(&engine, &plan).await;
            tell(&used(&before, &after).to_string())?;
            report
        }
    };
    tell(&summary(&report, options))?;
    Ok(report.holds())
}

#[expect(clippy::cast_precision_loss, reason = "counts of one run")]
fn summary(report: &Report, options: &Options) -> String {
    let seconds = report.took.as_secs_f64().max(0.001);
    let reached = report.sent() as f64 / seconds;
    format!(
        "{report}\n{:.1} requests a second wanted, {reached:.1} sent, for {seconds:.1} s; seed {}",
        options.rate, options.seed
    )
}

/// What each node did meanwhile, and the processor time it took.
fn used(before: &[Figures], after: &[Figures]) -> Table {
    let mut table = Table::new(&[
        "node",
        "requests",
        "failures",
        "hits",
        "CPU s",
        "requests/CPU s",
    ]);
    let mut all = (0, 0, 0, Some(0.0));
    for (at, (old, new)) in before.iter().zip(after).enumerate() {
        let cpu = new.cpu_since(old);
        let row = (
            new.since(old, "total_requests"),
            new.since(old, "failures"),
            new.since(old, "cache_hits"),
            cpu,
        );
        table.row(cells(&format!("n{}", at + 1), row));
        all = (
            all.0 + row.0,
            all.1 + row.1,
            all.2 + row.2,
            all.3.zip(cpu).map(|(all, one)| all + one),
        );
    }
    table.row(cells("all", all));
    table
}

#[expect(clippy::cast_precision_loss, reason = "requests of one run")]
fn cells(name: &str, row: (u64, u64, u64, Option<f64>)) -> Vec<String> {
    let (requests, failures, hits, cpu) = row;
    let each = cpu
        .filter(|cpu| *cpu > 0.0)
        .map(|cpu| requests as f64 / cpu);
    let shown = |figure: Option<f64>, digits: usize| {
        figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
    };
    vec![
        name.to_owned(),
        requests.to_string(),
        failures.to_string(),
        hits.to_string(),
        shown(cpu, 2),
        shown(each, 0),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn figures(requests: u64, cpu: Option<f64>) -> Figures {
        Figures {
            stats: json!({"total_requests": requests, "failures": 0, "cache_hits": 0}),
            cpu_seconds: cpu,
            ..Figures::default()
        }
    }

    #[test]
    fn processor_time_of_a_node_that_was_started_again_is_not_made_up() {
        let before = [figures(10, Some(5.0)), figures(10, Some(5.0))];
        let steady = [figures(110, Some(6.0)), figures(110, Some(6.0))];
        let last = |table: Table| table.to_string().lines().last().unwrap_or("").to_owned();
        assert!(last(used(&before, &steady)).ends_with("2.00             100"));
        let again = [figures(110, Some(6.0)), figures(3, Some(0.1))];
        assert!(last(used(&before, &again)).ends_with("-               -"));
    }
}
