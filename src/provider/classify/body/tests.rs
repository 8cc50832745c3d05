use http::HeaderMap;
use proptest::prelude::*;

use super::super::{reported, status};
use super::*;

fn refused(code: u16, body: &str) -> Failure {
    status(code, &HeaderMap::new(), Bytes::from(body.to_owned()), 0)
}

fn shown(failure: &Failure) -> Value {
    serde_json::from_slice::<Value>(&failure.body).unwrap()["error"].take()
}

/// Google's refusal with these details.
fn quota(details: &str) -> String {
    format!(
        r#"{{"error":{{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED","details":[{details}]}}}}"#
    )
}

#[test]
fn every_providers_words_for_a_prompt_too_long_are_known() {
    for body in [
        r#"{"error":{"message":"x","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
        r#"{"error":{"message":"This model's maximum context length is 4096 tokens."}}"#,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
        r#"{"error":{"code":400,"message":"The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
        r#"{"error":"the input length exceeds context length"}"#,
        r#"{"error":"the input length exceeds the context length"}"#,
        r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error"}}"#,
        r#"{"object":"error","message":"The input (9000 tokens) is longer than the model's context length (8192 tokens).","code":400}"#,
    ] {
        assert!(is_context_length(&refused(400, body)), "{body}");
    }
    // too many bytes for a door say nothing about a window
    assert!(!is_context_length(&refused(413, "")));
    assert!(!is_context_length(&refused(
        413,
        "<html><title>413</title>"
    )));
}

#[test]
fn no_other_refusal_is_taken_for_a_prompt_too_long() {
    for body in [
        "",
        r#"{"error":{"message":"temperature must lie between 0 and 2"}}"#,
        r#"{"error":{"message":"filtered","code":"content_filter"}}"#,
    ] {
        assert!(!is_context_length(&refused(400, body)), "{body}");
    }
    let long = "maximum context length";
    assert!(!is_context_length(&refused(500, long)), "not the caller's");
}

#[test]
fn a_wait_in_the_body_counts_where_no_header_says_one() {
    let wait = |code: u16, body: &str| refused(code, body).class;
    let gate = |seconds: f64| Class::Gate {
        retry_after: Some(Duration::from_secs_f64(seconds)),
    };
    let info = r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"46s"}"#;
    assert_eq!(wait(429, &quota(info)), gate(46.0));
    assert_eq!(wait(429, &format!("[{}]", quota(info))), gate(46.0));
    assert_eq!(wait(503, &quota(info)), gate(46.0));
    assert_eq!(wait(429, &quota(r#"{"retryDelay":"0.25s"}"#)), gate(0.25));
    // longer than anybody waits, which the walk over candidates sees to
    assert_eq!(wait(429, &quota(r#"{"retryDelay":"120s"}"#)), gate(120.0));
    // hours are a quota that is gone: the gate stays shut as long as gates may
    assert_eq!(wait(429, &quota(r#"{"retryDelay":"36000s"}"#)), gate(300.0));
    let day = format!(
        r#"{info},{{"violations":[{{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}}]}}"#
    );
    assert_eq!(wait(429, &quota(&day)), gate(300.0));
    for nonsense in ["-1s", "soon", "46", "NaNs", "infs"] {
        let body = quota(&format!(r#"{{"retryDelay":"{nonsense}"}}"#));
        let none = Class::Gate { retry_after: None };
        assert_eq!(wait(429, &body), none, "{nonsense}");
    }
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", 2.into());
    let both = status(429, &headers, Bytes::from(quota(info)), 0);
    assert_eq!(both.class, gate(2.0));
    assert_eq!(both.message, "http 429 (RESOURCE_EXHAUSTED)");
}

#[test]
fn a_content_filters_refusal_is_the_callers_and_passes_on_byte_for_byte() {
    for body in [
        r#"{"error": {"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}"#,
        r#"{"error":{"message":"flagged","type":"invalid_request_error","param":null,"code":"content_filter"}}"#,
    ] {
        let failure = refused(400, body);
        assert_eq!((failure.class, failure.status), (Class::Caller, Some(400)));
        assert_eq!(failure.body, body.as_bytes());
        assert_eq!(failure.message, "http 400 (content_filter)");
        assert!(!is_context_length(&failure), "no other model is asked");
    }
}

#[test]
fn every_servers_refusal_is_told_in_openais_words() {
    let google = r#"[{"error":{"code":400,"message":"bad schema","status":"INVALID_ARGUMENT"}}]"#;
    let told = shown(&refused(400, google));
    let expected = json!({"message": "bad schema", "type": "invalid_request_error", "param": null,
        "code": "INVALID_ARGUMENT"});
    assert_eq!(told, expected);
    for (body, message) in [
        (r#"{"error":"model 'x' not found"}"#, "model 'x' not found"),
        (r#"{"detail":"Method Not Allowed"}"#, "Method Not Allowed"),
        (
            r#"{"detail":[{"loc":["n"]}]}"#,
            r#"{"detail":[{"loc":["n"]}]}"#,
        ),
        (r#"{"object":"error","message":"no","code":400}"#, "no"),
        ("not here", "not here"),
    ] {
        let told = shown(&refused(404, body));
        assert_eq!(told["message"], message, "{body}");
        assert!(told["type"].is_string() && told["code"].is_null(), "{told}");
        assert!(told.get("param").is_some());
    }
    let anthropic = r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: required"}}"#;
    assert_eq!(refused(400, anthropic).body, anthropic.as_bytes());
    assert!(refused(400, " ").body.is_empty());
}

#[test]
fn a_page_is_told_by_its_title_or_its_words_and_without_markup() {
    let nginx = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><center><h1>502 Bad Gateway</h1></center></body></html>";
    assert_eq!(refused(502, nginx).message, "http 502: 502 Bad Gateway");
    let wordy = "<!DOCTYPE html><style>p{color:red}</style><script>if(1<2){}</script><!-- <b>x</b> --><p>Just a&nbsp;moment<br/>please</p>";
    assert_eq!(
        refused(503, wordy).message,
        "http 503: Just a&nbsp;moment please"
    );
    let wrapped = shown(&refused(404, nginx));
    assert_eq!(wrapped["message"], "502 Bad Gateway");
    let unclosed = "<title>half";
    assert_eq!(refused(500, unclosed).message, "http 500: half");
}

#[test]
fn an_error_inside_a_success_means_what_it_would_have_as_a_status() {
    let of = |body: &str| reported(&Bytes::from(body.to_owned()), "x");
    let gate = |retry_after| Class::Gate { retry_after };
    for (body, class) in [
        (r#"{"error":{"code":429,"message":"x"}}"#, gate(None)),
        (r#"{"error":{"code":"429"}}"#, gate(None)),
        (r#"{"error":{"code":"slow_down"}}"#, gate(None)),
        (
            r#"{"error":{"message":"x","code":"rate_limit_exceeded"}}"#,
            gate(None),
        ),
        (r#"{"error":{"type":"rate_limit_error"}}"#, gate(None)),
        (r#"{"error":{"code":503,"message":"x"}}"#, Class::Hard),
        (r#"{"error":{"code":403,"message":"x"}}"#, Class::Credential),
        (r#"{"error":{"code":"server_error"}}"#, Class::Hard),
        (r#"{"error":"busy"}"#, Class::Hard),
        ("nonsense", Class::Hard),
    ] {
        assert_eq!(of(body).class, class, "{body}");
        assert!(of(body).body.is_empty());
    }
    let delay = of(&quota(r#"{"retryDelay":"3s"}"#));
    assert_eq!(delay.class, gate(Some(Duration::from_secs(3))));
    let long = of(r#"{"error":{"code":"context_length_exceeded","message":"too long"}}"#);
    assert_eq!((long.class, long.status), (Class::Caller, Some(400)));
    assert!(is_context_length(&long));
}

proptest! {
    #[test]
    fn no_page_is_quoted_with_a_tag(page in "<[a-zé/<>!\" -]{0,200}(title|<title>|</title>|<!--|-->|é)?[a-z<> ]{0,80}") {
        let text = quote(page.as_bytes());
        prop_assert!(!text.contains('<') && text.chars().count() <= MAX_QUOTE, "{text}");
    }

    #[test]
    fn any_body_can_be_read(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let worded = worded(Bytes::from(body));
        prop_assert!(hint(&worded).is_none());
        let blank = worded.iter().all(u8::is_ascii_whitespace);
        let told = || serde_json::from_slice::<Value>(&worded).is_ok_and(|given| given["error"]["message"].is_string());
        prop_assert!(blank || told());
    }
}
