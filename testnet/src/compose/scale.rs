//! `scale`: what clusters of several sizes answer, and the processor time their nodes need for it.
//!
//! Each size is a testnet of its own: it comes up, answers one load with the cache and one past it, and
//! goes again. All of them share this machine's cores with the upstreams and with who asks, so that
//! figures are per second of the nodes' processor time, not per second of the clock.

use std::time::Duration;

use clap::Args;

use super::engine::Engine;
use super::figures::{self, Figures};
use super::launch;
use super::plan::Plan;
use super::verbs::nodes;
use crate::node::weights;
use crate::openloop::{self, Options, Report};
use crate::report::tell;
use crate::table::{self, Table};

/// What is measured.
#[derive(Debug, Args)]
pub struct Scale {
    /// So many nodes, one testnet after another.
    #[arg(long, value_delimiter = ',', default_values_t = [1_usize, 3, 5], value_parser = nodes)]
    nodes: Vec<usize>,
    /// Requests a second, over all nodes.
    #[arg(long, default_value_t = 60.0)]
    rate: f64,
    /// For how long, each time.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The load that the cache may answer draws from so many questions.
    #[arg(long, value_name = "QUESTIONS", default_value_t = 400)]
    cached: u32,
    /// Have every request traced as well.
    #[arg(long)]
    traced: bool,
    /// What everything drawn follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the testnets are called; the number of their nodes is added.
    #[arg(long, default_value = "scale")]
    project: String,
}

/// One load on one testnet.
#[derive(Clone, Debug)]
struct Measured {
    nodes: usize,
    /// The cache could answer.
    cached: bool,
    sent: u64,
    failed: u64,
    held_back: u64,
    hits: u64,
    /// Processor time of all nodes; `None` where it cannot be seen.
    cpu: Option<f64>,
    p50: f64,
    p99: f64,
}

impl Scale {
    /// Measures every size and prints one table. Whether every request was answered.
    pub(super) async fn run(self) -> anyhow::Result<bool> {
        let engine = Engine::find().await?;
        let mut all = Vec::new();
        for nodes in &self.nodes {
            all.extend(self.size(&engine, *nodes).await?);
        }
        let on = |there: bool| if there { "on" } else { "off" };
        let (tier, traces) = (on(weights().is_some()), on(self.traced));
        tell(&format!("\n{}\n\n{}", table::machine(), drawn(&all)))?;
        tell(&format!(
            "semantic tier {tier}, traces {traces}; the same again:"
        ))?;
        tell(&self.command())?;
        Ok(all.iter().all(Measured::holds))
    }

    /// One testnet from its first container to its last.
    async fn size(&self, engine: &Engine, nodes: usize) -> anyhow::Result<Vec<Measured>> {
        let mut plan = Plan::new(&format!("{}-{nodes}", self.project), nodes)?;
        if !self.traced {
            plan.otlp = None;
        }
        launch::only_for(engine, &plan, false, self.measure(engine, plan.clone())).await
    }

    async fn measure(&self, engine: &Engine, plan: Plan) -> anyhow::Result<Vec<Measured>> {
        tell(&format!("{}: starting", plan.project))?;
        let plan = launch::up(engine, plan, true).await?;
        let mut all = Vec::new();
        for distinct in [Some(self.cached), None] {
            let options = Options {
                rate: self.rate,
                lasting: Duration::from_secs(self.seconds),
                distinct,
                cached: distinct.is_some(),
                seed: self.seed,
                ..Options::default()
            };
            let before = figures::all(engine, &plan).await;
            let report = openloop::run(&plan.doors()?, &options).await?;
            let after = figures::all(engine, &plan).await;
            if !report.holds() {
                tell(&report.to_string())?;
            }
            let measured = Measured::new(options.cached, &report, &before, &after);
            tell(&format!("{}: {}", plan.project, measured.told()))?;
            all.push(measured);
        }
        Ok(all)
    }

    /// The command line that measures the same again.
    fn command(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(ToString::to_string).collect();
        let traced = if self.traced { " --traced" } else { "" };
        format!(
            "llm-router-testnet scale --nodes {} --rate {} --seconds {} --cached {} --seed {}{traced}",
            nodes.join(","),
            self.rate,
            self.seconds,
            self.cached,
            self.seed
        )
    }
}

impl Measured {
    fn new(cached: bool, report: &Report, before: &[Figures], after: &[Figures]) -> Self {
        let pairs = || before.iter().zip(after);
        Measured {
            nodes: after.len(),
            cached,
            sent: report.sent(),
            failed: report.failures(),
            held_back: report.held_back(),
            hits: pairs().map(|(old, new)| new.since(old, "cache_hits")).sum(),
            // a node whose time is not known leaves none for all of them
            cpu: pairs().map(|(old, new)| new.cpu_since(old)).sum(),
            p50: report.percentile(50.0),
            p99: report.percentile(99.0),
        }
    }

    fn holds(&self) -> bool {
        self.failed == 0 && self.held_back == 0 && self.sent > 0
    }

    fn told(&self) -> String {
        let cache = if self.cached { "with" } else { "without" };
        let Measured { sent, failed, .. } = self;
        format!("{sent} requests {cache} the cache, {failed} failed")
    }

    #[expect(clippy::cast_precision_loss, reason = "requests of one run")]
    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let hits = self.hits as f64 / self.sent.max(1) as f64 * 100.0;
        let each = self.cpu.filter(|cpu| *cpu > 0.0);
        let each = each.map(|cpu| self.sent as f64 / cpu);
        vec![
            self.nodes.to_string(),
            if self.cached { "on" } else { "off" }.to_owned(),
            self.sent.to_string(),
            self.failed.to_string(),
            self.held_back.to_string(),
            match self.cached {
                true => format!("{hits:.0}"),
                false => dash(),
            },
            self.cpu.map_or_else(dash, |cpu| format!("{cpu:.2}")),
            each.map_or_else(dash, |each| format!("{each:.0}")),
            format!("{:.1}", self.p50),
            format!("{:.1}", self.p99),
        ]
    }
}

fn drawn(all: &[Measured]) -> Table {
    let mut table = Table::new(&[
        "nodes",
        "cache",
        "requests",
        "failed",
        "held back",
        "hits %",
        "nodes' CPU s",
        "requests/CPU s",
        "p50 ms",
        "p99 ms",
    ]);
    for measured in all {
        table.row(measured.cells());
    }
    table
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        scale: Scale,
    }

    fn measured(cached: bool, cpu: Option<f64>) -> Measured {
        Measured {
            nodes: 3,
            cached,
            sent: 1000,
            failed: 0,
            held_back: 0,
            hits: 600,
            cpu,
            p50: 12.34,
            p99: 150.0,
        }
    }

    fn row(measured: &Measured) -> Vec<String> {
        let text = drawn(std::slice::from_ref(measured)).to_string();
        let last = text.lines().last().unwrap_or_default();
        last.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn figures_are_per_second_of_the_nodes_processor_time() {
        let with = row(&measured(true, Some(4.0)));
        assert_eq!(with[5..], ["60", "4.00", "250", "12.3", "150.0"]);
        let past = row(&measured(false, None));
        assert_eq!(past[5..], ["-", "-", "-", "12.3", "150.0"]);
    }

    #[test]
    fn a_request_that_failed_or_was_never_sent_is_no_success() {
        let good = measured(true, None);
        assert!(good.holds());
        for bad in [
            Measured {
                failed: 1,
                ..good.clone()
            },
            Measured {
                held_back: 1,
                ..good.clone()
            },
            Measured { sent: 0, ..good },
        ] {
            assert!(!bad.holds(), "{bad:?}");
        }
    }

    #[test]
    fn processor_time_of_one_node_alone_is_not_given_for_all() {
        let figures = |cpu_seconds| Figures {
            cpu_seconds,
            ..Figures::default()
        };
        let before = [figures(Some(1.0)), figures(Some(1.0))];
        let report = Report::new(&Options::default().doors);
        let whole = [figures(Some(2.0)), figures(Some(3.0))];
        let whole = Measured::new(true, &report, &before, &whole);
        assert!(whole.cpu.is_some_and(|cpu| (cpu - 3.0).abs() < 1e-9));
        let gone = [figures(Some(2.0)), figures(None)];
        assert_eq!(Measured::new(true, &report, &before, &gone).cpu, None);
    }

    #[test]
    fn the_line_that_is_printed_measures_the_same_again() {
        let words = ["scale", "--nodes", "3,5", "--rate", "80.5", "--traced"];
        let first = Line::try_parse_from(words).unwrap().scale;
        let command = first.command();
        let again = command.split_whitespace().skip(1);
        assert_eq!(
            Line::try_parse_from(again).unwrap().scale.command(),
            command
        );
        let whole = Line::try_parse_from(["scale"]).unwrap().scale;
        assert_eq!(whole.nodes, [1, 3, 5]);
        assert!(Line::try_parse_from(["scale", "--nodes", "2"]).is_err());
    }
}
