//! Reads a request body within its limits: size, time, pace, media type.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, header};
use http_body_util::BodyExt;

use crate::error::{Error, Kind};

/// Largest body in bytes.
pub(super) const MAX_BODY: usize = 4 << 20;
/// Longest a body may take to arrive.
const MAX_TIME: Duration = Duration::from_secs(30);
/// Longest pause between two pieces of a body.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Takes the body whole.
///
/// # Errors
/// `TooLarge`, `RequestTimeout`, `UnsupportedMedia`, or `InvalidRequest` when it breaks off.
pub(super) async fn read(request: Request<Body>) -> Result<(HeaderMap, Bytes), Error> {
    let (parts, body) = request.into_parts();
    check_media(&parts.headers)?;
    let announced = http_body::Body::size_hint(&body).upper();
    if announced.is_some_and(|bytes| bytes > MAX_BODY as u64) {
        return Err(too_large());
    }
    let bytes = tokio::time::timeout(MAX_TIME, collect(body))
        .await
        .map_err(|_| too_slow())??;
    Ok((parts.headers, bytes))
}

async fn collect(mut body: Body) -> Result<Bytes, Error> {
    let mut whole = BytesMut::new();
    let mut single: Option<Bytes> = None;
    loop {
        let frame = tokio::time::timeout(MAX_PAUSE, body.frame())
            .await
            .map_err(|_| too_slow())?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|source| {
            Error::new(Kind::InvalidRequest, "request body broke off").with_source(source)
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + single.as_ref().map_or(0, Bytes::len) + data.len() > MAX_BODY {
            return Err(too_large());
        }
        match single.take() {
            None if whole.is_empty() => single = Some(data), // the usual case: no copy
            None => whole.extend_from_slice(&data),
            Some(first) => {
                whole.extend_from_slice(&first);
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(single.unwrap_or_else(|| whole.freeze()))
}

/// JSON, or nothing said at all outside of a browser (so that `curl -d` works as printed).
fn check_media(headers: &HeaderMap) -> Result<(), Error> {
    let encoded = headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| value != "identity");
    if encoded {
        return Err(Error::new(
            Kind::UnsupportedMedia,
            "compressed request bodies are not taken",
        ));
    }
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let json = media.is_some_and(|media| {
        let essence = media.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    });
    let browser = headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site");
    if json || !browser {
        return Ok(());
    }
    Err(Error::new(
        Kind::UnsupportedMedia,
        "content-type must be application/json",
    ))
}

fn too_large() -> Error {
    Error::new(
        Kind::TooLarge,
        format!("request body is over {} MiB", MAX_BODY >> 20),
    )
}

fn too_slow() -> Error {
    Error::new(Kind::RequestTimeout, "request body arrived too slowly")
}
