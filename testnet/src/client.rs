//! A small HTTP client that shows everything: status, headers, raw body, frames as they come.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

use crate::sse::{self, Frame, Frames};

/// No request of a test waits longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A chat request with one user message.
pub fn chat(model: &str, prompt: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": prompt }] })
}

/// The same, streamed.
pub fn chat_stream(model: &str, prompt: &str) -> Value {
    let mut body = chat(model, prompt);
    body["stream"] = json!(true);
    body
}

/// Talks to one node.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
    base: String,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body as it came.
    pub body: Bytes,
}

impl Reply {
    /// A header as text; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The text of a chat completion.
    pub fn content(&self) -> String {
        self.json()["choices"][0]["message"]["content"]
            .as_str()
            .unwrap_or("")
            .to_owned()
    }
}

/// An answer that is still coming.
#[derive(Debug)]
pub struct Events {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    response: reqwest::Response,
    frames: Frames,
    ready: VecDeque<Frame>,
}

impl Events {
    /// The next frame; `None` at the end, whether clean or not.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            let piece = self.response.chunk().await.ok().flatten()?;
            self.ready.extend(self.frames.push(&piece));
        }
    }

    /// The next frame with text in its delta.
    pub async fn next_text(&mut self) -> Option<String> {
        while let Some(frame) = self.next().await {
            let chunk = frame.json().unwrap_or(Value::Null);
            if let Some(text) = chunk
                .pointer("/choices/0/delta/content")
                .and_then(Value::as_str)
                && !text.is_empty()
            {
                return Some(text.to_owned());
            }
        }
        None
    }
}

impl Client {
    /// A client of the node at `address` (`host:port`).
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(address: &str) -> anyhow::Result<Self> {
        Self::keyed(address, None)
    }

    /// The same, presenting a key with every request.
    ///
    /// # Errors
    /// When the key fits into no header, or the HTTP client cannot be made.
    pub fn keyed(address: &str, key: Option<&str>) -> anyhow::Result<Self> {
        // The first one in a process wins, the others find it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let mut bearer = HeaderValue::from_str(&format!("Bearer {key}"))?;
            bearer.set_sensitive(true);
            headers.insert(http::header::AUTHORIZATION, bearer);
        }
        let inner = reqwest::Client::builder()
            .no_proxy()
            .default_headers(headers)
            .timeout(LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Client {
            inner,
            base: format!("http://{address}"),
        })
    }

    /// A request that can be dressed further.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.inner.request(method, format!("{}{path}", self.base))
    }

    /// GET.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Reply> {
        whole(self.request(Method::GET, path)).await
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        whole(self.request(Method::POST, path).json(body)).await
    }

    /// POST of bytes as they stand, labelled as JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post_raw(&self, path: &str, body: impl Into<Bytes>) -> anyhow::Result<Reply> {
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .body(body.into());
        whole(request).await
    }

    /// A chat completion.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn chat(&self, body: &Value) -> anyhow::Result<Reply> {
        self.post("/v1/chat/completions", body).await
    }

    /// A chat completion with `x-llm-router-*` headers, given without their prefix.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn chat_with(&self, options: &[(&str, &str)], body: &Value) -> anyhow::Result<Reply> {
        whole(self.dressed(options, body)).await
    }

    /// Asks `model` for a whole answer or a stream, which has to end well. What the client was told: the
    /// cache's part, and the text.
    ///
    /// # Errors
    /// On anything but a whole answer with status 200.
    pub async fn told(
        &self,
        model: &str,
        prompt: &str,
        stream: bool,
    ) -> anyhow::Result<(String, String)> {
        if !stream {
            let reply = self.chat(&chat(model, prompt)).await?;
            anyhow::ensure!(reply.status == 200, "{}", reply.text());
            let part = reply.header("x-llm-router-cache").to_owned();
            return Ok((part, reply.content()));
        }
        let mut events = self.stream(&chat_stream(model, prompt)).await?;
        anyhow::ensure!(events.status == 200, "{}", events.status);
        let part = events.headers["x-llm-router-cache"].to_str()?.to_owned();
        let mut frames = Vec::new();
        while let Some(frame) = events.next().await {
            frames.push(frame);
        }
        let last = frames.iter().filter_map(Frame::data).next_back();
        anyhow::ensure!(last == Some("[DONE]"), "cut off after {last:?}");
        Ok((part, sse::text(&frames)))
    }

    /// A streamed chat completion.
    ///
    /// # Errors
    /// When there is no head.
    pub async fn stream(&self, body: &Value) -> anyhow::Result<Events> {
        self.stream_with(&[], body).await
    }

    /// A streamed chat completion with `x-llm-router-*` headers, given without their prefix.
    ///
    /// # Errors
    /// When there is no head.
    pub async fn stream_with(
        &self,
        options: &[(&str, &str)],
        body: &Value,
    ) -> anyhow::Result<Events> {
        let response = self
            .dressed(options, body)
            .send()
            .await
            .context("no answer")?;
        Ok(Events {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            response,
            frames: Frames::default(),
            ready: VecDeque::new(),
        })
    }

    /// The status of one model, as in `GET /admin/v1/models`.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn model_status(&self, model: &str) -> anyhow::Result<Value> {
        Ok(self.get("/admin/v1/models").await?.json()[model].take())
    }

    fn dressed(&self, options: &[(&str, &str)], body: &Value) -> reqwest::RequestBuilder {
        let request = self
            .request(Method::POST, "/v1/chat/completions")
            .json(body);
        options.iter().fold(request, |request, (name, value)| {
            request.header(format!("x-llm-router-{name}"), *value)
        })
    }
}

/// Sends a request and reads all of the answer.
///
/// # Errors
/// When there is no whole answer.
pub async fn whole(request: reqwest::RequestBuilder) -> anyhow::Result<Reply> {
    let response = request.send().await.context("no answer")?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.context("cut-off answer")?;
    Ok(Reply {
        status,
        headers,
        body,
    })
}
