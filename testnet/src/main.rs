//! Runs what takes longer than a test may.

#![expect(clippy::print_stdout, reason = "its report is what it is run for")]

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use llm_router_testnet::chaos::{self, Options};
use llm_router_testnet::table;

/// Runs what takes longer than a test may.
#[derive(Debug, Parser)]
#[command(name = "llm-router-testnet")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Harm real nodes under load, and hold what was seen against every invariant. Exits with 1
    /// when one is broken.
    Chaos {
        /// How long faults go on.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// What they follow from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many nodes: 3 or 5.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=5))]
        nodes: u8,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Command::Chaos {
        seconds,
        seed,
        nodes,
    } = Arguments::parse().command;
    let options = Options {
        nodes: usize::from(nodes),
        lasting: Duration::from_secs(seconds),
        seed,
    };
    println!("{}", table::machine());
    println!("command: {}", options.command());
    let report = chaos::run(options).await?;
    println!("\n{report}");
    Ok(match report.holds() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
