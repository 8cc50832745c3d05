//! Random bytes into everything that reads an upstream's: answers that were recorded, bent in ways that
//! know what JSON and events look like.
//!
//! What has to hold for any input: reading ends, does not panic, keeps within a bound that follows from
//! the input's size, and never takes an answer for finished that does not say so. Every run prints its
//! seed, and the same seed gives the same inputs.

mod corpus;
mod mutate;
mod oracle;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::time::Instant;

pub use corpus::record;
use oracle::Oracle;

/// Most bytes of an input.
const MOST_BYTES: usize = 64 << 10;
/// The process may grow by this while a target is fuzzed.
const MOST_GROWTH: u64 = 256 << 20;

/// What reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The splitter of server-sent events.
    Sse,
    /// The splitter of lines.
    Lines,
    /// The reader of JSON objects that keeps their fields raw.
    Json,
    /// The decoder of OpenAI's chunks into events.
    Events,
    /// A provider, off a connection: whole answers and streams in turn.
    OpenAi,
    /// The same for OpenAI's Responses.
    Responses,
    /// The same for Anthropic.
    Anthropic,
    /// The same for Gemini.
    Gemini,
    /// The same for Ollama.
    Ollama,
    /// Every provider, where an error comes under one status or another.
    Errors,
    /// Every provider, where vectors were asked for.
    Vectors,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 11] = [
        Target::Sse,
        Target::Lines,
        Target::Json,
        Target::Events,
        Target::OpenAi,
        Target::Responses,
        Target::Anthropic,
        Target::Gemini,
        Target::Ollama,
        Target::Errors,
        Target::Vectors,
    ];

    /// Its name in arguments and of its corpus.
    pub fn name(self) -> &'static str {
        match self {
            Target::Sse => "sse",
            Target::Lines => "lines",
            Target::Json => "json",
            Target::Events => "events",
            Target::OpenAi => "openai",
            Target::Responses => "responses",
            Target::Anthropic => "anthropic",
            Target::Gemini => "gemini",
            Target::Ollama => "ollama",
            Target::Errors => "errors",
            Target::Vectors => "vectors",
        }
    }

    /// It reads whole answers and streams of a model.
    fn is_answered(self) -> bool {
        match self {
            Target::OpenAi
            | Target::Responses
            | Target::Anthropic
            | Target::Gemini
            | Target::Ollama => true,
            Target::Sse
            | Target::Lines
            | Target::Json
            | Target::Events
            | Target::Errors
            | Target::Vectors => false,
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Target> {
        Target::ALL.into_iter().find(|target| target.name() == name)
    }
}

/// What one run came to.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    /// Inputs tried.
    pub inputs: u64,
    /// Inputs that were read as a finished answer.
    pub finished: u64,
    /// What the process grew by, in bytes, where the system tells.
    pub grown: u64,
}

/// Where the recorded answers are kept.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Bends recorded answers for so long.
///
/// # Errors
/// An input that broke a promise; it is kept beside the corpus' other files, and named.
pub async fn run(target: Target, lasting: Duration, seed: u64) -> anyhow::Result<Tally> {
    let corpus = corpus::read(target)?;
    let mut random = SmallRng::seed_from_u64(seed);
    let oracle = Oracle::new(target).await?;
    let (began, size) = (Instant::now(), most_resident());
    let mut tally = Tally {
        inputs: 0,
        finished: 0,
        grown: 0,
    };
    for kept in &corpus {
        // regressions stay ones, however they are read, and what was recorded is right
        for stream in [true, false] {
            let finished = tried(&oracle, target, (&kept.bytes, stream), seed).await?;
            let right = finished || kept.stream != Some(stream) || !target.is_answered();
            anyhow::ensure!(right, "{} is no answer any more", kept.name);
            tally.finished += u64::from(finished);
        }
    }
    let corpus: Vec<Vec<u8>> = corpus.into_iter().map(|kept| kept.bytes).collect();
    while began.elapsed() < lasting {
        let input = mutate::bend(&corpus, &mut random, MOST_BYTES);
        let stream = tally.inputs.is_multiple_of(2);
        tally.finished += u64::from(tried(&oracle, target, (&input, stream), seed).await?);
        tally.inputs += 1;
    }
    tally.grown = most_resident().saturating_sub(size);
    anyhow::ensure!(
        tally.grown < MOST_GROWTH,
        "{} grew by {} bytes, seed {seed}",
        target.name(),
        tally.grown
    );
    Ok(tally)
}

async fn tried(
    oracle: &Oracle,
    target: Target,
    (input, stream): (&[u8], bool),
    seed: u64,
) -> anyhow::Result<bool> {
    let problem = match oracle.read(input, stream).await {
        Ok(finished) => return Ok(finished),
        Err(problem) => problem.to_string(),
    };
    let name = format!("{:016x}.found", corpus::digest(input));
    let folder = folder().join(target.name());
    let path = folder.join(name);
    let kept = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, input));
    let kept = kept.map_or_else(|error| error.to_string(), |()| path.display().to_string());
    Err(anyhow::anyhow!("{problem}")).with_context(|| {
        format!(
            "{} breaks a promise; seed {seed}; the input: {kept}",
            target.name()
        )
    })
}

/// The most memory this process ever held, in bytes; 0 where the system does not tell.
fn most_resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kibibytes.unwrap_or(0_u64) * 1024
}
