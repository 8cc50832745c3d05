//! `cache eval`: how the cache would do on questions an operator has labelled. Needs no node.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::output::table;
use super::{Code, Context};
use crate::cache::decide::Budget;
use crate::cache::embed::{Embedder, Options};
use crate::cache::evaluate::report::Report;
use crate::cache::evaluate::{Evaluation, plot, table as rows};
use crate::config::{Flags, load};

/// What is asked of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Would `text_b` get the answer to `text_a`? Columns `text_a`, `text_b`, `label`.
    #[default]
    Pair,
    /// The first of every class is stored, the others are asked. Columns `class_id`, `text`.
    Stream,
}

/// Measure the semantic cache on labelled questions: how much it would serve, and how much wrongly.
#[derive(Clone, Debug, Args)]
pub struct Evaluate {
    /// Tab-separated, first line the names of the columns, no quoting; a column `tag` is kept.
    #[arg(long, value_name = "FILE")]
    pub pairs: PathBuf,
    /// What is asked of the cache.
    #[arg(long, value_enum, default_value_t)]
    pub protocol: Protocol,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Draw wrong over right, beside plain cosine, into this SVG file.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Configuration file whose `cache` and `embedder` count [env: LLM_ROUTER_CONFIG].
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Measures, and prints what came of it.
///
/// # Errors
/// A file that cannot be read or written, a configuration with problems, an embedder that is not there.
pub(super) async fn run(verb: Evaluate, context: &Context) -> anyhow::Result<Code> {
    let flags = Flags {
        config: verb.config.clone(),
        ..Flags::default()
    };
    let loaded = load(&flags, &context.env)?;
    let text = std::fs::read_to_string(&verb.pairs)
        .with_context(|| format!("cannot read {}", verb.pairs.display()))?;
    let named = || verb.pairs.display().to_string();
    let (pairs, members) = match verb.protocol {
        Protocol::Pair => (rows::pairs(&text).with_context(named)?, Vec::new()),
        Protocol::Stream => (Vec::new(), rows::members(&text).with_context(named)?),
    };
    let settings = loaded.node.embedder.clone();
    let dir = settings
        .dir
        .unwrap_or_else(|| context.env.weights_dir(&settings.model));
    let embedder = tokio::task::spawn_blocking(move || {
        Embedder::open(Options {
            model: &settings.model,
            dir: &dir,
            workers: settings.workers,
            precision: settings.precision,
        })
    })
    .await??;
    let evaluation = Evaluation {
        embedder: &embedder,
        budget: Budget::of(&loaded.routing.cache, None).within(embedder.calibration()),
    };
    let report = match verb.protocol {
        Protocol::Pair => evaluation.pairs(pairs).await?,
        Protocol::Stream => evaluation.stream(members).await?,
    };
    if let Some(file) = &verb.plot {
        std::fs::write(file, plot::svg(&report))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if verb.json {
        context.out.line(&serde_json::to_string(&report)?)?;
    } else {
        context.out.show(&report, || shown(&report))?;
    }
    Ok(Code::Ok)
}

fn shown(report: &Report) -> String {
    let percent = |rate: f64| format!("{:.2} %", rate * 100.0);
    let [low, high] = report.wrong_rate_ci95;
    let summary = format!(
        "asked        {}\nserved       {}\nwrong        {} ({} of served, 95 % between {} and {})\n\
         right        {} of {} that could be ({})\nprecision    {}",
        report.rows,
        report.served,
        report.wrong,
        percent(report.wrong_rate),
        percent(low),
        percent(high),
        report.true_served,
        report.true_pairs,
        percent(report.coverage),
        if report.served == 0 {
            "-".to_owned()
        } else {
            percent(1.0 - report.wrong_rate)
        },
    );
    let tags = report.by_tag.iter().map(|(tag, count)| {
        [
            tag.clone(),
            count.rows.to_string(),
            count.served.to_string(),
            count.wrong.to_string(),
        ]
    });
    let swept = report
        .baseline
        .iter()
        .filter(|one| one.served > 0)
        .map(|one| {
            [
                format!("{:.2}", one.threshold),
                one.served.to_string(),
                one.wrong.to_string(),
                one.true_served.to_string(),
            ]
        });
    format!(
        "{summary}\n\n{}\n\nplain cosine, for comparison\n{}",
        table(["TAG", "ASKED", "SERVED", "WRONG"], tags),
        table(["THRESHOLD", "SERVED", "WRONG", "RIGHT"], swept)
    )
}
