//! A load generator that costs little: raw HTTP/1.1 connections, one per worker, kept alive.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::series::{Series, Timing};

/// No request waits longer.
const LIMIT: Duration = Duration::from_secs(30);

/// What every request of a scenario asks.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Path.
    pub(crate) path: &'static str,
    /// Body; a GET when empty.
    pub(crate) body: Bytes,
    /// What the answer's body has to end with.
    pub(crate) ends_with: &'static [u8],
}

impl Question {
    /// A chat completion, cache off, whole or streamed.
    pub(crate) fn chat(stream: bool) -> Self {
        let body = format!(
            r#"{{"model":"bench","stream":{stream},"messages":[{{"role":"system","content":"You are terse."}},{{"role":"user","content":"Say something of about a hundred letters, whatever comes to your mind."}}]}}"#
        );
        let ends_with: &[u8] = if stream { b"data: [DONE]\n\n" } else { b"}" };
        Question {
            path: "/v1/chat/completions",
            body: body.into(),
            ends_with,
        }
    }

    /// The health check.
    pub(crate) fn health() -> Self {
        Question {
            path: "/health",
            body: Bytes::new(),
            ends_with: b"",
        }
    }
}

/// A connection to `address` (`host:port`), and what drives it as long as it is kept.
///
/// # Errors
/// When the connection is refused.
pub(crate) async fn connect(
    address: &str,
) -> anyhow::Result<(SendRequest<Full<Bytes>>, JoinSet<()>)> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| address.to_owned())?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Its errors come out of the requests on it.
        let _ = connection.await;
    });
    Ok((sender, driver))
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    address: String,
    /// Drives the connection; ends with it.
    _driver: JoinSet<()>,
}

impl Connection {
    /// Connects to `address` (`host:port`).
    ///
    /// # Errors
    /// When the connection is refused.
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let (sender, driver) = connect(address).await?;
        Ok(Connection {
            sender,
            address: address.to_owned(),
            _driver: driver,
        })
    }

    /// Asks once and reads the answer to its end.
    ///
    /// # Errors
    /// On anything but a whole answer with status 200.
    pub(crate) async fn ask(&mut self, question: &Question) -> anyhow::Result<Timing> {
        timeout(LIMIT, self.ask_unbounded(question))
            .await
            .context("no answer in time")?
    }

    async fn ask_unbounded(&mut self, question: &Question) -> anyhow::Result<Timing> {
        let method = if question.body.is_empty() {
            "GET"
        } else {
            "POST"
        };
        let request = Request::builder()
            .method(method)
            .uri(question.path)
            .header("host", &self.address)
            .header("content-type", "application/json")
            .header("x-llm-router-cache", "off")
            .body(Full::new(question.body.clone()))?;
        self.sender.ready().await?;
        let started = Instant::now();
        let mut response = self.sender.send_request(request).await?;
        if response.status() != 200 {
            bail!("status {}", response.status());
        }
        let (mut first_byte, mut tail) = (None, Vec::new());
        while let Some(frame) = response.body_mut().frame().await {
            first_byte.get_or_insert_with(|| started.elapsed());
            if let Ok(data) = frame?.into_data() {
                tail.extend_from_slice(&data);
                let surplus = tail.len().saturating_sub(64);
                tail.drain(..surplus);
            }
        }
        let total = started.elapsed();
        if !tail.ends_with(question.ends_with) {
            bail!("the answer is cut off");
        }
        Ok(Timing {
            first_byte: first_byte.unwrap_or(total),
            total,
        })
    }
}

/// Keeps `clients` connections to `address` busy for `lasting`.
///
/// # Errors
/// When a connection cannot be opened; failed requests are counted instead.
pub(crate) async fn drive(
    address: &str,
    clients: usize,
    lasting: Duration,
    question: &Question,
) -> anyhow::Result<Series> {
    let mut workers = JoinSet::new();
    for _ in 0..clients {
        let mut connection = Connection::open(address).await?;
        let question = question.clone();
        workers.spawn(async move {
            // The first request on a connection pays for both sides' set-up.
            connection.ask(&question).await?;
            let mut series = Series::new()?;
            let started = Instant::now();
            while started.elapsed() < lasting {
                match connection.ask(&question).await {
                    Ok(timing) => series.record(timing),
                    Err(_) => {
                        series.errors += 1;
                        connection = Connection::open(&connection.address).await?;
                    }
                }
            }
            anyhow::Ok(series)
        });
    }
    let mut all = Series::new()?;
    while let Some(series) = workers.join_next().await {
        all.absorb(&series??)?;
    }
    all.spent = lasting;
    Ok(all)
}
