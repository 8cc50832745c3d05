//! Short questions over HTTP: bounded in time and size, no proxy, no redirect.

use std::sync::Once;
use std::time::Duration;

use reqwest::{Client, redirect};
use serde::de::DeserializeOwned;

/// Largest answer read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// A client whose every request ends within `patience`.
///
/// # Errors
/// The platform's root certificates cannot be read.
pub fn client(patience: Duration) -> reqwest::Result<Client> {
    install_crypto();
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(patience)
        .build()
}

/// Makes ring this process's TLS provider; harmless where one is chosen already.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The answer to a GET, when there is one: status 2xx, at most 1 MiB, JSON of this shape.
pub async fn json<T: DeserializeOwned>(client: &Client, url: &str) -> Option<T> {
    let mut response = client.get(url).send().await.ok()?.error_for_status().ok()?;
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.ok()? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER_BYTES {
            return None;
        }
    }
    serde_json::from_slice(&body).ok()
}
