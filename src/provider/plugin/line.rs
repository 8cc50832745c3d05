//! The connection to a plugin: made when first used, kept, and made again by itself when it breaks.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::status::Unheard;
use crate::provider::base::{BadBase, Base};
use crate::provider::key::KeyGuard;
use crate::provider::wire::install_crypto;
use crate::provider::{BuildError, Timeouts};

/// How often a connection in use is asked whether it lives, and how long the answer may take.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_LIMIT: Duration = Duration::from_secs(10);
/// Most bytes of a response's head.
const MAX_HEAD: u32 = 32 << 10;

/// Where a plugin is, and the connection once it is needed.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) base_url: String,
    pub(super) key: KeyGuard,
    pub(super) connect_timeout: Duration,
    ready: OnceLock<Ready>,
}

impl Default for Line {
    fn default() -> Self {
        Line {
            base_url: String::new(),
            key: KeyGuard::default(),
            connect_timeout: Timeouts::default().connect,
            ready: OnceLock::new(),
        }
    }
}

/// A connection that has been set up.
#[derive(Debug)]
pub(super) struct Ready {
    channel: Channel,
    authorization: Option<HeaderValue>,
}

impl Line {
    /// Checks the settings.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        self.set_up().map(|_| ())
    }

    /// The connection. Must be called on the runtime that it is to live on.
    pub(super) fn ready(&self) -> Result<&Ready, Unheard> {
        if let Some(ready) = self.ready.get() {
            return Ok(ready);
        }
        let (endpoint, authorization) = self.set_up().map_err(Unheard::Unusable)?;
        Ok(self.ready.get_or_init(|| Ready {
            channel: endpoint.connect_lazy(),
            authorization,
        }))
    }

    fn set_up(&self) -> Result<(Endpoint, Option<HeaderValue>), BuildError> {
        let authorization = self.key.bearer().map_err(|_| BuildError::Key)?;
        let secure = checked(&self.base_url, self.key.is_some())?;
        let endpoint = Endpoint::from_shared(self.base_url.clone())
            .and_then(|endpoint| {
                endpoint.user_agent(concat!("llm-router/", env!("CARGO_PKG_VERSION")))
            })
            .map_err(|_| BadBase::NotAUrl)?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(KEEP_ALIVE))
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_LIMIT)
            .http2_max_header_list_size(MAX_HEAD);
        if !secure {
            return Ok((endpoint, authorization));
        }
        install_crypto();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls_platform_verifier::Verifier::new(provider)
            .map_err(|error| BuildError::Tls(error.into()))?;
        let endpoint = endpoint
            .tls_config_with_verifier(ClientTlsConfig::new(), Arc::new(verifier))
            .map_err(|error| BuildError::Tls(error.into()))?;
        Ok((endpoint, authorization))
    }
}

impl Ready {
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// What goes with a call beside its message.
    pub(super) fn metadata(&self, traceparent: Option<&str>) -> MetadataMap {
        let mut headers = HeaderMap::new();
        if let Some(value) = &self.authorization {
            headers.insert(http::header::AUTHORIZATION, value.clone());
        }
        let trace = traceparent.filter(|text| !text.is_empty());
        if let Some(value) = trace.and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert("traceparent", value);
        }
        MetadataMap::from_headers(headers)
    }
}

/// Checks where the plugin is. Returns whether TLS is spoken there.
fn checked(base_url: &str, has_key: bool) -> Result<bool, BuildError> {
    if base_url.is_empty() {
        let message = "a plugin needs base_url: http://host:port, https://host:port or unix:/path";
        return Err(BuildError::Option(message.to_owned()));
    }
    if let Some(path) = base_url.strip_prefix("unix:") {
        if path.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(BadBase::ControlCharacters.into());
        }
        if !path.trim_start_matches("//").starts_with('/') {
            let message = "base_url must be unix: and an absolute path";
            return Err(BuildError::Option(message.to_owned()));
        }
        return Ok(false);
    }
    let base = Base::parse(base_url, has_key)?;
    if base.has_path() {
        let message = "base_url of a plugin has no path";
        return Err(BuildError::Option(message.to_owned()));
    }
    Ok(base.is_secure())
}
