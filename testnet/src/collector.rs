//! A trace collector as small as it can be: takes spans over OTLP/gRPC, keeps the latest, shows a
//! trace as a tree.
//!
//! ```text
//!  nodes ── OTLP/gRPC ─► store (bounded) ─► GET /traces, /traces/ID, /traces/ID/tree
//!                          └─► journal: one span a line, bounded, read back at the start
//! ```
//!
//! It is for the testnet and for people who look at one request. What it is sent of metrics it takes
//! and forgets, so that nodes do not complain.

mod door;
mod journal;
mod receive;
pub mod show;
pub mod span;
mod store;
pub mod tree;
pub mod verbs;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;

use crate::eventually;
pub use span::{Kind, Span};
pub use store::{Limits, Stored};
pub use tree::Tree;

use store::Store;

/// Where and how much.
#[derive(Clone, Debug)]
pub struct Options {
    /// Spans come in here.
    pub otlp: String,
    /// Traces are asked for here.
    pub http: String,
    /// What is kept in memory.
    pub limits: Limits,
    /// Where spans are written too, if anywhere.
    pub file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            otlp: "127.0.0.1:0".to_owned(),
            http: "127.0.0.1:0".to_owned(),
            limits: Limits::default(),
            file: None,
        }
    }
}

/// A running collector. Dropping it closes its ports.
#[derive(Debug)]
pub struct Collector {
    otlp: SocketAddr,
    http: SocketAddr,
    store: Arc<Store>,
    /// Dropped, it ends whoever sends spans.
    _end: oneshot::Sender<()>,
    _tasks: JoinSet<()>,
}

impl Collector {
    /// On free ports, in memory alone.
    ///
    /// # Errors
    /// When there are no ports.
    pub async fn start() -> anyhow::Result<Self> {
        Self::open(Options::default()).await
    }

    /// As `options` say. What the file holds already is read first.
    ///
    /// # Errors
    /// When a port is taken, or the file cannot be opened.
    pub async fn open(options: Options) -> anyhow::Result<Self> {
        let spans = TcpListener::bind(&options.otlp)
            .await
            .with_context(|| format!("the port for spans, {}", options.otlp))?;
        let asked = TcpListener::bind(&options.http)
            .await
            .with_context(|| format!("the port for traces, {}", options.http))?;
        let (otlp, http) = (spans.local_addr()?, asked.local_addr()?);
        let store = Arc::new(Store::open(options.limits, options.file.as_deref())?);
        let mut tasks = JoinSet::new();
        let (end, ended) = oneshot::channel::<()>();
        let service = receive::server(Arc::clone(&store));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // connections outlive the task that took them, unless they are told to end
            let told = async {
                let _dropped = ended.await;
            };
            let spans = TcpListenerStream::new(spans);
            let served = service.serve_with_incoming_shutdown(spans, told);
            if let Err(error) = served.await {
                crate::say(&format!("spans are taken no more: {error}"));
            }
        });
        // it ends by itself, once it is told to
        serving.detach_all();
        tasks.spawn(door::serve(asked, Arc::clone(&store)));
        Ok(Collector {
            otlp,
            http,
            store,
            _end: end,
            _tasks: tasks,
        })
    }

    /// For a node's `telemetry.otlp_endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.otlp)
    }

    /// Where traces are asked for.
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// What has come of a trace so far.
    pub fn trace(&self, id: &str) -> Option<Tree> {
        self.store.trace(id).map(|stored| Tree::of(stored.spans))
    }

    /// Waits until nothing has come for so long.
    ///
    /// # Errors
    /// When spans keep coming.
    pub async fn quiet(&self, lasting: Duration, within: Duration) -> anyhow::Result<()> {
        let now = || (self.store.received(), tokio::time::Instant::now());
        let (mut known, mut since) = now();
        eventually("no more spans come", within, async || {
            let (received, at) = now();
            if received != known {
                (known, since) = (received, at);
            }
            (at >= since + lasting).then_some(())
        })
        .await
    }

    /// Waits for so many spans of a trace.
    ///
    /// # Errors
    /// When they do not come in time; what came is in the words.
    pub async fn spans(&self, id: &str, count: usize, within: Duration) -> anyhow::Result<Tree> {
        let here = || self.trace(id).unwrap_or_default();
        let what = format!("{count} spans of {id}");
        let came = eventually(&what, within, async || {
            Some(here()).filter(|tree| tree.len() >= count)
        });
        let came = came.await;
        came.with_context(|| format!("what came:\n{}", here()))
    }
}
