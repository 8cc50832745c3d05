//! Keeps web pages out of an open loopback door.
//!
//! While no key is asked for, anything the user's browser opens could reach this door. So the `Host` must be a
//! loopback name (against DNS rebinding) and an `Origin`, if sent, must be one too.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, Request, header};

use super::errors;
use crate::app::Node;
use crate::error::{Error, Kind};

/// Refuses foreign hosts and origins, and requests with two hosts.
pub(super) async fn check(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    if node.open_loopback && !node.keys.demanded() {
        let named = request
            .uri()
            .authority()
            .map(|authority| authority.host().to_owned());
        if let Err(error) = judge(request.headers(), named.as_deref()) {
            return errors::render_for(request.uri().path(), request.headers(), &error);
        }
    }
    next.run(request).await
}

fn judge(headers: &HeaderMap, authority: Option<&str>) -> Result<(), Error> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|value| value.to_str().ok());
    if hosts.next().is_some() {
        return Err(Error::new(
            Kind::InvalidRequest,
            "more than one host header",
        ));
    }
    let foreign = |name: &str| !is_loopback(strip_port(name));
    if host.is_some_and(foreign) || authority.is_some_and(foreign) {
        return Err(Error::new(
            Kind::Forbidden,
            "this door answers to loopback host names only",
        ));
    }
    let origin = headers
        .get(header::ORIGIN)
        .map(|value| value.to_str().unwrap_or("null"));
    let foreign_origin = |origin: &str| {
        origin
            .split_once("://")
            .is_none_or(|(_, host)| foreign(host))
    };
    let cross_site = headers
        .get("sec-fetch-site")
        .is_some_and(|value| value == "cross-site");
    if origin.is_some_and(foreign_origin) || cross_site {
        return Err(Error::new(
            Kind::Forbidden,
            "this door does not answer to other web sites",
        ));
    }
    Ok(())
}

fn strip_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(ip, _)| ip);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::judge;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        map
    }

    #[test]
    fn a_foreign_host_or_origin_is_refused() {
        for bad in [
            &[("host", "evil.example")][..],
            &[("host", "127.0.0.1.evil.example:8080")],
            &[
                ("host", "127.0.0.1:8080"),
                ("origin", "https://evil.example"),
            ],
            &[("host", "127.0.0.1:8080"), ("origin", "null")],
            &[("host", "localhost"), ("sec-fetch-site", "cross-site")],
            &[("host", "localhost"), ("host", "localhost")],
        ] {
            assert!(judge(&headers(bad), None).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn loopback_names_pass() {
        for good in [
            &[("host", "127.0.0.1:8080")][..],
            &[
                ("host", "localhost:8080"),
                ("origin", "http://localhost:8080"),
            ],
            &[("host", "[::1]:8080")],
            &[],
        ] {
            assert!(judge(&headers(good), None).is_ok(), "{good:?}");
        }
    }
}
