//! Starts a node, keeps it running, stops it in order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use llm_router_cluster::Handle;
use llm_router_cluster::handle::Failure;
use serde_json::json;

use super::agreeing::Beginning;
use super::doors::{Addresses, Bound, Running, Tasks};
use super::exposure::Exposure;
use super::lifeline::{End, Signals, end};
use super::node::Node;
use super::{banner, clustering, identity, partition};
use crate::bridge::Bridge;
use crate::cache::embed::weights::MODEL_NAME;
use crate::cache::embed::{Embedder, Options};
use crate::cache::{AnswerCache, Settings};
use crate::config::Loaded;
use crate::config::detect::Found;
use crate::config::watch::Follower;
use crate::inference::{Engine, Parts};
use crate::telemetry::{self, Telemetry};

/// How long a node that failed may take to write what its cache holds in memory.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// What the caches of a cluster make ids and envelopes with, out of what its nodes share.
const CACHE_SECRET: &str = "llm-router 2026 cache: what the nodes of a cluster share";
/// The exit code of a node that was taken out of its cluster (EX_CONFIG).
const DISMISSED: u8 = 78;
/// The exit code of a node that was told twice to end (128 + SIGINT).
const IMPATIENT: u8 = 130;

/// Writes one line for the person who started the node.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// Everything a node is started with.
#[derive(Clone)]
pub struct ServeOptions {
    /// The configuration, checked.
    pub loaded: Loaded,
    /// What was found on this machine, for models nobody declared.
    pub found: Found,
    /// Where to write the addresses as JSON once the doors are open.
    pub addr_file: Option<PathBuf>,
    /// Follow the configuration file.
    pub watch: bool,
    /// Serve beyond loopback although there is no credential to ask for.
    pub insecure_no_auth: bool,
    /// Fail points of the store, for tests of the whole program.
    pub faults: Option<PathBuf>,
    /// Prints the banner.
    pub say: Say,
    /// Prints why the node ended by itself.
    pub complain: Say,
}

impl std::fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeOptions")
            .field("loaded", &self.loaded)
            .finish_non_exhaustive()
    }
}

/// Runs a node until it is told to stop; the value is the process's exit code.
///
/// # Errors
/// What kept it from starting, in words for the operator.
pub async fn serve(options: ServeOptions) -> anyhow::Result<u8> {
    let mut signals = Signals::listen()?;
    let mut starting = Box::pin(start(&options));
    let up = tokio::select! {
        up = &mut starting => up?,
        () = signals.next() => {
            // Let go, not dropped: consensus's threads cannot be ended from here, and the process
            // ends now. Nothing was acknowledged that is not on disk.
            std::mem::forget(starting);
            (options.complain)("told to end before the node was up");
            return Ok(0);
        }
    };
    drop(starting);
    run(up, &options, signals).await
}

/// A node with its doors open.
struct Up {
    node: Arc<Node>,
    cluster: Handle,
    running: Running,
    telemetry: Telemetry,
}

async fn start(options: &ServeOptions) -> anyhow::Result<Up> {
    let loaded = &options.loaded;
    // whatever changes in the file from here on is news
    let follower = Follower::new(loaded).filter(|_| options.watch);
    let data_dir = data_dir(loaded)?;
    let id = identity::establish(loaded.node.node.id.as_deref(), &data_dir)?;
    let telemetry = Telemetry::init(telemetry::Settings {
        otlp_endpoint: loaded.node.telemetry.otlp_endpoint.clone(),
        sampling: loaded.node.telemetry.sampling,
        content: loaded.node.telemetry.capture_content,
        log: loaded.node.telemetry.log,
        level: "info".to_owned(),
        node: id.as_str().to_owned(),
        service_version: env!("CARGO_PKG_VERSION").to_owned(),
    })?;
    let doors = Bound::bind(&loaded.node).await?;
    let addresses = doors.addresses()?;
    let exposure = exposure(options, &addresses, &data_dir)?;
    let inner = (doors.cluster, data_dir.as_path());
    let faults = options.faults.clone();
    let cluster = clustering::start(&id, &loaded.node.cluster, inner, faults).await?;
    let keys = exposure.keys(&cluster).await?;
    let secret = blake3::derive_key(CACHE_SECRET, &cluster.seal_key());
    let (cache, semantic) = open_cache(loaded, &data_dir, secret).await?;
    cache.join(&cluster, secret).await;
    let engine = Engine::start(Parts {
        cache,
        metrics: telemetry.metrics().clone(),
        bridge: Bridge::of(cluster.clone()),
    })
    .await?;
    let tasks = Tasks::new();
    let beginning = Beginning {
        loaded,
        found: &options.found,
        cluster: &cluster,
        engine: &engine,
    };
    let agreed = beginning
        .settle(follower, clustering::note(&data_dir), &tasks)
        .await?;
    let known = agreed.clone();
    engine
        .metrics()
        .watch_cluster(move || clustering::levels(&known), &partition::MODES);
    let node = Node::new(id, engine, addresses.http.ip().is_loopback());
    let node = Arc::new(node.agreeing(agreed.clone()).asking(keys));
    let running = tasks.open(&node, (doors.http, doors.grpc)).await;
    node.set_ready(true);
    if let Some(file) = &options.addr_file {
        write_addresses(file, addresses)?;
    }
    (options.say)(&banner::draw(&banner::Facts {
        config: loaded.source.as_deref(),
        found: Some(&options.found).filter(|found| !found.ollama_url.is_empty()),
        models: node.engine.config().1.models.len(),
        data: &data_dir,
        addresses,
        semantic,
        cluster: &agreed.cluster(),
    }));
    Ok(Up {
        node,
        cluster,
        running,
        telemetry,
    })
}

/// Until it is told to end, or has to.
async fn run(up: Up, options: &ServeOptions, mut signals: Signals) -> anyhow::Result<u8> {
    let Up {
        node,
        cluster,
        running,
        telemetry,
    } = up;
    let ended = match end(&node, &cluster, &mut signals).await {
        // taken out of its cluster it finishes what runs here: nothing of that is in doubt
        End::Failed(failure) if failure.code == DISMISSED => {
            (options.complain)(&format!("error: {}", failure.reason));
            drain(running, &node, &cluster, (DISMISSED, signals)).await
        }
        End::Failed(failure) => Err(failure),
        End::Asked => drain(running, &node, &cluster, (0, signals)).await,
        End::Broken(code) => drain(running, &node, &cluster, (code, signals)).await,
    };
    let code = match ended {
        Ok(code) => code,
        Err(failure) => {
            (options.complain)(&format!("error: {}", failure.reason));
            return Ok(fall(&node, failure).await);
        }
    };
    // flushing waits for the collector, at most five seconds
    let _ = tokio::task::spawn_blocking(move || telemetry.shutdown()).await;
    Ok(code)
}

/// Ends in order; a second signal ends at once, and so does a failure on the way: what a disk has
/// not taken must not end with 0.
async fn drain(
    running: Running,
    node: &Node,
    cluster: &Handle,
    (code, mut signals): (u8, Signals),
) -> Result<u8, Failure> {
    tracing::info!(code, "draining");
    tokio::select! {
        biased;
        failure = cluster.failed(), if code != DISMISSED => Err(failure),
        () = signals.next() => {
            tracing::warn!("told again: ending at once");
            Ok(IMPATIENT)
        }
        () = running.stop(node, cluster) => Ok(code),
    }
}

/// Ends at once: others are to elect another leader, and nothing may be acknowledged any more.
async fn fall(node: &Node, failure: Failure) -> u8 {
    node.set_ready(false);
    tracing::error!(code = failure.code, reason = %failure.reason, "the node has failed");
    let _ = tokio::time::timeout(LAST_WORDS, node.engine.stop()).await;
    failure.code
}

fn exposure(options: &ServeOptions, at: &Addresses, dir: &Path) -> anyhow::Result<Exposure> {
    let exposure = Exposure::of(at, options.insecure_no_auth);
    let joining = &options.loaded.node.cluster.join;
    exposure.check_before(&clustering::store(dir), joining)?;
    Ok(exposure)
}

fn data_dir(loaded: &Loaded) -> anyhow::Result<PathBuf> {
    let dir = loaded.node.data_dir.clone();
    let dir = dir.context("no data directory: use --data DIR")?;
    std::fs::create_dir_all(&dir)
        .with_context(|| format!("cannot create the data directory {}", dir.display()))?;
    Ok(dir)
}

/// Opens the cache with as much of it as there is: without weights, the exact tier alone.
async fn open_cache(
    loaded: &Loaded,
    data_dir: &Path,
    secret: [u8; 32],
) -> anyhow::Result<(AnswerCache, Result<String, String>)> {
    let settings = loaded.node.embedder.clone();
    let weights = settings
        .dir
        .clone()
        .context("no directory for the embedder's weights")?;
    let dir = Some(data_dir.join("cache"));
    let config = loaded.routing.cache;
    tokio::task::spawn_blocking(move || {
        let loaded = Embedder::open(Options {
            model: &settings.model,
            dir: &weights,
            workers: settings.workers,
            precision: settings.precision,
        });
        let semantic = match &loaded {
            Ok(embedder) => Ok(embedder.space().to_owned()),
            Err(error) if settings.model == MODEL_NAME => Err(format!(
                "{error} (llm-router model pull fetches the weights)"
            )),
            Err(error) => Err(error.to_string()),
        };
        let embedder = loaded.ok().map(|embedder| Arc::new(embedder) as Arc<_>);
        let cache = AnswerCache::open(Settings {
            dir,
            embedder,
            config,
            secret: Some(secret),
        })
        .with_context(|| {
            "cannot open the cache; is another node using this data directory?".to_owned()
        })?;
        Ok((cache, semantic))
    })
    .await?
}

fn write_addresses(file: &Path, addresses: Addresses) -> anyhow::Result<()> {
    let Addresses {
        http,
        grpc,
        cluster,
    } = addresses;
    let text = json!({"http": http, "grpc": grpc, "cluster": cluster}).to_string();
    let part = file.with_extension("part");
    std::fs::write(&part, text)
        .and_then(|()| std::fs::rename(&part, file))
        .with_context(|| format!("cannot write {}", file.display()))
}
