//! Files from a model hub over HTTPS.

use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, Url};

use super::pull::{Order, Progress, blocking};
use super::stage::Staged;
use super::{MODEL_NAME, Part, WeightsError};

const CONNECT: Duration = Duration::from_secs(5);
/// Longest silence between two pieces of a file.
const IDLE: Duration = Duration::from_secs(30);
/// Longest time for one file: 91 MB at 100 kB/s.
const TOTAL: Duration = Duration::from_mins(15);
/// The hub sends large files to a storage host, in a hop or two.
const REDIRECTS: usize = 5;

/// The hub's name for errors and progress: an address may carry credentials.
pub(super) fn host(base_url: &str) -> String {
    let url = Url::parse(base_url).ok();
    url.and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_else(|| "(no address)".to_owned())
}

/// Fetches every part; one without a digest may be absent.
pub(super) async fn fetch(order: Order<'_>, base_url: &str) -> Result<(), WeightsError> {
    let base = Url::parse(base_url).map_err(|_| failed("the hub's address is no URL"))?;
    if base.scheme() != "https" && !on_loopback(&base) {
        return Err(failed("the hub's address is not https"));
    }
    let client = client(on_loopback(&base))?;
    for part in order.parts {
        let url = format!(
            "{}/sentence-transformers/{MODEL_NAME}/resolve/main/{}",
            base_url.trim_end_matches('/'),
            part.name
        );
        match fetch_part(order, &client, &url, *part).await {
            Ok(()) => (order.progress)(Progress::Stored(part.name)),
            Err(_) if part.sha256.is_none() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn client(loopback: bool) -> Result<Client, WeightsError> {
    // Whoever came first has chosen the process's TLS provider; it is ring either way.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(IDLE)
        .timeout(TOTAL)
        .redirect(Policy::custom(move |attempt| follow(attempt, loopback)))
        .build()
        .map_err(refused)
}

/// Never from HTTPS to anything less.
fn follow(attempt: Attempt<'_>, loopback: bool) -> reqwest::redirect::Action {
    let allowed = attempt.url().scheme() == "https" || (loopback && on_loopback(attempt.url()));
    if !allowed {
        return attempt.error("redirected away from https");
    }
    if attempt.previous().len() > REDIRECTS {
        return attempt.error("too many redirects");
    }
    attempt.follow()
}

fn on_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let address: Option<std::net::IpAddr> = host.parse().ok();
    url.scheme() == "http" && (host == "localhost" || address.is_some_and(|ip| ip.is_loopback()))
}

async fn fetch_part(
    order: Order<'_>,
    client: &Client,
    url: &str,
    part: Part,
) -> Result<(), WeightsError> {
    let mut response: Response = client.get(url).send().await.map_err(refused)?;
    if !response.status().is_success() {
        return Err(failed(&format!("{} for {}", response.status(), part.name)));
    }
    let total = response.content_length();
    let mut staged = Staged::new(order.dest, part)?;
    while let Some(bytes) = response.chunk().await.map_err(refused)? {
        staged.write(&bytes)?;
        (order.progress)(Progress::Bytes {
            file: part.name,
            done: staged.written(),
            total,
        });
    }
    blocking(order.dest.to_owned(), move |_| staged.commit()).await
}

fn failed(reason: &str) -> WeightsError {
    WeightsError::Source(reason.to_owned())
}

/// The whole chain in one line, without the address: it may carry credentials or a signature.
fn refused(error: reqwest::Error) -> WeightsError {
    let error = error.without_url();
    let mut line = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    WeightsError::Source(line)
}
