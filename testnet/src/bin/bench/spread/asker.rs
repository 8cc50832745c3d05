//! One kept-alive connection to a node that asks questions and reads the cache's part in the answer.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::client::connect;

/// No request waits longer.
const LIMIT: Duration = Duration::from_secs(20);

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The upstream.
    Miss,
    /// The exact tier.
    Exact,
    /// The semantic tier.
    Semantic,
}

impl Part {
    /// It came from the cache.
    pub(super) fn is_hit(self) -> bool {
        match self {
            Part::Exact | Part::Semantic => true,
            Part::Miss => false,
        }
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) part: Part,
    pub(super) took: Duration,
    body: Bytes,
}

impl Told {
    /// The answer's text: the question it was made for.
    pub(super) fn text(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = body["choices"][0]["message"]["content"].as_str();
        text.unwrap_or_default().to_owned()
    }
}

/// The connection; opened when it is needed.
#[derive(Debug)]
pub(super) struct Asker {
    address: String,
    open: Option<(SendRequest<Full<Bytes>>, JoinSet<()>)>,
}

impl Asker {
    /// Of the node at `address` (`host:port`).
    pub(super) fn of(address: &str) -> Self {
        Asker {
            address: address.to_owned(),
            open: None,
        }
    }

    /// Asks once, both tiers allowed.
    ///
    /// # Errors
    /// On anything but a whole answer with status 200.
    pub(super) async fn ask(&mut self, question: &str) -> anyhow::Result<Told> {
        self.ask_as(("on", ""), question).await
    }

    /// Asks once with a cache mode and, unless they are empty, tags.
    ///
    /// # Errors
    /// See [`Asker::ask`].
    pub(super) async fn ask_as(
        &mut self,
        (mode, tags): (&str, &str),
        question: &str,
    ) -> anyhow::Result<Told> {
        let body = json!({ "model": "gpt", "messages": [{ "role": "user", "content": question }] });
        let mut request = Request::post("/v1/chat/completions")
            .header("host", &self.address)
            .header("content-type", "application/json")
            .header("x-llm-router-cache", mode);
        if !tags.is_empty() {
            request = request.header("x-llm-router-tags", tags);
        }
        let request = request.body(Full::new(Bytes::from(body.to_string())))?;
        let asked = timeout(LIMIT, self.send(request)).await;
        let asked = asked.context("no answer in time").flatten();
        if asked.is_err() {
            self.open = None;
        }
        asked
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Told> {
        let (sender, _) = match &mut self.open {
            Some(open) if !open.0.is_closed() => open,
            closed => closed.insert(connect(&self.address).await?),
        };
        sender.ready().await?;
        let started = Instant::now();
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let took = started.elapsed();
        if head.status != 200 {
            bail!("{}: {}", head.status, String::from_utf8_lossy(&body));
        }
        let part = head.headers.get("x-llm-router-cache");
        let part = match part.map(http::HeaderValue::as_bytes) {
            Some(b"miss") => Part::Miss,
            Some(b"exact") => Part::Exact,
            Some(b"semantic") => Part::Semantic,
            other => bail!("the cache's part is {other:?}"),
        };
        Ok(Told { part, took, body })
    }
}
