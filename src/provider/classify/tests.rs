use http::HeaderValue;
use proptest::prelude::*;

use super::*;

/// 2026-11-21 00:00:00 UTC.
const NOW: u64 = 1_795_219_200_000;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (
                (*name).parse().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

fn class(code: u16, pairs: &[(&'static str, &str)]) -> Class {
    status(code, &headers(pairs), Bytes::new(), NOW).class
}

#[test]
fn every_status_has_its_class() {
    for code in [400, 404, 405, 409, 413, 415, 422] {
        assert_eq!(class(code, &[]), Class::Caller, "{code}");
    }
    for code in [401, 402, 403] {
        assert_eq!(class(code, &[]), Class::Credential, "{code}");
    }
    for code in [301, 302, 307, 408, 500, 502, 503, 504, 529] {
        assert_eq!(class(code, &[]), Class::Hard, "{code}");
    }
    assert_eq!(class(429, &[]), Class::Gate { retry_after: None });
    let two = Some(Duration::from_secs(2));
    assert_eq!(
        class(429, &[("retry-after", "2")]),
        Class::Gate { retry_after: two }
    );
    assert_eq!(
        class(503, &[("retry-after", "2")]),
        Class::Gate { retry_after: two }
    );
    assert_eq!(class(503, &[("retry-after", "soon")]), Class::Hard);
}

#[test]
fn waits_are_read_in_three_spellings_and_capped() {
    let wait = |pairs: &[(&'static str, &str)]| retry_after(&headers(pairs), NOW);
    assert_eq!(
        wait(&[("retry-after-ms", "250"), ("retry-after", "9")]),
        Some(Duration::from_millis(250))
    );
    assert_eq!(
        wait(&[("retry-after", " 1.5 ")]),
        Some(Duration::from_millis(1500))
    );
    assert_eq!(wait(&[("retry-after", "86400")]), Some(MAX_RETRY_AFTER));
    let in_a_minute = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(NOW + 60_000));
    assert_eq!(
        wait(&[("retry-after", &in_a_minute)]),
        Some(Duration::from_secs(60))
    );
    assert_eq!(
        wait(&[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]),
        Some(Duration::ZERO)
    );
    for nonsense in ["", "-1", "NaN", "inf", "1e999", "tomorrow"] {
        assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
    }
}

#[test]
fn only_the_callers_mistakes_keep_their_body() {
    let body = Bytes::from_static(b"{\"error\":{\"message\":\"no\",\"code\":\"model_not_found\"}}");
    let caller = status(404, &HeaderMap::new(), body.clone(), NOW);
    assert_eq!(
        (caller.message.as_str(), &caller.body),
        ("http 404 (model_not_found)", &body)
    );
    let credential = status(401, &HeaderMap::new(), body, NOW);
    assert_eq!(
        (credential.message.as_str(), credential.body.len()),
        ("http 401 (model_not_found)", 0)
    );
}

#[test]
fn a_page_from_a_load_balancer_is_quoted_on_one_line() {
    let page = Bytes::from(format!(
        "<html>\r\n\t<h1>Bad Gateway</h1>\n{}",
        "x".repeat(9000)
    ));
    let message = status(502, &HeaderMap::new(), page, NOW).message;
    assert!(message.starts_with("http 502: Bad Gateway xx"), "{message}");
    assert_eq!(message.len(), "http 502: ".len() + MAX_QUOTE);
    assert_eq!(
        status(500, &HeaderMap::new(), Bytes::new(), NOW).message,
        "http 500"
    );
}

#[test]
fn a_redirect_says_that_it_is_not_followed() {
    let failure = status(
        302,
        &headers(&[("location", "http://169.254.169.254/")]),
        Bytes::new(),
        NOW,
    );
    assert_eq!(failure.message, "http 302: redirect refused");
}

proptest! {
    #[test]
    fn no_wait_is_longer_than_the_cap(value in "[ -~]{0,24}", millis in any::<bool>()) {
        let name = if millis { "retry-after-ms" } else { "retry-after" };
        prop_assert!(retry_after(&headers(&[(name, &value)]), NOW).unwrap_or_default() <= MAX_RETRY_AFTER);
    }

    #[test]
    fn any_status_and_body_make_one_line(code in 100u16..1000, body in proptest::collection::vec(any::<u8>(), 0..900)) {
        let failure = status(code, &HeaderMap::new(), Bytes::from(body), NOW);
        prop_assert!(!failure.message.contains('\n') && failure.message.chars().count() <= 600);
    }
}
