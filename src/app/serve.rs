//! Starts a node, keeps it running, stops it in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::banner;
use super::deploy::apply;
use super::identity;
use super::node::Node;
use crate::api::grpc::GrpcDoor;
use crate::api::http::{routes, server};
use crate::bridge::Bridge;
use crate::cache::embed::Embedder;
use crate::cache::{AnswerCache, Settings};
use crate::config::detect::Found;
use crate::config::watch::{Follower, News};
use crate::config::{Loaded, RoutingConfig};
use crate::error::{Error, Kind};
use crate::inference::{Engine, Parts};
use crate::telemetry::{self, Telemetry};

/// How long running answers may take after shutdown began.
const GRACE: Duration = Duration::from_secs(30);
/// How long load balancers get to notice that the node drains.
const NOTICE: Duration = Duration::from_millis(200);

/// The exit code of a node whose actors kept failing (EX_SOFTWARE).
const BROKEN: u8 = 70;

/// Writes one line for the person who started the node.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// Everything a node is started with.
#[derive(Clone)]
pub struct ServeOptions {
    /// The configuration, checked, with models nobody declared filled in.
    pub loaded: Loaded,
    /// What was found on this machine.
    pub found: Found,
    /// Where to write the addresses as JSON once the doors are open.
    pub addr_file: Option<PathBuf>,
    /// Follow the configuration file.
    pub watch: bool,
    /// Serve beyond loopback although there is no credential to ask for.
    pub insecure_no_auth: bool,
    /// Prints the banner.
    pub say: Say,
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
    let loaded = &options.loaded;
    let follower = Follower::new(loaded, options.found.clone()).filter(|_| options.watch);
    let data_dir = loaded
        .node
        .data_dir
        .clone()
        .context("no data directory: use --data DIR")?;
    std::fs::create_dir_all(&data_dir)
        .with_context(|| format!("cannot create the data directory {}", data_dir.display()))?;
    let id = identity::establish(loaded.node.node.id.as_deref(), &data_dir)?;
    let telemetry = Telemetry::init(telemetry::Settings {
        otlp_endpoint: loaded.node.telemetry.otlp_endpoint.clone(),
        log: loaded.node.telemetry.log,
        level: "info".to_owned(),
        node: id.as_str().to_owned(),
        service_version: env!("CARGO_PKG_VERSION").to_owned(),
    })?;
    let http = bind("--http", &loaded.node.listen.http, options.insecure_no_auth).await?;
    let grpc = bind("--grpc", &loaded.node.listen.grpc, options.insecure_no_auth).await?;
    let (http_addr, grpc_addr) = (http.local_addr()?, grpc.local_addr()?);
    let (cache, semantic) = open_cache(loaded, &data_dir).await?;
    let engine = Engine::start(Parts {
        cache,
        metrics: telemetry.metrics().clone(),
        bridge: Bridge::alone(),
    })
    .await?;
    apply(&engine, loaded.routing.clone()).await?;
    let node = Arc::new(Node::new(id, engine, http_addr.ip().is_loopback()));
    let running = Running::start(&node, (http, grpc), follower).await;
    node.set_ready(true);
    if let Some(file) = &options.addr_file {
        write_addresses(file, http_addr, grpc_addr)?;
    }
    (options.say)(&banner::draw(&banner::Facts {
        node: node.id.as_str(),
        config: loaded.source.as_deref(),
        found: Some(&options.found).filter(|found| !found.ollama_url.is_empty()),
        models: loaded.routing.models.len(),
        data: &data_dir,
        http: http_addr,
        grpc: grpc_addr,
        semantic,
    }));
    let code = tokio::select! {
        signal = stop_signal() => signal.map(|()| 0)?,
        () = node.engine.broken() => BROKEN,
    };
    tracing::info!(code, "draining");
    running.stop(&node).await;
    // flushing waits for the collector, at most five seconds
    let _ = tokio::task::spawn_blocking(move || telemetry.shutdown()).await;
    Ok(code)
}

/// Everything that runs beside the actors.
struct Running {
    tasks: TaskTracker,
    shutdown: CancellationToken,
    grpc: crate::api::grpc::Health,
}

impl Running {
    async fn start(
        node: &Arc<Node>,
        (http, grpc): (TcpListener, TcpListener),
        follower: Option<Follower>,
    ) -> Self {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let limits = server::Limits {
            grace: GRACE,
            ..server::Limits::default()
        };
        let door = routes(Arc::clone(node));
        let metrics = node.engine.metrics().clone();
        tasks.spawn(server::serve(
            http,
            (door, metrics),
            limits,
            shutdown.clone(),
        ));
        let door = GrpcDoor::open(Arc::clone(node)).await;
        let health = door.health();
        let stop = shutdown.clone();
        tasks.spawn(async move {
            if let Err(error) = door.serve(grpc, stop, GRACE).await {
                tracing::error!(%error, "gRPC door closed");
            }
        });
        if let Some(follower) = follower {
            let (news, heard) = mpsc::channel(1);
            tasks.spawn(follower.run(shutdown.clone(), news));
            tasks.spawn(follow(node.engine.clone(), heard));
        }
        Running {
            tasks,
            shutdown,
            grpc: health,
        }
    }

    async fn stop(self, node: &Node) {
        node.set_ready(false);
        self.grpc.drain().await;
        tokio::time::sleep(NOTICE).await;
        self.shutdown.cancel();
        self.tasks.close();
        if tokio::time::timeout(GRACE + Duration::from_secs(5), self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some tasks did not end in time");
        }
        node.engine.stop().await;
    }
}

/// Puts valid changes of the file in service and tells of the others.
async fn follow(engine: Engine, mut heard: mpsc::Receiver<News>) {
    while let Some(news) = heard.recv().await {
        let change = match news {
            Ok(change) => change,
            Err(problems) => {
                engine.metrics().config_reloaded(false);
                tracing::error!("changed config refused, the old one stays:\n{problems}");
                continue;
            }
        };
        for warning in &change.warnings {
            tracing::warn!("{warning}");
        }
        for key in &change.needs_restart {
            tracing::warn!(key, "changed setting needs a restart");
        }
        match apply_patiently(&engine, change.routing).await {
            Ok(revision) => {
                engine.metrics().config_reloaded(true);
                tracing::info!(revision, "changed config in service");
            }
            Err(error) => {
                engine.metrics().config_reloaded(false);
                tracing::error!("changed config refused, the old one stays: {error}");
            }
        }
    }
}

/// Tries again where only a moment was bad: actors being restarted.
async fn apply_patiently(engine: &Engine, routing: RoutingConfig) -> Result<u64, Error> {
    let mut tries = 3;
    loop {
        tries -= 1;
        match apply(engine, routing.clone()).await {
            Err(error) if error.kind == Kind::Unavailable && tries > 0 => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            settled => return settled,
        }
    }
}

async fn bind(flag: &str, address: &str, insecure: bool) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: choose another with {flag} ADDR"))?;
    let bound = listener.local_addr()?;
    if !bound.ip().is_loopback() && !insecure {
        bail!(
            "{address} can be reached from other machines, and this node has no keys to ask for: \
             bind to 127.0.0.1, or pass --insecure-no-auth if something in front of it does the asking"
        );
    }
    Ok(listener)
}

/// Opens the cache with as much of it as there is: without weights, the exact tier alone.
async fn open_cache(
    loaded: &Loaded,
    data_dir: &Path,
) -> anyhow::Result<(AnswerCache, Result<String, String>)> {
    let settings = &loaded.node.embedder;
    let weights = settings
        .dir
        .clone()
        .context("no directory for the embedder's weights")?;
    let (workers, dir) = (settings.workers, Some(data_dir.join("cache")));
    let config = loaded.routing.cache;
    tokio::task::spawn_blocking(move || {
        let loaded = Embedder::load(&weights, workers);
        let semantic = match &loaded {
            Ok(embedder) => Ok(embedder.space().to_owned()),
            Err(error) => Err(format!(
                "{error} (llm-router model pull fetches the weights)"
            )),
        };
        let embedder = loaded.ok().map(|embedder| Arc::new(embedder) as Arc<_>);
        let cache = AnswerCache::open(Settings {
            dir,
            embedder,
            config,
        })
        .with_context(|| {
            "cannot open the cache; is another node using this data directory?".to_owned()
        })?;
        Ok((cache, semantic))
    })
    .await?
}

fn write_addresses(file: &Path, http: SocketAddr, grpc: SocketAddr) -> anyhow::Result<()> {
    let text = json!({"http": http.to_string(), "grpc": grpc.to_string()}).to_string();
    let part = file.with_extension("part");
    std::fs::write(&part, text)
        .and_then(|()| std::fs::rename(&part, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// SIGINT or SIGTERM.
async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
