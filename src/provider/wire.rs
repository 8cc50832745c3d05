//! One upstream over HTTP: its client, its credential, one POST, one health check.
//!
//! Redirects, proxies, compression and repeated tries are off: what goes to an upstream, and how
//! often, is decided elsewhere. Dropping a response closes its connection or resets its h2 stream.

pub(super) mod body;

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, Url, redirect, retry};

use super::base::{BadBase, Base};
use super::key::KeyGuard;
use super::limits::{Phase, Watch};
use super::{Call, Class, Failure, classify};
use crate::types::unix_millis;

/// Most bytes of a response's head.
const MAX_HEAD: usize = 32 << 10;
/// Most header fields of a response.
const MAX_HEADERS: usize = 128;
/// How long an unused connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(90);
/// Most unused connections kept; a model's `max_concurrency` bounds those in use.
const POOL_MAX_IDLE: usize = 256;
/// How long a health check may take.
const HEALTH_LIMIT: Duration = Duration::from_secs(5);
/// How long an error's body is read; its status is known already.
const ERROR_BODY_LIMIT: Duration = Duration::from_secs(2);

/// Why a provider cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The base URL breaks a rule.
    #[error(transparent)]
    Base(#[from] BadBase),
    /// The key cannot stand in a header.
    #[error("api_key is empty or holds characters that cannot be sent in a header")]
    Key,
    /// The health path does not start with a slash, or leaves the origin.
    #[error("health path must start with a single slash and hold no spaces")]
    HealthPath,
    /// TLS set-up failed, normally for want of root certificates.
    #[error("http client cannot be built")]
    Client(#[source] reqwest::Error),
    /// TLS set-up of a gRPC connection failed.
    #[error("tls cannot be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An option is unknown, missing or out of bounds.
    #[error("{0}")]
    Option(String),
    /// The embedding application's own provider is handed in, never built from a config.
    #[error("a custom provider cannot be built from a config")]
    Custom,
}

/// How a key travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum KeyHeader {
    /// `authorization: Bearer …`.
    #[default]
    Bearer,
    /// Alone, in the header of this name (lower case).
    Named(&'static str),
}

/// What is posted.
#[derive(Clone, Debug)]
pub(super) struct Post<'a> {
    /// Where below the base; starts with a slash and may hold a query.
    pub(super) path: Cow<'a, str>,
    /// The body, as JSON.
    pub(super) body: Vec<u8>,
    /// A stream is asked for.
    pub(super) stream: bool,
    /// `traceparent` to send along.
    pub(super) traceparent: Option<&'a str>,
    /// Further headers (lower case); one that cannot be sent is left out.
    pub(super) headers: Vec<(&'static str, &'a str)>,
}

impl<'a> Post<'a> {
    /// What `call` asks for, at `path`.
    pub(super) fn of(call: &'a Call, path: impl Into<Cow<'a, str>>, body: Vec<u8>) -> Self {
        Post {
            path: path.into(),
            body,
            stream: call.stream,
            traceparent: call.traceparent.as_deref(),
            headers: Vec::new(),
        }
    }

    fn accept(&self) -> &'static str {
        if self.stream {
            "text/event-stream, application/json"
        } else {
            "application/json"
        }
    }
}

/// The settings, and the client once it is needed.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) base_url: String,
    pub(super) key: KeyGuard,
    pub(super) key_header: KeyHeader,
    pub(super) connect_timeout: Duration,
    pub(super) health_path: Option<String>,
    ready: OnceLock<Ready>,
}

#[derive(Debug)]
struct Ready {
    client: Client,
    base: Base,
    /// The key, in its header.
    credential: Option<(HeaderName, HeaderValue)>,
    /// The address most requests are posted to, parsed once.
    posted: OnceLock<(String, Option<Url>)>,
}

impl Ready {
    fn post_url(&self, path: &str) -> Result<Url, String> {
        let (known, url) = self
            .posted
            .get_or_init(|| (path.to_owned(), Url::parse(&self.base.below(path)).ok()));
        match url {
            Some(url) if known == path => Ok(url.clone()),
            Some(_) | None => Err(self.base.below(path)),
        }
    }
}

impl Wire {
    pub(super) fn new(base_url: &str) -> Self {
        Wire {
            base_url: base_url.to_owned(),
            key: KeyGuard::default(),
            key_header: KeyHeader::default(),
            connect_timeout: super::Timeouts::default().connect,
            health_path: None,
            ready: OnceLock::new(),
        }
    }

    /// Checks the settings and builds the client. Done at first use when not before.
    pub(super) fn build(&self) -> Result<(), BuildError> {
        self.ready().map(|_| ())
    }

    fn ready(&self) -> Result<&Ready, BuildError> {
        if let Some(ready) = self.ready.get() {
            return Ok(ready);
        }
        let base = Base::parse(&self.base_url, self.key.is_some())?;
        let credential = self.credential()?;
        if let Some(path) = &self.health_path {
            let plain = path.starts_with('/') && !path.starts_with("//");
            if !plain || path.chars().any(|c| c.is_control() || c.is_whitespace()) {
                return Err(BuildError::HealthPath);
            }
        }
        let client = client(self.connect_timeout, base.is_secure())?;
        Ok(self.ready.get_or_init(|| Ready {
            client,
            base,
            credential,
            posted: OnceLock::new(),
        }))
    }

    fn credential(&self) -> Result<Option<(HeaderName, HeaderValue)>, BuildError> {
        let (name, value) = match self.key_header {
            KeyHeader::Bearer => (AUTHORIZATION, self.key.bearer()),
            KeyHeader::Named(name) => (HeaderName::from_static(name), self.key.plain()),
        };
        let value = value.map_err(|_| BuildError::Key)?;
        Ok(value.map(|value| (name, value)))
    }

    fn usable(&self) -> Result<&Ready, Failure> {
        self.ready()
            .map_err(|error| Failure::hard(error.to_string(), error))
    }

    /// Sends `body` to `path` below the base and waits for a 2xx head.
    ///
    /// # Errors
    /// As for [`Wire::send`].
    pub(super) async fn post(
        &self,
        path: &'static str,
        body: Vec<u8>,
        call: &Call,
        watch: &Watch,
    ) -> Result<Response, Failure> {
        self.send(Post::of(call, path, body), watch).await
    }

    /// Posts below the base and waits for a 2xx head.
    ///
    /// # Errors
    /// Any other status, classified; a connection that failed; a limit that passed.
    pub(super) async fn send(&self, post: Post<'_>, watch: &Watch) -> Result<Response, Failure> {
        let ready = self.usable()?;
        let request = match ready.post_url(&post.path) {
            Ok(url) => ready.client.post(url),
            Err(text) => ready.client.post(text),
        };
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, post.accept());
        let mut request = with_key(request, ready);
        let trace = post.traceparent.map(|trace| ("traceparent", trace));
        for (name, value) in post.headers.into_iter().chain(trace) {
            if let Ok(value) = HeaderValue::from_str(value) {
                request = request.header(name, value);
            }
        }
        let request = request.body(post.body);
        let sent = watch.bound(Phase::Head, request.send()).await?;
        let response = sent.map_err(|error| self.broken(error))?;
        if head_bytes(response.headers()) > MAX_HEAD {
            return Err(Failure::new(Class::Hard, "response head is over 32 KiB"));
        }
        if response.status().is_success() {
            return as_asked(response);
        }
        Err(self.refused(response).await)
    }

    async fn refused(&self, response: Response) -> Failure {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        let read = async {
            let mut pieces = response.bytes_stream();
            while let Some(Ok(piece)) = pieces.next().await {
                let room = classify::MAX_ERROR_BODY - body.len();
                body.extend_from_slice(&piece[..piece.len().min(room)]);
                if body.len() == classify::MAX_ERROR_BODY {
                    break;
                }
            }
        };
        // whatever has arrived by then will do
        let _ = tokio::time::timeout(ERROR_BODY_LIMIT, read).await;
        let body = self.key.strike_out(Bytes::from(body));
        classify::status(status, &headers, body, unix_millis())
    }

    /// A connection that failed, in few words.
    pub(super) fn broken(&self, error: reqwest::Error) -> Failure {
        classify::transport(error, self.connect_timeout)
    }

    /// Asks whether the upstream is there: any answer below 500 that is no redirect says so.
    ///
    /// # Errors
    /// [`Class::Hard`] with what happened instead.
    pub(super) async fn health(&self, default_path: &str) -> Result<(), Failure> {
        let ready = self.usable()?;
        let url = match &self.health_path {
            Some(path) => ready.base.at_origin(path),
            None => ready.base.below(default_path),
        };
        let asked = with_key(ready.client.get(url), ready).send();
        let response = tokio::time::timeout(HEALTH_LIMIT, asked)
            .await
            .map_err(|_| Failure::timed_out("no answer to a health check within 5s"))?
            .map_err(|error| self.broken(error))?;
        let status = response.status().as_u16();
        if matches!(status, 200..=299 | 400..=499) {
            return Ok(());
        }
        let failure = Failure::new(Class::Hard, format!("health check answered http {status}"));
        Err(Failure {
            status: Some(status),
            ..failure
        })
    }
}

fn with_key(request: RequestBuilder, ready: &Ready) -> RequestBuilder {
    match &ready.credential {
        Some((name, value)) => request.header(name.clone(), value.clone()),
        None => request,
    }
}

fn client(connect_timeout: Duration, secure: bool) -> Result<Client, BuildError> {
    install_crypto();
    let builder = Client::builder()
        .user_agent(concat!("llm-router/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_MAX_IDLE)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .http1_max_headers(MAX_HEADERS)
        .http2_max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
    let builder = if secure {
        builder.http2_keep_alive_interval(Duration::from_secs(30))
    } else {
        // nothing to verify over http, so the machine's root certificates are not even read
        builder.http1_only().tls_certs_only(std::iter::empty())
    };
    builder.build().map_err(BuildError::Client)
}

/// Makes ring this process's TLS provider; harmless where the application has already chosen one.
pub(super) fn install_crypto() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Compression was not asked for: what comes compressed all the same cannot be read.
fn as_asked(response: Response) -> Result<Response, Failure> {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    match response.headers().get(CONTENT_ENCODING) {
        Some(encoding) if !plain(encoding) => {
            let message = "upstream compressed its answer without being asked to";
            Err(Failure::new(Class::Hard, message))
        }
        Some(_) | None => Ok(response),
    }
}

fn head_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum()
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn keys_and_paths_that_cannot_be_sent_are_refused() {
        for key in ["", "  ", "a\r\nx: y", "caf\u{0}"] {
            let mut wire = Wire::new("http://127.0.0.1:1");
            wire.key = KeyGuard::new(SecretString::from(key));
            assert!(matches!(wire.build(), Err(BuildError::Key)), "{key:?}");
        }
        for path in ["healthz", "//evil.example/", "/a b"] {
            let mut wire = Wire::new("http://127.0.0.1:1");
            wire.health_path = Some(path.to_owned());
            assert!(
                matches!(wire.build(), Err(BuildError::HealthPath)),
                "{path}"
            );
        }
    }

    #[test]
    fn a_key_shows_up_in_no_debug_output() {
        let mut wire = Wire::new("http://127.0.0.1:1");
        wire.key = KeyGuard::new(SecretString::from("sk-very-secret"));
        wire.build().unwrap();
        assert!(!format!("{wire:?}").contains("very-secret"));
    }
}
