//! What callers say beside the body: `x-llm-router-*` headers, the same names as gRPC metadata.

use std::time::Duration;

use http::HeaderMap;
use llm_router_cluster::Revision;

use crate::error::{Error, Kind};
use crate::types::{CacheMode, Moment, Priority, RequestId, TenantId};

/// Longest a request may take, whatever the caller says.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(4 * 3600);
/// How long a request may take when the caller says nothing.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// Most tags on one request.
pub const MAX_TAGS: usize = 32;
/// Longest tag name or value in bytes.
pub const MAX_TAG_BYTES: usize = 128;

/// The caller's wishes, checked.
#[derive(Clone, Debug)]
pub struct Options {
    /// `x-request-id`, or a fresh one.
    pub id: RequestId,
    /// Who pays: the default tenant until a door says whom it let in.
    pub tenant: TenantId,
    /// `x-llm-router-priority`.
    pub priority: Priority,
    /// `x-llm-router-cache`.
    pub cache: CacheMode,
    /// `x-llm-router-cache-threshold`: least cosine of a reused answer, more than 0 and at most 1.
    pub min_similarity: Option<f32>,
    /// `x-llm-router-tags`.
    pub tags: Vec<(String, String)>,
    /// From `x-llm-router-timeout-ms`, else the SDK's own hint, else the default.
    pub deadline: Moment,
}

const MIN_REVISION: &str = "x-llm-router-min-revision";

/// The revision a caller has seen.
///
/// # Errors
/// [`Kind::InvalidRequest`] naming the header.
pub fn min_revision(headers: &HeaderMap) -> Result<Option<Revision>, Error> {
    let Some(given) = headers.get(MIN_REVISION) else {
        return Ok(None);
    };
    let number = given
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let revision = number.map(Revision).ok_or_else(|| {
        let message = format!("header {MIN_REVISION} must be a revision's number");
        Error::new(Kind::InvalidRequest, message).with_param(MIN_REVISION)
    })?;
    Ok(Some(revision))
}

/// The request's id: the caller's own where it is acceptable, else a fresh one.
pub fn request_id(headers: &HeaderMap) -> RequestId {
    text(headers, "x-request-id")
        .and_then(RequestId::accept)
        .unwrap_or_else(RequestId::generate)
}

/// `x-llm-router-explain: cache`: the caller wants to know why the cache did not answer.
pub fn wants_explanation(headers: &HeaderMap) -> bool {
    let wanted = text(headers, "x-llm-router-explain").unwrap_or_default();
    wanted
        .split(',')
        .any(|part| part.trim().eq_ignore_ascii_case("cache"))
}

impl Options {
    /// Reads and checks the headers.
    ///
    /// # Errors
    /// [`Kind::InvalidRequest`] naming the header.
    pub fn read(headers: &HeaderMap, now: Moment) -> Result<Self, Error> {
        let id = text(headers, "x-request-id").and_then(RequestId::accept);
        let priority = match text(headers, "x-llm-router-priority") {
            None => Priority::default(),
            Some(given) => given.parse().map_err(|_| {
                bad(
                    "x-llm-router-priority",
                    "must be critical, high, normal or low",
                )
            })?,
        };
        let cache = match text(headers, "x-llm-router-cache") {
            None if keeps_out_of_caches(headers) => CacheMode::Off,
            None => CacheMode::default(),
            Some(given) => given
                .parse()
                .map_err(|()| bad("x-llm-router-cache", "must be on, exact, off or refresh"))?,
        };
        Ok(Options {
            id: id.unwrap_or_else(RequestId::generate),
            tenant: TenantId::default(),
            priority,
            cache,
            min_similarity: threshold(headers)?,
            tags: tags(text(headers, "x-llm-router-tags"))?,
            deadline: now + timeout(headers)?,
        })
    }
}

const THRESHOLD: &str = "x-llm-router-cache-threshold";

/// The caller's own least similarity. It can only tighten: the lookup asks for the route's as well.
fn threshold(headers: &HeaderMap) -> Result<Option<f32>, Error> {
    let Some(given) = headers.get(THRESHOLD) else {
        return Ok(None);
    };
    let least: Option<f32> = given.to_str().ok().and_then(|v| v.trim().parse().ok());
    match least {
        Some(least) if least > 0.0 && least <= 1.0 => Ok(Some(least)),
        _ => Err(bad(THRESHOLD, "must be a number above 0 and at most 1")),
    }
}

/// `cache-control: no-store`, the opt-out every HTTP client knows.
fn keeps_out_of_caches(headers: &HeaderMap) -> bool {
    headers
        .get_all(http::header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-store"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn bad(header: &str, problem: &str) -> Error {
    Error::new(Kind::InvalidRequest, format!("header {header} {problem}")).with_param(header)
}

/// Our own header is binding; the SDKs' read timeouts (in seconds) are hints.
fn timeout(headers: &HeaderMap) -> Result<Duration, Error> {
    if let Some(given) = text(headers, "x-llm-router-timeout-ms") {
        let millis: u64 = given.trim().parse().map_err(|_| {
            bad(
                "x-llm-router-timeout-ms",
                "must be a positive number of milliseconds",
            )
        })?;
        return Ok(Duration::from_millis(millis).min(MAX_TIMEOUT));
    }
    let hint = ["x-stainless-read-timeout", "x-stainless-timeout"]
        .into_iter()
        .filter_map(|name| text(headers, name))
        .filter_map(|value| value.trim().parse::<f64>().ok())
        .filter(|seconds| seconds.is_finite() && *seconds > 0.0)
        .find_map(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok(hint.unwrap_or(DEFAULT_TIMEOUT).min(MAX_TIMEOUT))
}

fn tags(header: Option<&str>) -> Result<Vec<(String, String)>, Error> {
    let Some(header) = header else {
        return Ok(Vec::new());
    };
    let mut tags = Vec::new();
    for pair in header
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(bad("x-llm-router-tags", "must look like k=v,k2=v2"));
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() > MAX_TAG_BYTES || value.len() > MAX_TAG_BYTES {
            return Err(bad(
                "x-llm-router-tags",
                "has a tag that is empty or over 128 bytes",
            ));
        }
        tags.push((name.to_owned(), value.to_owned()));
        if tags.len() > MAX_TAGS {
            return Err(bad("x-llm-router-tags", "has more than 32 tags"));
        }
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use llm_router_cluster::Revision;

    use super::{MIN_REVISION, Options, THRESHOLD, min_revision};
    use crate::error::Kind;
    use crate::types::{CacheMode, Moment};

    fn read(name: &'static str, value: &'static str) -> Result<Options, crate::error::Error> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        Options::read(&headers, Moment::ZERO)
    }

    #[test]
    fn a_threshold_that_is_no_share_is_the_callers_mistake() {
        for wrong in [
            "", "high", "0", "-0.1", "1.01", "97", "NaN", "inf", "0.9,0.8",
        ] {
            let error = read(THRESHOLD, wrong).unwrap_err();
            assert_eq!(error.kind, Kind::InvalidRequest, "{wrong}");
        }
        for (given, least) in [("0.97", 0.97), (" 1 ", 1.0), ("1e-3", 0.001)] {
            assert_eq!(read(THRESHOLD, given).unwrap().min_similarity, Some(least));
        }
        let silent = Options::read(&HeaderMap::new(), Moment::ZERO).unwrap();
        assert_eq!(silent.min_similarity, None);
    }

    #[test]
    fn no_store_keeps_a_request_out_of_the_cache() {
        let cache = |value| read("cache-control", value).unwrap().cache;
        assert_eq!(cache("no-store"), CacheMode::Off);
        assert_eq!(cache("max-age=0, No-Store"), CacheMode::Off);
        assert_eq!(cache("no-cache"), CacheMode::On);
    }

    #[test]
    fn a_revision_that_is_none_is_refused_and_none_is_fine() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(MIN_REVISION, HeaderValue::from_static(value));
            min_revision(&headers)
        };
        for bad in ["", "x", "-1", "1.5", "99999999999999999999"] {
            assert!(with(bad).is_err(), "{bad}");
        }
        assert_eq!(with(" 7 ").unwrap(), Some(Revision(7)));
        assert_eq!(min_revision(&HeaderMap::new()).unwrap(), None);
    }
}
