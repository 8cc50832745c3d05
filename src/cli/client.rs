//! A small client of a node's HTTP API.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use reqwest::{Method, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::Context;
use crate::config::ask::install_crypto;
use crate::config::env::Environment;

/// Where a node is when nothing says otherwise.
const DEFAULT: &str = "http://127.0.0.1:8080";
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer that is not a model's may take.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait for a model, whole answer.
pub const MODEL_PATIENCE: Duration = Duration::from_secs(600);
/// Largest answer read.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// Most that is read of a key file: many times a key.
const MAX_KEY_BYTES: u64 = 4096;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Nobody listens there.
    #[error("no node answers at {addr}; start one with `llm-router serve`, or name it with --addr")]
    Unreachable {
        /// The address tried.
        addr: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The node said no.
    #[error("{message} (http {status})")]
    Refused {
        /// Its HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The answer broke off or made no sense.
    #[error("the node's answer broke off: {0}")]
    Broken(String),
}

/// A client of one node.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    key: Option<SecretString>,
}

/// How fresh an answer has to be.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Local {
    /// What the node itself holds, however old: for a node that hears of no leader.
    #[arg(long)]
    pub local: bool,
}

impl Local {
    /// The node's answer, as fresh as asked: else nothing acknowledged before is missing.
    ///
    /// # Errors
    /// [`Failed`]; the address is none.
    pub async fn get(self, path: &str, context: &Context) -> anyhow::Result<String> {
        let node = context.client()?;
        let request = node.query(Method::GET, path, &[self.pair()])?;
        Ok(node.whole(request).await?)
    }

    /// As a pair of a query.
    pub fn pair(self) -> (&'static str, Option<String>) {
        ("consistency", self.local.then(|| "local".to_owned()))
    }
}

/// The node to talk to: `--addr`, `LLM_ROUTER_ADDR`, the address this environment makes a node
/// listen on, or the default.
pub fn address(flag: Option<&str>, env: &Environment) -> String {
    let listened = env
        .http
        .as_deref()
        .filter(|http| !http.ends_with(":0"))
        .map(|http| {
            let port = http
                .strip_prefix("0.0.0.0:")
                .or_else(|| http.strip_prefix("[::]:"));
            port.map_or_else(|| http.to_owned(), |port| format!("127.0.0.1:{port}"))
        });
    let said = flag
        .map(str::to_owned)
        .or_else(|| env.addr.clone())
        .or(listened);
    said.unwrap_or_else(|| DEFAULT.to_owned())
}

/// The key in a file; white space around it does not count.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn key_in(file: &Path) -> anyhow::Result<SecretString> {
    let name = file.display();
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(MAX_KEY_BYTES).read_to_string(&mut text))
        .with_context(|| format!("cannot read the key in {name}"))?;
    let key = text.trim();
    anyhow::ensure!(
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic()),
        "there is no key in {name}"
    );
    Ok(key.into())
}

impl Client {
    /// A client of the node at `addr`, with or without `http://`.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(addr: &str) -> anyhow::Result<Self> {
        install_crypto();
        let text = if addr.contains("://") {
            addr.to_owned()
        } else {
            format!("http://{addr}")
        };
        let url = Url::parse(&text).with_context(|| format!("`{addr}` is not an address"))?;
        anyhow::ensure!(
            matches!(url.scheme(), "http" | "https"),
            "`{addr}` is not an http address"
        );
        let builder = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT);
        // Nothing to verify over http, so the machine's root certificates are not even read.
        let builder = match url.scheme() {
            "http" => builder.tls_certs_only(std::iter::empty()),
            _ => builder,
        };
        Ok(Client {
            base: url.as_str().trim_end_matches('/').to_owned(),
            http: builder.build()?,
            key: None,
        })
    }

    /// The same client, presenting this key.
    #[must_use]
    pub fn with_key(mut self, key: Option<SecretString>) -> Self {
        self.key = key;
        self
    }

    /// Where the node is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The JSON answer to a GET.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn get(&self, path: &str) -> Result<String, Failed> {
        self.whole(self.request(Method::GET, path).timeout(PATIENCE))
            .await
    }

    /// The JSON answer to a POST.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<String, Failed> {
        self.whole(
            self.request(Method::POST, path)
                .json(body)
                .timeout(PATIENCE),
        )
        .await
    }

    /// As [`Client::request`], with these pairs behind the path.
    ///
    /// # Errors
    /// The path is none.
    pub fn query(
        &self,
        method: Method,
        path: &str,
        pairs: &[(&str, Option<String>)],
    ) -> anyhow::Result<RequestBuilder> {
        let mut url = Url::parse(&format!("{}{path}", self.base))?;
        for (name, value) in pairs {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let path = url.as_str().strip_prefix(&self.base).unwrap_or(path);
        Ok(self.request(method, path).timeout(PATIENCE))
    }

    /// A request to be finished by the caller and given to [`Client::send`] or [`Client::whole`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        }
    }

    /// Sends and reads the whole answer.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn whole(&self, request: RequestBuilder) -> Result<String, Failed> {
        text(self.send(request).await?).await
    }

    /// Sends; the answer's body is still to be read.
    ///
    /// # Errors
    /// [`Failed`], with the node's own words when it refuses.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Failed> {
        let response = request.send().await.map_err(|error| self.lost(error))?;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        let body = text(response).await?;
        let json: Value = serde_json::from_str(&body).unwrap_or_default();
        let message = [&json["error"]["message"], &json["message"], &json["error"]]
            .into_iter()
            .find_map(Value::as_str)
            .map_or_else(|| body.chars().take(500).collect(), str::to_owned);
        let message = if message.is_empty() {
            "the node refused".to_owned()
        } else {
            message
        };
        let message = match (status, &self.key) {
            (401, None) => format!("{message}; here, with --key-file FILE or LLM_ROUTER_KEY"),
            _ => message,
        };
        Err(Failed::Refused { status, message })
    }

    fn lost(&self, source: reqwest::Error) -> Failed {
        Failed::Unreachable {
            addr: self.base.clone(),
            source: source.without_url(),
        }
    }
}

async fn text(mut response: Response) -> Result<String, Failed> {
    let mut body = Vec::new();
    let broken = |error: reqwest::Error| Failed::Broken(error.without_url().to_string());
    while let Some(piece) = response.chunk().await.map_err(broken)? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(Failed::Broken("over 16 MiB".to_owned()));
        }
    }
    String::from_utf8(body).map_err(|_| Failed::Broken("not UTF-8".to_owned()))
}

/// The answer as JSON, for tables.
///
/// # Errors
/// [`Failed::Broken`].
pub fn json(text: &str) -> Result<Value, Failed> {
    serde_json::from_str(text).map_err(|error| Failed::Broken(error.to_string()))
}
