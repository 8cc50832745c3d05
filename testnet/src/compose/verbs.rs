//! The command line: `up`, `status`, `top`, `load`, `scale`, `logs`, `down`, `doctor`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::time::Instant;

use super::engine::Engine;
use super::plan::Plan;
use super::scale::Scale;
use super::{doctor, launch, pressure, snippets, status};
use crate::choice::one_of;
use crate::doors::{At, Door};
use crate::openloop::Options;
use crate::report::tell;

/// What a testnet is called when nothing else is said.
pub(crate) const PROJECT: &str = "llm-router-testnet";

/// What to do with the containers.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start nodes and scripted upstreams in containers, on loopback, and say how to ask them.
    Up(Up),
    /// Show every container, who leads, and what was asked. Exits with 1 unless all nodes are ready.
    Status(Which),
    /// Show what the nodes do, again and again.
    Top(Top),
    /// Ask at a steady rate through every door, whether or not answers come. Exits with 1 when one does
    /// not, or is wrong.
    Load(Load),
    /// Measure testnets of several sizes one after another: requests, hits and processor time, as one
    /// table. Exits with 1 when a request failed.
    Scale(Scale),
    /// Show what the containers say.
    Logs(Logs),
    /// Remove containers, networks, volumes and files. The images stay, unless told otherwise.
    Down(Down),
    /// Say what is missing on this machine, and how to get it. Exits with 1 when nothing can be started.
    Doctor(Meant),
}

/// Which testnet.
#[derive(Debug, Args)]
pub struct Which {
    /// Its name, when there are several.
    #[arg(long, default_value = PROJECT)]
    project: String,
}

/// Which testnet, and how large.
#[derive(Debug, Args)]
pub struct Meant {
    #[command(flatten)]
    which: Which,
    /// How many nodes: 1, 3 or 5.
    #[arg(long, default_value_t = 3, value_parser = nodes)]
    nodes: usize,
}

/// Numbers of nodes that can be started.
pub(super) fn nodes(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("1, 3 or 5: nodes vote in odd numbers".to_owned()),
    }
}

/// How to start.
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    meant: Meant,
    /// The node's image, instead of one made of the binary beside this one.
    #[arg(long, requires = "tools")]
    image: Option<String>,
    /// The image of the scripted upstreams.
    #[arg(long, requires = "image")]
    tools: Option<String>,
    /// OTLP/gRPC collector of the nodes' traces, as their containers reach it, instead of the testnet's
    /// own.
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Trace nothing.
    #[arg(long, conflicts_with = "otlp")]
    no_collector: bool,
    /// A compose file laid over ours; repeat it for several.
    #[arg(long = "with", value_name = "FILE")]
    over: Vec<PathBuf>,
}

/// How often to look.
#[derive(Debug, Args)]
pub struct Top {
    #[command(flatten)]
    which: Which,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 1.0)]
    every: f64,
    /// End after so many tables; at the user's word when not given.
    #[arg(long)]
    rounds: Option<u64>,
}

/// What to ask.
#[derive(Debug, Args)]
pub struct Load {
    #[command(flatten)]
    which: Which,
    /// Requests a second, over all nodes.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// For how long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Through these doors; all when none is given.
    #[arg(
        long,
        value_delimiter = ',',
        value_parser = one_of(Door::ALL.map(Door::name), Door::named)
    )]
    doors: Vec<Door>,
    /// The model or route that is asked for.
    #[arg(long, default_value = "auto")]
    model: String,
    /// Of all requests so many are streams, 0 to 1.
    #[arg(long, default_value_t = 0.5)]
    streams: f64,
    /// Let the cache answer, and draw from so many questions.
    #[arg(long, value_name = "QUESTIONS")]
    cached: Option<u32>,
    /// Most requests under way at once.
    #[arg(long, default_value_t = 2048)]
    most: usize,
    /// What everything drawn follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ask these nodes instead of the testnet's: HTTP and gRPC, `host:port/host:port`.
    #[arg(long, value_delimiter = ',', value_name = "HTTP/GRPC", value_parser = pair)]
    at: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (http, grpc) = text
        .split_once('/')
        .ok_or("HTTP/GRPC, as host:port/host:port")?;
    Ok((http.to_owned(), grpc.to_owned()))
}

/// Whose words.
#[derive(Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    which: Which,
    /// These containers; all when none is given.
    services: Vec<String>,
    /// Go on as they speak.
    #[arg(short, long)]
    follow: bool,
    /// The last lines of each alone.
    #[arg(long)]
    tail: Option<u32>,
}

/// What to remove.
#[derive(Debug, Args)]
pub struct Down {
    #[command(flatten)]
    which: Which,
    /// The images too.
    #[arg(long)]
    images: bool,
}

impl Verb {
    /// Does it.
    ///
    /// # Errors
    /// In words for the user.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let good = match self {
            Verb::Up(up) => up.run().await?,
            Verb::Status(which) => {
                let engine = Engine::find().await?;
                status::status(&engine, &Plan::read(&which.project)?).await?
            }
            Verb::Top(top) => top.run().await?,
            Verb::Load(load) => load.run().await?,
            Verb::Scale(scale) => scale.run().await?,
            Verb::Logs(logs) => logs.run().await?,
            Verb::Down(down) => down.run().await?,
            Verb::Doctor(Meant { which, nodes }) => {
                let findings = doctor::examine(&which.project, nodes).await;
                tell(&findings.to_string())?;
                findings.holds()
            }
        };
        Ok(match good {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

impl Up {
    async fn run(self) -> anyhow::Result<bool> {
        let began = Instant::now();
        let engine = Engine::find().await?;
        let mut plan = Plan::new(&self.meant.which.project, self.meant.nodes)?;
        if self.otlp.is_some() || self.no_collector {
            plan.otlp = self.otlp;
        }
        for file in self.over {
            plan.over.push(std::path::absolute(file)?);
        }
        let build = self.image.is_none();
        if let (Some(image), Some(tools)) = (self.image, self.tools) {
            (plan.image, plan.tools) = (image, tools);
        }
        let plan = launch::up(&engine, plan, build).await?;
        tell(&snippets::text(&engine, &plan))?;
        tell(&doctor::sizes(&engine, &plan).await.to_string())?;
        let seconds = began.elapsed().as_secs_f64();
        tell(&format!("{} nodes agree after {seconds:.1} s", plan.nodes))?;
        Ok(true)
    }
}

impl Top {
    async fn run(self) -> anyhow::Result<bool> {
        let engine = Engine::find().await?;
        let plan = Plan::read(&self.which.project)?;
        let pause = Duration::try_from_secs_f64(self.every)?;
        status::top(&engine, &plan, (pause, self.rounds)).await?;
        Ok(true)
    }
}

impl Load {
    async fn run(self) -> anyhow::Result<bool> {
        let options = Options {
            rate: self.rate,
            lasting: Duration::from_secs(self.seconds),
            doors: match self.doors.is_empty() {
                true => Door::ALL.to_vec(),
                false => self.doors,
            },
            model: self.model,
            streams: self.streams,
            distinct: self.cached,
            cached: self.cached.is_some(),
            most: self.most,
            seed: self.seed,
        };
        let given = self.at.iter().map(|(http, grpc)| At::new(http, grpc));
        let given = given.collect::<anyhow::Result<Vec<At>>>()?;
        pressure::load(&self.which.project, given, &options).await
    }
}

impl Logs {
    async fn run(self) -> anyhow::Result<bool> {
        let engine = Engine::find().await?;
        let plan = Plan::read(&self.which.project)?;
        let tail = self.tail.map(|lines| lines.to_string());
        let mut words = vec!["logs"];
        words.extend(self.follow.then_some("--follow"));
        words.extend(
            tail.as_deref()
                .into_iter()
                .flat_map(|lines| ["--tail", lines]),
        );
        words.extend(self.services.iter().map(String::as_str));
        Ok(engine.show(&plan, &words).await?.success())
    }
}

impl Down {
    async fn run(self) -> anyhow::Result<bool> {
        let began = Instant::now();
        let engine = Engine::find().await?;
        // what was never up, or half, is taken down as well
        let plan = match Plan::read(&self.which.project) {
            Ok(plan) => plan,
            Err(_) => Plan::new(&self.which.project, 1)?,
        };
        launch::down(&engine, &plan, self.images).await?;
        let seconds = began.elapsed().as_secs_f64();
        tell(&format!(
            "nothing of `{}` is left, after {seconds:.1} s",
            plan.project
        ))?;
        if !self.images && engine.has_image(&plan.image).await {
            tell(&format!(
                "the image {} stays for the next time: down --images",
                plan.image
            ))?;
        }
        Ok(true)
    }
}
