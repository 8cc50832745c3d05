//! A scripted upstream on a loopback port: the demo models over a real wire.
//!
//! Speaks OpenAI (`/v1/chat/completions`, whole and streamed; `/v1/models`) and Ollama
//! (`/api/chat`, `/api/version`, `/api/tags`). A model it does not know is an `echo` under that
//! name, so it can pass for any upstream. It counts what reaches it, notices clients that leave,
//! and fails on demand. For tests and benches; it has no limits that a public listener needs.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use llm_router::provider::demo::{Fault, upstream::Upstream};
//! let upstream = Upstream::start("127.0.0.1:0".parse().unwrap()).await?;
//! upstream.set_fault(Fault::Status { status: 503, retry_after_s: None });
//! println!("{} answered {} requests", upstream.url(), upstream.requests());
//! # Ok(()) }
//! ```

mod answer;
mod frame;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::fault::Fault;
use super::settings::Settings;
use crate::provider::BuildError;
use frame::Canned;

/// Most connections at a time; one more is closed.
const MAX_CONNECTIONS: usize = 4096;
/// Most bytes of a request body, and of the one remembered.
const MAX_BODY: usize = 20 << 20;

/// The running upstream. Dropping it closes its port and all connections.
#[derive(Debug)]
pub struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

/// What the handlers see.
#[derive(Debug, Default)]
struct Shared {
    requests: AtomicU64,
    probes: AtomicU64,
    connections: AtomicU64,
    aborted: AtomicU64,
    in_flight: AtomicU64,
    max_in_flight: AtomicU64,
    fault: Mutex<Fault>,
    options: Mutex<BTreeMap<String, Value>>,
    settings: Mutex<Settings>,
    canned: Mutex<Option<Arc<Canned>>>,
    last: Mutex<Option<(HeaderMap, Bytes)>>,
}

impl Upstream {
    /// Listens on `addr`; port 0 picks a free one.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let upstream = Upstream {
            addr: listener.local_addr()?,
            shared: Arc::new(Shared::default()),
            tasks: Mutex::new(JoinSet::new()),
        };
        upstream.serve(listener);
        Ok(upstream)
    }

    fn serve(&self, listener: TcpListener) {
        let router = answer::router(Arc::clone(&self.shared));
        self.tasks
            .lock()
            .spawn(accept(listener, router, Arc::clone(&self.shared)));
    }

    /// Closes the port and every connection, answers in progress included. Counters stay.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
    }

    /// Listens again on the same address, after [`Upstream::stop`].
    ///
    /// # Errors
    /// The address is taken meanwhile.
    pub async fn restart(&self) -> io::Result<()> {
        self.stop().await;
        self.serve(TcpListener::bind(self.addr).await?);
        Ok(())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://host:port`: Ollama's base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// `http://host:port/v1`: OpenAI's base URL.
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// Chat requests that reached it, failed ones included.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Other requests that reached it: health checks, lists of models.
    pub fn probes(&self) -> u64 {
        self.shared.probes.load(Ordering::Relaxed)
    }

    /// Connections it took since it was made.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Answers whose client left before their end.
    pub fn aborted(&self) -> u64 {
        self.shared.aborted.load(Ordering::Relaxed)
    }

    /// Answers being given now.
    pub fn in_flight(&self) -> u64 {
        self.shared.in_flight.load(Ordering::Relaxed)
    }

    /// Most answers that were ever given at once.
    pub fn max_in_flight(&self) -> u64 {
        self.shared.max_in_flight.load(Ordering::Relaxed)
    }

    /// Makes every chat request from now on fail this way; [`Fault::None`] heals it.
    pub fn set_fault(&self, fault: Fault) {
        *self.shared.fault.lock() = fault;
    }

    /// Sets one of [`super::Demo::option`]'s options for answers that begin from now on.
    ///
    /// # Errors
    /// [`BuildError::Option`]; nothing is changed then.
    pub fn set_option(&self, name: &str, value: impl Into<Value>) -> Result<(), BuildError> {
        let mut options = self.shared.options.lock();
        let mut changed = options.clone();
        changed.insert(name.to_owned(), value.into());
        *self.shared.settings.lock() = Settings::read(&changed).map_err(BuildError::Option)?;
        *options = changed;
        Ok(())
    }

    /// Answers every OpenAI request with this text, without looking at it further than for
    /// `stream`: all bytes are made now, so a bench measures the router and not its upstream.
    /// `None` goes back to the models.
    pub fn set_canned(&self, text: Option<&str>) {
        *self.shared.canned.lock() = text.map(|text| Arc::new(Canned::new(text)));
    }

    /// The body of the chat request that came last, at most 20 MiB.
    pub fn last_body(&self) -> Option<Bytes> {
        self.shared
            .last
            .lock()
            .as_ref()
            .map(|(_, body)| body.clone())
    }

    /// Its headers.
    pub fn last_headers(&self) -> Option<HeaderMap> {
        self.shared
            .last
            .lock()
            .as_ref()
            .map(|(headers, _)| headers.clone())
    }
}

/// A chat request being answered. Dropped unfinished, it was aborted by its client.
#[derive(Debug)]
struct Visit {
    shared: Arc<Shared>,
    finished: bool,
}

impl Visit {
    fn begin(shared: &Arc<Shared>) -> Self {
        let now = shared.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        shared.max_in_flight.fetch_max(now, Ordering::Relaxed);
        Visit {
            shared: Arc::clone(shared),
            finished: false,
        }
    }

    fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.finished {
            self.shared.aborted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// On a response: close the connection instead of sending it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("told to close the connection")]
struct Sever;

async fn accept(listener: TcpListener, router: Router, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(converse(stream, router.clone(), Arc::clone(&shared)));
                }
                Ok(_) => {}
                // out of descriptors, most likely: give connections time to end
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
}

async fn converse(stream: TcpStream, router: Router, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        respond(router.clone(), Arc::clone(&shared), request)
    });
    // an error here is a client that left or a severed connection, both meant
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(
    router: Router,
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Sever> {
    let is_chat = answer::is_chat(request.uri().path());
    let counter = if is_chat {
        &shared.requests
    } else {
        &shared.probes
    };
    counter.fetch_add(1, Ordering::Relaxed);
    if *shared.fault.lock() == Fault::Connect {
        return Err(Sever);
    }
    let answered: Result<Response<Body>, Infallible> = router.oneshot(request.map(Body::new)).await;
    match answered {
        Ok(response) if response.extensions().get::<Sever>().is_some() => Err(Sever),
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests;
