//! Measures what a node adds: latency, throughput, memory, connections, lookups.
//!
//! Everything runs on this machine against one scripted upstream in a process of its own; every
//! figure is printed with what it was compared with, because absolute ones say little.

#![expect(clippy::print_stdout, reason = "a bench prints its tables")]

mod client;
mod compare;
mod connections;
mod consensus;
mod embedding;
mod flights;
mod index;
mod lookups;
mod nginx;
mod series;
mod spread;
mod translate;

mod upstream;

use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures what a node adds.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Measure only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Seconds per side and scenario.
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
    /// Turns the sides take within that time.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..1000))]
    turns: u32,
    /// Leaders killed, and as many followers, for the failover.
    #[arg(long, default_value_t = 50)]
    kills: usize,
    /// Rounds of breakers, partitions and transfers.
    #[arg(long, default_value_t = 50)]
    rounds: usize,
    /// The index with graphs too: minutes of building.
    #[arg(long)]
    graphs: bool,
    /// The index with a million entries too: minutes of making them up.
    #[arg(long)]
    million: bool,
    /// A Python with onnxruntime, for the embedding.
    #[arg(long)]
    python: Option<std::path::PathBuf>,
    /// Measure only these of the consensus.
    #[arg(long, value_enum, value_delimiter = ',')]
    consensus: Vec<consensus::Chapter>,
    /// Questions in classes for the cache over several nodes (`class_id`, `class_size`, `text`).
    #[arg(long)]
    texts: Option<std::path::PathBuf>,
    /// Classes of them that are used.
    #[arg(long, default_value_t = 2500)]
    classes: usize,
    /// Numbers of nodes of the cache over several nodes.
    #[arg(long, value_delimiter = ',', default_values_t = [3, 5, 8])]
    nodes: Vec<usize>,
    /// Measure only these of the cache over several nodes.
    #[arg(long, value_enum, value_delimiter = ',')]
    spread: Vec<spread::Chapter>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the scripted upstream and print its address (the bench starts this by itself).
    Upstream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Latency and throughput beside a direct connection and nginx.
    Compare,
    /// Idle memory, 5,000 idle and 500 active connections.
    Connections,
    /// The embedder.
    Lookups,
    /// The index: searches, recall, memory, inserts, removals.
    Index,
    /// The embedder beside stock candle and onnxruntime, on one core.
    Embedding,
    /// What nodes agree on: commits, failover, breakers, partitions.
    Consensus,
    /// One cache over several nodes.
    Spread,
    /// What translating between dialects adds to a request and to a chunk.
    Translate,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Command::Upstream) = arguments.command {
        return upstream::serve().await;
    }
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    println!("{}", llm_router_testnet::table::machine());
    println!(
        "command: {}",
        std::env::args().collect::<Vec<_>>().join(" ")
    );
    if wanted(Part::Compare) {
        let seconds = Duration::try_from_secs_f64(arguments.seconds)?;
        compare::run(seconds, arguments.turns).await?;
    }
    if wanted(Part::Translate) {
        translate::run(arguments.turns).await?;
    }
    if wanted(Part::Connections) {
        connections::run().await?;
    }
    if wanted(Part::Lookups) {
        lookups::run().await?;
        flights::run().await?;
    }
    if wanted(Part::Index) {
        index::run(arguments.graphs, arguments.million).await?;
    }
    if wanted(Part::Embedding) {
        embedding::run(arguments.python.as_deref())?;
    }
    if wanted(Part::Consensus) {
        consensus::run(&consensus::Extent {
            seconds: Duration::try_from_secs_f64(arguments.seconds)?,
            kills: arguments.kills,
            rounds: arguments.rounds,
            only: arguments.consensus,
        })
        .await?;
    }
    if wanted(Part::Spread) {
        spread::run(&spread::Extent {
            texts: arguments.texts,
            nodes: arguments.nodes,
            classes: arguments.classes,
            only: arguments.spread,
        })
        .await?;
    }
    Ok(())
}
