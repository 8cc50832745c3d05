//! A scripted upstream on a loopback port: the demo models over a real wire.
//!
//! | dialect | paths |
//! |---|---|
//! | OpenAI | `/v1/chat/completions`, `/v1/responses`, `/v1/embeddings`, `/v1/models` |
//! | Azure | `/openai/deployments/{name}/chat/completions` and `/embeddings` with an `api-version` |
//! | Anthropic | `/v1/messages`, `/v1/messages/count_tokens` |
//! | Gemini | `/v1beta/models/{name}:` `generateContent`, `streamGenerateContent`, `embedContent`, `batchEmbedContents` |
//! | Ollama | `/api/chat`, `/api/embed`, `/api/version`, `/api/tags` |
//!
//! A model it does not know is an `echo` under that name, so it can pass for any upstream. It refuses
//! what the real ones refuse, counts what reaches it, notices clients that leave, and fails on demand.
//! For tests and benches; it has no limits that a public listener needs.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use llm_router::provider::demo::{trouble::Trouble, upstream::Upstream};
//! let upstream = Upstream::start("127.0.0.1:0".parse().unwrap()).await?;
//! upstream.set_fault(Trouble::Reset.first(2));
//! println!("{} answered {} requests", upstream.url(), upstream.requests());
//! # Ok(()) }
//! ```

mod answer;
mod asked;
mod gzip;
mod perform;
mod place;
mod socket;
mod speak;
mod vectors;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::settings::Settings;
use super::trouble::{Orders, Trouble};
use crate::provider::BuildError;
use asked::Asked;
use place::Place;
use socket::{Lever, Socket};
use speak::openai::Canned;

/// Most connections at a time; one more is closed.
const MAX_CONNECTIONS: usize = 4096;
/// Most bytes of a request body, and of the one remembered.
const MAX_BODY: usize = 20 << 20;
/// Most paths whose last request is remembered.
const MAX_PATHS: usize = 64;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// What stands behind the path's `?`.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, at most 20 MiB.
    pub body: Bytes,
}

impl Recorded {
    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header as text; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

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
    orders: Mutex<Orders>,
    key: Mutex<Option<String>>,
    options: Mutex<BTreeMap<String, Value>>,
    settings: Mutex<Settings>,
    canned: Mutex<Option<Arc<Canned>>>,
    last: Mutex<Option<Recorded>>,
    last_at: Mutex<BTreeMap<String, Recorded>>,
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
        let accepting = accept(listener, Arc::clone(&self.shared));
        self.tasks.lock().spawn(accepting);
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

    /// `http://host:port`: the base URL of Anthropic, Azure, Gemini and Ollama.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// `http://host:port/v1`: OpenAI's base URL.
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// Requests for answers or vectors that reached it, failed ones included.
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

    /// What goes wrong from now on with requests for answers or vectors; [`Trouble::None`] heals it.
    pub fn set_fault(&self, orders: impl Into<Orders>) {
        *self.shared.orders.lock() = orders.into();
    }

    /// Refuses every credential but this one; `None` takes any where the dialect asks for one.
    pub fn set_key(&self, key: Option<&str>) {
        *self.shared.key.lock() = key.map(str::to_owned);
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

    /// The body of the request for an answer or a vector that came last, at most 20 MiB.
    pub fn last_body(&self) -> Option<Bytes> {
        self.shared
            .last
            .lock()
            .as_ref()
            .map(|last| last.body.clone())
    }

    /// Its headers.
    pub fn last_headers(&self) -> Option<HeaderMap> {
        self.shared
            .last
            .lock()
            .as_ref()
            .map(|last| last.headers.clone())
    }

    /// The request that came last to `path`.
    pub fn last_at(&self, path: &str) -> Option<Recorded> {
        self.shared.last_at.lock().get(path).cloned()
    }
}

impl Shared {
    fn record(&self, path: &str, asked: &Asked) {
        let recorded = Recorded {
            query: asked.query.clone(),
            headers: asked.headers.clone(),
            body: asked.body.clone(),
        };
        if asked.place.is_asked() {
            *self.last.lock() = Some(recorded.clone());
        }
        let mut last_at = self.last_at.lock();
        if last_at.len() >= MAX_PATHS && !last_at.contains_key(path) {
            last_at.pop_first();
        }
        last_at.insert(path.to_owned(), recorded);
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

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(converse(stream, Arc::clone(&shared)));
                }
                Ok(_) => {}
                // out of descriptors, most likely: give connections time to end
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let lever = Arc::new(Lever::default());
    let socket = Socket::new(stream, Arc::clone(&lever));
    let service = service_fn(move |request: Request<Incoming>| {
        respond(Arc::clone(&shared), Arc::clone(&lever), request)
    });
    // an error here is a client that left or a severed connection, both meant
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

async fn respond(
    shared: Arc<Shared>,
    lever: Arc<Lever>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Sever> {
    let path = request.uri().path().to_owned();
    let Some(place) = Place::of(request.method(), &path) else {
        shared.probes.fetch_add(1, Ordering::Relaxed);
        return Ok(answer::response(404, "text/plain", "404 page not found"));
    };
    let mut orders = Orders::default();
    if place.is_asked() {
        shared.requests.fetch_add(1, Ordering::Relaxed);
        orders = shared.orders.lock().take();
    } else {
        shared.probes.fetch_add(1, Ordering::Relaxed);
        if shared.orders.lock().trouble == Trouble::Closed {
            return Err(Sever);
        }
    }
    let query = request.uri().query().unwrap_or("").to_owned();
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Ok(answer::response(413, "text/plain", "the body is too long"));
    };
    let asked = Asked {
        place,
        query,
        headers: head.headers,
        body: body.to_bytes(),
        lever,
        orders,
    };
    shared.record(&path, &asked);
    let answered = if asked.place.is_asked() {
        answer::ask(&shared, asked).await
    } else {
        answer::about(&shared, &asked)
    };
    match answered.extensions().get::<Sever>() {
        Some(_) => Err(Sever),
        None => Ok(answered),
    }
}

#[cfg(test)]
mod tests;
