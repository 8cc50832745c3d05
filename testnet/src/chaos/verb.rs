//! The command line of both harnesses: processes with fail points, and containers.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Options, run};
use crate::compose::chaos::{self as containers, Fault};
use crate::report::tell;
use crate::table;

/// How nodes are harmed.
#[derive(Clone, Debug, Args)]
pub struct Verb {
    /// How long faults go on.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What they follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many nodes: 3 or 5.
    #[arg(long, default_value_t = 3, value_parser = nodes)]
    nodes: usize,
    /// Harm containers of their own instead of processes: networks, disks, clocks, certificates, images.
    #[arg(long)]
    containers: bool,
    /// Only these faults of containers, or families of them: kill, pause, cut, one-way, slow-link,
    /// lossy-link, processor, memory, disk-full, clock, certificates, rolling, upstream, overload.
    #[arg(long, value_delimiter = ',', value_parser = faults, requires = "containers")]
    faults: Vec<Vec<Fault>>,
    /// The image that a rolling upgrade puts in; another one of the same binary when not given.
    #[arg(long, value_name = "IMAGE", requires = "containers")]
    upgrade: Option<String>,
    /// What the containers are called.
    #[arg(long, default_value = "llm-router-chaos", requires = "containers")]
    project: String,
    /// Leave the containers for a look; `down --project NAME` removes them.
    #[arg(long, requires = "containers")]
    keep: bool,
}

fn nodes(text: &str) -> Result<usize, String> {
    match text {
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("3 or 5: fewer lose nothing less than everything".to_owned()),
    }
}

fn faults(name: &str) -> Result<Vec<Fault>, String> {
    let found = Fault::named(name);
    match found.is_empty() {
        true => {
            let all: Vec<&str> = Fault::all().map(Fault::as_str).collect();
            Err(format!("no such fault; there are {}", all.join(", ")))
        }
        false => Ok(found),
    }
}

impl Verb {
    /// Runs it and prints what came of it.
    ///
    /// # Errors
    /// What kept the run from its end.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        tell(&table::machine())?;
        let lasting = Duration::from_secs(self.seconds);
        let nodes = self.nodes;
        let (told, holds) = if self.containers {
            let options = containers::Options {
                project: self.project,
                nodes,
                lasting,
                seed: self.seed,
                faults: self.faults.concat(),
                upgrade: self.upgrade,
                keep: self.keep,
            };
            tell(&format!("command: {}", options.command()))?;
            let report = containers::run(&options).await?;
            (report.to_string(), report.holds())
        } else {
            let options = Options {
                nodes,
                lasting,
                seed: self.seed,
            };
            tell(&format!("command: {}", options.command()))?;
            let report = run(options).await?;
            (report.to_string(), report.holds())
        };
        tell(&format!("\n{told}"))?;
        Ok(match holds {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_is_none_is_refused_with_those_there_are() {
        assert!(faults("rain").unwrap_err().contains("kill-leader"));
        assert_eq!(faults("rolling").unwrap().len(), 2);
    }
}
