//! The command line: `collect`, `trace`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::{Collector, Limits, Options, show};
use crate::compose::Plan;
use crate::compose::verbs::PROJECT;
use crate::report::tell;
use crate::signal;

/// Where a collector shows traces that was started by hand.
const ALONE: &str = "http://127.0.0.1:4320";

/// Where and how much.
#[derive(Debug, Args)]
pub struct Collect {
    /// Where spans come in; for a node's `telemetry.otlp_endpoint`.
    #[arg(long, default_value = "127.0.0.1:4317")]
    otlp: String,
    /// Where traces are shown.
    #[arg(long, default_value = "127.0.0.1:4320")]
    http: String,
    /// Spans kept in memory; the oldest traces go first.
    #[arg(long, default_value_t = Limits::default().spans)]
    spans: usize,
    /// Write spans here too, one JSON object a line, and read them back at the start.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Bytes of that file before it is begun anew; the one before is kept beside it.
    #[arg(long, default_value_t = Limits::default().file_bytes)]
    file_bytes: u64,
}

/// Which trace, and who has it.
#[derive(Debug, Args)]
pub struct Trace {
    /// The trace's id, or a whole `traceparent`; the latest traces are listed without one.
    id: Option<String>,
    /// Where the collector shows traces. When not given: that of the testnet that is up, else
    /// `http://127.0.0.1:4320`.
    #[arg(long, value_name = "URL")]
    collector: Option<String>,
    /// The testnet whose collector is asked, when there are several.
    #[arg(long, conflicts_with = "collector")]
    project: Option<String>,
    /// Wait so many seconds for the trace to come, and for its spans to be complete.
    #[arg(long, default_value_t = 0)]
    wait: u64,
}

impl Collect {
    /// Collects until it is told to end.
    ///
    /// # Errors
    /// When a port is taken, or the file cannot be opened.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        // heard from the start: a container's first process is not ended by a signal it does not ask for
        let ended = signal::asked_to_end();
        tokio::pin!(ended);
        let opened = Collector::open(Options {
            otlp: self.otlp,
            http: self.http,
            limits: Limits {
                spans: self.spans,
                file_bytes: self.file_bytes,
                ..Limits::default()
            },
            file: self.file,
        });
        let collector = tokio::select! {
            biased;
            asked = &mut ended => return asked.map(|()| ExitCode::SUCCESS),
            opened = opened => opened?,
        };
        tell(&format!("spans  {}", collector.endpoint()))?;
        tell(&format!("traces {}/traces", collector.url()))?;
        ended.await?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Trace {
    /// Draws it.
    ///
    /// # Errors
    /// When there is no such testnet, or [`show::trace`] has none.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let collector = whose(self.collector, self.project.as_deref(), Plan::read)?;
        let wait = Duration::from_secs(self.wait);
        tell(&show::trace(&collector, self.id.as_deref(), wait).await?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Where to ask: what was given, the collector of the testnet that was named or is up, or one that was
/// started by hand.
fn whose(
    given: Option<String>,
    project: Option<&str>,
    up: impl FnOnce(&str) -> anyhow::Result<Plan>,
) -> anyhow::Result<String> {
    let own = |plan: Plan| plan.collector().map(|at| format!("http://{at}"));
    match (given, project) {
        (Some(given), _) => Ok(given),
        (None, Some(project)) => {
            let plan = up(project)?;
            own(plan)
                .with_context(|| format!("the testnet `{project}` has no collector of its own"))
        }
        (None, None) => {
            let found = up(PROJECT).ok().and_then(own);
            Ok(found.unwrap_or_else(|| ALONE.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;
    use crate::compose::plan::example;

    fn none(_: &str) -> anyhow::Result<Plan> {
        bail!("no testnet is up")
    }

    fn one(_: &str) -> anyhow::Result<Plan> {
        Ok(example(3))
    }

    fn silent(_: &str) -> anyhow::Result<Plan> {
        Ok(Plan {
            otlp: None,
            ..example(3)
        })
    }

    #[test]
    fn the_collector_of_the_testnet_that_is_up_is_asked() {
        let own = "http://127.0.0.1:6001";
        assert_eq!(whose(None, None, one).unwrap(), own);
        assert_eq!(whose(None, Some("ci-1"), one).unwrap(), own);
        assert_eq!(whose(None, None, none).unwrap(), ALONE);
        assert_eq!(whose(None, None, silent).unwrap(), ALONE);
    }

    #[test]
    fn what_the_user_names_is_asked_or_nothing_is() {
        let given = Some("http://a:1".to_owned());
        assert_eq!(whose(given, None, one).unwrap(), "http://a:1");
        assert!(whose(None, Some("gone"), none).is_err());
        let silent = whose(None, Some("silent"), silent).unwrap_err();
        assert!(silent.to_string().contains("no collector"), "{silent}");
    }
}
