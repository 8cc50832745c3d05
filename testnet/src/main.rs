//! Runs what takes longer than a test may.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use llm_router::cache::embed::Embedder;
use llm_router_testnet::backends::Backend;
use llm_router_testnet::chaos;
use llm_router_testnet::choice::one_of;
use llm_router_testnet::collector::verbs::{Collect, Trace};
use llm_router_testnet::compose::verbs::Verb;
use llm_router_testnet::doors::Door;
use llm_router_testnet::fuzz::Target;
use llm_router_testnet::orders::Standing;
use llm_router_testnet::placement::simulate::{self, Material, Scale};
use llm_router_testnet::placement::{shipped, texts};
use llm_router_testnet::report::{ReaderLeft, tell};
use llm_router_testnet::table::{self, Table};
use llm_router_testnet::verifier::recipe::Sources;
use llm_router_testnet::verifier::{grammar, measured, recipe};
use llm_router_testnet::{faults, fuzz, orders, wires};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

/// Numbers of a made-up vector.
const MADE_UP_DIMENSIONS: usize = 384;

/// Runs what takes longer than a test may.
#[derive(Debug, Parser)]
#[command(name = "llm-router-testnet")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Containers(Verb),
    /// Harm real nodes under load, and hold what was seen against every invariant. Exits with 1
    /// when one is broken.
    Chaos(chaos::verb::Verb),
    /// Train the cache's pair verifier and write its weights. The data's licences must allow it.
    TrainVerifier {
        /// The embedder's files.
        #[arg(long)]
        models: PathBuf,
        /// PAWS-Wiki labeled final as `text_a`, `text_b`, `label`.
        #[arg(long)]
        swapped: PathBuf,
        /// Statements and their rewordings, the same columns.
        #[arg(long)]
        statements: PathBuf,
        /// Where to write.
        #[arg(long, default_value = "src/cache/verifier/head.json")]
        out: PathBuf,
        /// What everything random follows from.
        #[arg(long, default_value_t = 2)]
        seed: u64,
    },
    /// Train the cells that all-MiniLM-L6-v2 begins with, from questions made by rules and a thousand
    /// texts of each file. The data's licences must allow it.
    TrainCells(TrainCells),
    /// Simulate where entries lie, who is asked for them and what moves, for 3 to 500 nodes.
    Place(Place),
    /// Try every door over every provider dialect and print the matrix. Exits with 1 when one does not
    /// hold.
    Wires(Pairs),
    /// Bring about every fault upstream, through every door and in every provider dialect. Exits with 1
    /// when one ends in anything but a right answer or a clear error.
    Faults {
        #[command(flatten)]
        pairs: Pairs,
        /// Only these faults, as the table names them; all when none is given.
        #[arg(long, value_delimiter = ';')]
        troubles: Vec<String>,
        /// Each one whole and streamed, alone and with a fallback, instead of one of the four in turn.
        #[arg(long)]
        thorough: bool,
    },
    /// Bend recorded answers and feed them to what reads an upstream's. Exits with an error, and keeps
    /// the input, when one breaks a promise.
    Fuzz {
        /// What reads; all, one after the other, when none is given.
        #[arg(
            long,
            value_delimiter = ',',
            value_parser = one_of(Target::ALL.map(Target::name), Target::named)
        )]
        target: Vec<Target>,
        /// How long for each.
        #[arg(long, default_value_t = 1.0)]
        minutes: f64,
        /// What the inputs follow from; drawn when not given.
        #[arg(long)]
        seed: Option<u64>,
        /// Write the corpus anew from the scripted upstream, and do nothing else.
        #[arg(long)]
        record: bool,
    },
    /// Serve the scripted upstream, print its address, and take orders on stdin: `trouble NAME TOKENS`,
    /// `option NAME VALUE`, `heal`, `stats`, `headers` (those of the latest request that say where it
    /// stands in a trace). Every order is answered by one line of JSON.
    Upstream(Standing),
    /// Take spans over OTLP/gRPC, keep the latest, and show a trace as a tree.
    Collect(Collect),
    /// Draw a trace that a collector has: node, span, kind, start, duration, status.
    Trace(Trace),
    /// Measure labelled pairs as the cache's verifier sees them; one line each.
    MeasurePairs {
        /// Tab-separated, with a header naming `text_a` and `text_b`.
        #[arg(long)]
        pairs: PathBuf,
        /// The embedder's files.
        #[arg(long)]
        models: PathBuf,
    },
    /// Write pairs made by rules, tab-separated.
    WritePairs {
        /// How many.
        #[arg(long, default_value_t = 20_000)]
        count: usize,
        /// What they follow from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

#[derive(Debug, clap::Args)]
struct Pairs {
    /// Through these doors; all when none is given.
    #[arg(
        long,
        value_delimiter = ',',
        value_parser = one_of(Door::ALL.map(Door::name), Door::named)
    )]
    doors: Vec<Door>,
    /// Over these dialects; all when none is given.
    #[arg(
        long,
        value_delimiter = ',',
        value_parser = one_of(Backend::ALL.map(Backend::name), Backend::named)
    )]
    backends: Vec<Backend>,
}

impl Pairs {
    fn all(self) -> (Vec<Door>, Vec<Backend>) {
        let doors = if self.doors.is_empty() {
            Door::ALL.to_vec()
        } else {
            self.doors
        };
        let backends = if self.backends.is_empty() {
            Backend::ALL.to_vec()
        } else {
            self.backends
        };
        (doors, backends)
    }
}

#[derive(Debug, clap::Args)]
struct TrainCells {
    /// The embedder's files.
    #[arg(long)]
    models: PathBuf,
    /// Tab-separated, with a header naming `text`, `text_a`, `text_b` or `english`.
    #[arg(long)]
    texts: Vec<PathBuf>,
    /// Where to write.
    #[arg(
        long,
        default_value = "cluster/src/placement/starting/all-MiniLM-L6-v2.cells"
    )]
    out: PathBuf,
    /// What everything random follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Texts whose vectors are placed: tab-separated, with a header naming `text`, `text_a`, `text_b` or
    /// `english`. Without any, made-up vectors are.
    #[arg(long, requires = "models")]
    texts: Vec<PathBuf>,
    /// The embedder's files.
    #[arg(long)]
    models: Option<PathBuf>,
    /// Of the texts, so many are entries.
    #[arg(long, default_value_t = 20_000)]
    sample: usize,
    /// And so many questions.
    #[arg(long, default_value_t = 8000)]
    questions: usize,
    /// Entries in the cluster; the sample stands for them.
    #[arg(long, default_value_t = 1e9)]
    entries: f64,
    /// Bytes of an entry.
    #[arg(long, default_value_t = 4096.0)]
    entry_bytes: f64,
    /// What everything random follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match run(Arguments::parse().command).await {
        // what nobody was told is not known to hold
        Err(error) if error.is::<ReaderLeft>() => Ok(ExitCode::FAILURE),
        ended => ended,
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Chaos(verb) => verb.run().await,
        Command::TrainVerifier {
            models,
            swapped,
            statements,
            out,
            seed,
        } => {
            let sources = Sources {
                swapped,
                statements,
            };
            train_verifier(&models, &sources, &out, seed).await
        }
        Command::TrainCells(arguments) => train_cells(arguments).await,
        Command::Place(arguments) => place(arguments).await,
        Command::Fuzz { record: true, .. } => {
            tell(&format!("{} files", fuzz::record().await?))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Fuzz {
            target,
            minutes,
            seed,
            record: false,
        } => fuzz_all(target, minutes, seed).await,
        Command::Containers(verb) => verb.run().await,
        Command::Upstream(standing) => {
            orders::run(&standing).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Wires(pairs) => pair_all(pairs).await,
        Command::Faults {
            pairs,
            troubles,
            thorough,
        } => {
            let (doors, backends) = pairs.all();
            let options = faults::Options {
                doors,
                backends,
                troubles,
                thorough,
            };
            let report = faults::run(&options).await?;
            tell(&report.to_string())?;
            Ok(verdict(report.holds()))
        }
        Command::Collect(collect) => collect.run().await,
        Command::Trace(trace) => trace.run().await,
        Command::MeasurePairs { pairs, models } => measure_pairs(&models, &pairs).await,
        Command::WritePairs { count, seed } => {
            write_pairs(count, seed)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn pair_all(pairs: Pairs) -> anyhow::Result<ExitCode> {
    let (doors, backends) = pairs.all();
    let report = wires::run(&wires::Options { doors, backends }).await?;
    tell(&report.to_string())?;
    Ok(verdict(report.holds()))
}

async fn train_verifier(
    models: &Path,
    sources: &Sources,
    out: &Path,
    seed: u64,
) -> anyhow::Result<ExitCode> {
    let embedder = Embedder::load(models, 0)?;
    let (trained, report) = recipe::make(&embedder, sources, seed).await?;
    std::fs::write(out, serde_json::to_string(&trained)? + "\n")?;
    tell(&report.to_string())?;
    for bin in &trained.calibration {
        tell(&format!(
            "log odds >= {:>5.2}: {:>6} pairs, {:>5} wrong",
            bin.from, bin.pairs, bin.wrong
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure_pairs(models: &Path, pairs: &Path) -> anyhow::Result<ExitCode> {
    let embedder = Embedder::load(models, 0)?;
    let measured = measured::measure(&embedder, measured::read(pairs)?).await?;
    for one in measured {
        let numbers: Vec<String> = one
            .measures
            .iter()
            .flatten()
            .map(|number| format!("{number:.5}"))
            .collect();
        tell(&format!(
            "{}\t{}\t{}",
            u8::from(one.pair.same),
            one.similarity,
            numbers.join("\t")
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_pairs(count: usize, seed: u64) -> anyhow::Result<()> {
    tell("text_a\ttext_b\tlabel")?;
    for pair in grammar::pairs(&mut SmallRng::seed_from_u64(seed), count) {
        tell(&format!("{}\t{}\t{}", pair.a, pair.b, u8::from(pair.same)))?;
    }
    Ok(())
}

async fn fuzz_all(
    targets: Vec<Target>,
    minutes: f64,
    seed: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let targets = match targets.is_empty() {
        true => Target::ALL.to_vec(),
        false => targets,
    };
    let lasting = Duration::try_from_secs_f64(minutes * 60.0)?;
    let seed = seed.unwrap_or_else(rand::random);
    tell(&format!("seed {seed}"))?;
    let mut table = Table::new(&["target", "inputs", "finished", "grown"]);
    for target in targets {
        let tally = fuzz::run(target, lasting, seed).await?;
        table.row(vec![
            target.name().to_owned(),
            tally.inputs.to_string(),
            tally.finished.to_string(),
            table::mebibytes(tally.grown),
        ]);
    }
    tell(&table.to_string())?;
    Ok(ExitCode::SUCCESS)
}

async fn train_cells(arguments: TrainCells) -> anyhow::Result<ExitCode> {
    let embedder = Embedder::load(&arguments.models, 0)?;
    let (file, report) = shipped::make(&embedder, &arguments.texts, arguments.seed).await?;
    std::fs::write(&arguments.out, file)?;
    tell(&report.to_string())?;
    Ok(ExitCode::SUCCESS)
}

async fn place(arguments: Place) -> anyhow::Result<ExitCode> {
    let material = material(&arguments).await?;
    let scale = Scale {
        entries: arguments.entries,
        entry_bytes: arguments.entry_bytes,
        seed: arguments.seed,
    };
    tell(&simulate::run(&material, scale)?.to_string())?;
    Ok(ExitCode::SUCCESS)
}

async fn material(arguments: &Place) -> anyhow::Result<Material> {
    let counts = (arguments.sample, arguments.questions);
    let models = arguments.models.as_ref();
    let Some(models) = models.filter(|_| !arguments.texts.is_empty()) else {
        return Ok(Material::made_up(
            counts,
            MADE_UP_DIMENSIONS,
            arguments.seed,
        ));
    };
    let embedder = Embedder::load(models, 0)?;
    let read = texts::read(arguments.texts.iter().map(PathBuf::as_path))?;
    let vectors = texts::embed(&embedder, &read).await?;
    Material::from_texts(&vectors, embedder.space(), counts, arguments.seed)
}

fn verdict(holds: bool) -> ExitCode {
    match holds {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
